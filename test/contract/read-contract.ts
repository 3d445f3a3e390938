// get, getMany, view, has, entries, size, sequence, stats, locate, verify, flush.

import type { Memory, MemoryView } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

const plain = (view: MemoryView): Memory => ({
  id: view.id,
  embedding: view.embedding,
  content: view.content,
  metadata: view.metadata,
  confidence: view.confidence,
  createdAt: view.createdAt,
  sequence: view.sequence,
  activation: view.activation,
  lastAccess: view.lastAccess,
  recallCount: view.recallCount,
})

export function readContract(makeStore: StoreMaker): void {
  test('an absent memory is undefined, not an error', () => {
    const { store } = temporaryStore(makeStore)
    expect([store.get('a'), store.view('a'), store.locate('a'), store.has('a')]).toEqual([
      undefined,
      undefined,
      undefined,
      false,
    ])
    expect(store.getMany(['a', 'b'])).toEqual([undefined, undefined])
  })

  test('getMany takes any iterable and answers in its order', () => {
    const { store } = temporaryStore(makeStore)
    for (const id of ['a', 'b']) store.put({ id })
    expect(store.getMany(new Set(['b', 'no', 'a'])).map((memory) => memory?.id)).toEqual(['b', undefined, 'a'])
    expect(store.getMany(['a', 'a'])).toEqual([store.get('a'), store.get('a')])
    expect(store.getMany([])).toEqual([])
  })

  test("getMany lets an iterator's own error through and names a bad id", () => {
    const { store } = temporaryStore(makeStore)
    const own = new Error('mine')
    const ids = (function* (): Generator<string> {
      yield 'a'
      throw own
    })()
    expect(() => store.getMany(ids)).toThrow(own)
    expectMisuse(() => store.getMany(['a', '']), RangeError, 'KEY_SIZE')
    expectMisuse(() => store.getMany(['a', 5 as unknown as string]), TypeError, 'ARGUMENT')
  })

  test('every get is a new object that belongs to the caller', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 2, 3], metadata: { list: [1] } })
    const first = store.get('a') as Memory
    first.embedding?.fill(9)
    ;(first.metadata.list as number[]).push(2)
    first.content = 'changed'
    expect(store.get('a')).toMatchObject({
      embedding: new Float32Array([1, 2, 3]),
      metadata: { list: [1] },
      content: null,
    })
  })

  test('a view shows what get shows', () => {
    const { store } = temporaryStore(makeStore)
    store.put({
      id: 'a',
      embedding: [1, 2, 3],
      content: 'text ü',
      metadata: { k: ['v'] },
      confidence: 0.5,
      recallCount: 3,
    })
    store.put({ id: 'b' })
    store.put({ id: 'c', content: '' })
    for (const id of ['a', 'b', 'c']) expect(plain(store.view(id) as MemoryView)).toStrictEqual(store.get(id))
  })

  test('a view goes on showing the moment at which it was made', () => {
    const { store } = temporaryStore(makeStore)
    for (const change of ['put', 'update', 'delete']) {
      store.put({ id: 'a', embedding: [1, 2, 3], content: 'old', metadata: { v: 1 } })
      const view = store.view('a') as MemoryView
      if (change === 'put') store.put({ id: 'a', embedding: [7, 8, 9], content: 'new' })
      if (change === 'update') store.update('a', { content: 'new', metadata: {} })
      if (change === 'delete') store.delete('a')
      for (let index = 0; index < 600; index++) store.put({ id: `filler ${index}`, embedding: [5, 5, 5] })
      expect([...(view.embedding ?? [])]).toEqual([1, 2, 3])
      expect([view.content, view.metadata]).toEqual(['old', { v: 1 }])
    }
  })

  test('entries come in commit order: a memory stands where its newest write stands', () => {
    const { store } = temporaryStore(makeStore)
    for (const id of ['a', 'b', 'c', 'd']) store.put({ id })
    store.put({ id: 'a' })
    store.update('b', { content: 'x' })
    store.delete('c')
    store.touch('d')
    expect([...store.entries()].map(({ id, sequence }) => [id, sequence])).toEqual([
      ['d', 4],
      ['a', 5],
      ['b', 6],
    ])
  })

  test('entries since a sequence are those above it; above the present there are none', () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 1; index <= 700; index++) store.put({ id: `m${index}` })
    for (const since of [0, 1, 255, 256, 257, 699, 700, 5000, Number.MAX_SAFE_INTEGER]) {
      const sequences = [...store.entries({ since })].map(({ sequence }) => sequence)
      expect(sequences).toEqual(Array.from({ length: Math.max(0, 700 - since) }, (_, index) => since + index + 1))
    }
    expect([...store.entries({ since: undefined })]).toHaveLength(700)
  })

  test('entries are a snapshot of the call: later writes do not show, whatever they replace', () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 300; index++) store.put({ id: `m${index}`, content: `old ${index}` })
    const expected = [...store.entries()]
    const iterator = store.entries()
    const seen: Memory[] = []
    for (const memory of iterator) {
      seen.push(memory)
      const index = seen.length
      if (index % 3 === 0) store.put({ id: `m${299 - index}`, content: 'new' })
      if (index % 3 === 1) store.delete(`m${(index * 7) % 300}`)
      if (index % 3 === 2) store.update(`m${(index * 11) % 300}`, { content: 'patched' })
      store.put({ id: `later ${index}` })
    }
    expect(seen).toStrictEqual(expected)
    expect([...iterator]).toEqual([])
  })

  test('a snapshot begins at the call of entries, not at the first next', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a' })
    const iterator = store.entries()
    store.put({ id: 'b' })
    expect([...iterator].map(({ id }) => id)).toEqual(['a'])
  })

  test('a loop over entries that is left early ends the iterator', () => {
    const { store } = temporaryStore(makeStore)
    for (const id of ['a', 'b', 'c']) store.put({ id })
    const iterator = store.entries()
    for (const _memory of iterator) break
    expect(iterator.next()).toEqual({ done: true, value: undefined })
    expect(iterator[Symbol.iterator]()).toBe(iterator)
  })

  test('many snapshots may be open at once and interleaved with gets', () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 50; index++) store.put({ id: `m${index}`, embedding: [index, 0, 0] })
    const iterators = Array.from({ length: 20 }, () => store.entries())
    for (let index = 0; index < 50; index++) {
      for (const iterator of iterators) {
        const { value } = iterator.next()
        expect(store.get('m7')?.embedding?.[0]).toBe(7)
        expect((value as Memory).embedding?.[0]).toBe(index)
      }
    }
    expect(iterators.every((iterator) => iterator.next().done)).toBe(true)
  })

  test('size and sequence follow each write of any handle at once', () => {
    const { store, again } = temporaryStore(makeStore)
    const other = again()
    store.put({ id: 'a' })
    expect([other.size, other.sequence]).toEqual([1, 1])
    other.putMany([{ id: 'b' }, { id: 'c' }])
    expect([store.size, store.sequence]).toEqual([3, 3])
    store.delete('b')
    expect([other.size, other.sequence, other.has('b')]).toEqual([2, 4, false])
  })

  test('stats tells the figures of the store', async () => {
    const { store } = temporaryStore(makeStore, { metric: 'l2', durability: 'flush' })
    store.putMany([{ id: 'a', embedding: [1, 2, 3] }, { id: 'b' }])
    store.delete('b')
    const stats = store.stats()
    expect(stats).toMatchObject({ memories: 1, dimensions: 3, metric: 'l2', sequence: 3, participants: 1, batches: 2 })
    expect(stats.recovered).toBe(false)
    expect(Object.keys(stats.bytes).sort()).toEqual(['blocks', 'dead', 'index', 'log', 'reserved', 'total'])
    for (const figure of [...Object.values(stats.bytes), stats.openMs, stats.segments, stats.epoch]) {
      expect(figure).toBeGreaterThanOrEqual(0)
    }
    await store.flush()
    expect(store.stats().durableSequence).toBe(3)
  })

  test('locate tells distinct places, and another one after a replacement', () => {
    const { store } = temporaryStore(makeStore)
    const places = Array.from({ length: 600 }, (_, index) => {
      store.put({ id: `m${index}` })
      return store.locate(`m${index}`)
    })
    expect(new Set(places.map((place) => `${place?.segment}/${place?.slot}`)).size).toBe(600)
    expect(new Set(places.map((place) => `${place?.segment}/${place?.logOffset}`)).size).toBe(600)
    for (const place of places)
      expect(Object.values(place ?? { none: -1 }).every((n) => Number.isSafeInteger(n) && n >= 0)).toBe(true)
    store.put({ id: 'm0' })
    expect(store.locate('m0')).not.toEqual(places[0])
  })

  test('flush and verify resolve, also when asked for many times at once and on an empty store', async () => {
    const { store } = temporaryStore(makeStore, { durability: 'flush' })
    expect(await store.flush()).toBeUndefined()
    expect(await store.verify()).toEqual({ ok: true, memories: 0, problems: [] })
    for (let index = 0; index < 300; index++) store.put({ id: `m${index}`, embedding: [1, 2, index] })
    store.delete('m5')
    const [first] = await Promise.all([store.verify(), store.flush(), store.flush(), store.verify(), store.flush()])
    expect(first).toEqual({ ok: true, memories: 299, problems: [] })
  })

  test('compact gives the space of deleted memories back and changes nothing that can be read', async () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 500; index++) store.put({ id: `m${index}`, embedding: [1, 2, index], content: 'x' })
    for (let index = 0; index < 500; index++) if (index % 5 > 0) store.delete(`m${index}`)
    const before = [...store.entries()]
    expect(store.stats().bytes.dead).toBeGreaterThan(0)
    const { bytesBefore, bytesAfter, moved } = await store.compact()
    expect([bytesAfter < bytesBefore, moved]).toEqual([true, 100])
    expect([...store.entries()]).toEqual(before)
    expect(store.stats().bytes.dead).toBe(0)
    expect(await store.verify()).toEqual({ ok: true, memories: 100, problems: [] })
  })

  test('compact takes a signal; one that is aborted rejects with its AbortError', async () => {
    const { store } = temporaryStore(makeStore)
    await expect(store.compact({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    const controller = new AbortController()
    for (let index = 0; index < 500; index++) store.put({ id: `m${index % 7}`, embedding: [1, 2, index] })
    const running = store.compact({ signal: controller.signal })
    controller.abort()
    await expect(running).rejects.toMatchObject({ name: 'AbortError', code: 'THERMOCLINE_ABORTED' })
    expect((await store.verify()).ok).toBe(true)
    await expect(store.compact({ signal: 1 } as never)).rejects.toBeInstanceOf(TypeError)
  })
}
