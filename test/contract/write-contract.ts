// put, update, delete, touch and ifSequence.

import type { Memory } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse, expectUnchanged, failureOf, shortCode } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

const full = {
  id: 'full',
  embedding: new Float32Array([0.5, -1, 2]),
  content: 'all of it',
  metadata: { a: 1, b: ['x', null] },
  confidence: 0.25,
  createdAt: 1_600_000_000_000.5,
  activation: 3.5,
  lastAccess: 1_700_000_000_000,
  recallCount: 7,
}

export function writeContract(makeStore: StoreMaker): void {
  test('put returns sequences counted from 1 without gaps', () => {
    const { store } = temporaryStore(makeStore)
    expect(store.sequence).toBe(0)
    expect([1, 2, 3].map(() => store.put({ id: 'same' }))).toEqual([1, 2, 3])
    expect([store.sequence, store.size]).toEqual([3, 1])
  })

  test('a memory of which only the id is given has every default', () => {
    const { store } = temporaryStore(makeStore)
    const before = Date.now()
    store.put({ id: 'a' })
    const memory = store.get('a') as Memory
    expect(memory.createdAt).toBeGreaterThanOrEqual(before)
    expect(memory.createdAt).toBeLessThanOrEqual(Date.now())
    expect(memory).toStrictEqual({
      id: 'a',
      embedding: null,
      content: null,
      metadata: {},
      confidence: 1,
      createdAt: memory.createdAt,
      sequence: 1,
      activation: 1,
      lastAccess: memory.createdAt,
      recallCount: 0,
    })
  })

  test('an undefined value counts as omitted, a null embedding or content as none', () => {
    const { store } = temporaryStore(makeStore)
    const nothing = { embedding: undefined, content: undefined, metadata: undefined, confidence: undefined }
    store.put({
      id: 'a',
      createdAt: 5,
      ...nothing,
      activation: undefined,
      lastAccess: undefined,
      recallCount: undefined,
    })
    store.put({ id: 'b', createdAt: 5, embedding: null, content: null })
    const { id: _a, sequence: _1, ...first } = store.get('a') as Memory
    const { id: _b, sequence: _2, ...second } = store.get('b') as Memory
    expect(first).toStrictEqual(second)
    expect(first).toMatchObject({ confidence: 1, activation: 1, lastAccess: 5, recallCount: 0 })
  })

  test('every field comes back as it was given', () => {
    const { store } = temporaryStore(makeStore)
    const sequence = store.put(full)
    expect(store.get('full')).toStrictEqual({ ...full, sequence })
  })

  test('put replaces everything under the id: what is omitted is the default again', () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    store.put({ id: 'full', createdAt: 9 })
    expect(store.get('full')).toMatchObject({ embedding: null, content: null, metadata: {}, confidence: 1 })
    expect(store.get('full')).toMatchObject({ createdAt: 9, lastAccess: 9, activation: 1, recallCount: 0, sequence: 2 })
    expect(store.size).toBe(1)
  })

  test('what was read can be put back under its own id', () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    const memory = store.get('full') as Memory
    expect(store.put(memory)).toBe(2)
    expect(store.get('full')).toStrictEqual({ ...memory, sequence: 2 })
  })

  test('the embedding is copied before put returns', () => {
    const { store } = temporaryStore(makeStore)
    const embedding = new Float32Array([1, 2, 3])
    store.put({ id: 'a', embedding })
    embedding.fill(9)
    expect(store.get('a')?.embedding).toEqual(new Float32Array([1, 2, 3]))
  })

  test('update changes the keys given and keeps the others, the embedding, createdAt and the statistics', () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    let expected = { ...full, sequence: 1 }
    for (const patch of [
      { content: 'new' },
      { metadata: { only: true } },
      { confidence: 0.75 },
      { content: '' },
      {},
      { content: undefined, metadata: undefined, confidence: undefined },
      { content: 'x', metadata: {}, confidence: 0 },
    ]) {
      expect(store.update('full', patch)).toBe(true)
      const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined))
      expected = { ...expected, ...given, sequence: expected.sequence + 1 }
      expect(store.get('full')).toStrictEqual(expected)
    }
  })

  test('update with content null clears it; metadata is replaced, not merged', () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    store.update('full', { content: null, metadata: { c: 3 } })
    expect(store.get('full')).toMatchObject({ content: null })
    expect(store.get('full')?.metadata).toStrictEqual({ c: 3 })
  })

  test('update of a memory without embedding leaves it without', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a' })
    store.update('a', { content: 'text' })
    expect(store.get('a')).toMatchObject({ embedding: null, content: 'text' })
  })

  test.each(['id', 'embedding', 'createdAt', 'sequence', 'activation', 'lastAccess', 'recallCount', 'contents'])(
    'update with the key %s is a TypeError',
    (key) => {
      const { store } = temporaryStore(makeStore)
      store.put(full)
      const patch = { content: 'changed', [key]: (full as Record<string, unknown>)[key] ?? 1 }
      expectUnchanged(store, () => expectMisuse(() => store.update('full', patch), TypeError, 'ARGUMENT'))
    },
  )

  test('update and delete of an absent id are false and take no sequence', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a' })
    store.delete('a')
    for (const id of ['never', 'a']) {
      expect(store.update(id, { content: 'x' })).toBe(false)
      expect(store.delete(id)).toBe(false)
    }
    expect([store.sequence, store.size]).toEqual([2, 0])
  })

  test('delete takes one sequence; the memory is gone for every reader', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 0, 0] })
    expect(store.delete('a')).toBe(true)
    expect(store.sequence).toBe(2)
    expect([store.get('a'), store.view('a'), store.locate('a'), store.has('a')]).toEqual([
      undefined,
      undefined,
      undefined,
      false,
    ])
    expect([...store.entries()]).toEqual([])
    expect(store.searchSync([1, 0, 0])).toEqual([])
    expect(await store.search([1, 0, 0])).toEqual([])
  })

  test('ifSequence lets a write pass when it names the sequence of the memory, 0 for absent', () => {
    const { store } = temporaryStore(makeStore)
    expect(store.put({ id: 'a' }, { ifSequence: 0 })).toBe(1)
    expect(store.put({ id: 'a' }, { ifSequence: 1 })).toBe(2)
    expect(store.update('a', { content: 'x' }, { ifSequence: 2 })).toBe(true)
    expect(store.delete('a', { ifSequence: 3 })).toBe(true)
    expect(store.put({ id: 'a' }, { ifSequence: 0 })).toBe(5)
    expect(store.put({ id: 'b' }, { ifSequence: undefined })).toBe(6)
    expect(store.delete('c', { ifSequence: 0 })).toBe(false)
    expect(store.update('c', {}, { ifSequence: 0 })).toBe(false)
  })

  test('any other ifSequence is a conflict that leaves the store unchanged', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'other' })
    store.put({ id: 'a', content: 'kept' })
    for (const ifSequence of [0, 1, 3, Number.MAX_SAFE_INTEGER]) {
      const actions = [
        () => store.put({ id: 'a', content: 'lost' }, { ifSequence }),
        () => store.update('a', { content: 'lost' }, { ifSequence }),
        () => store.delete('a', { ifSequence }),
      ]
      for (const action of actions) {
        const error = expectUnchanged(store, () => failureOf(action))
        expect(shortCode(error)).toBe('CONFLICT')
        expect(error.name).toBe('ThermoclineError')
        expect(error.retryable).toBe(true)
      }
    }
    for (const action of [
      () => store.put({ id: 'absent' }, { ifSequence: 1 }),
      () => store.update('absent', {}, { ifSequence: 1 }),
      () => store.delete('absent', { ifSequence: 1 }),
    ]) {
      expect(shortCode(expectUnchanged(store, () => failureOf(action)))).toBe('CONFLICT')
    }
  })

  test('touch changes statistics only: recallCount + 1, lastAccess now, activation if given', () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    const before = Date.now()
    expect(store.touch('full')).toBe(true)
    const once = store.get('full') as Memory
    expect(once.lastAccess).toBeGreaterThanOrEqual(Math.floor(before))
    expect(once.lastAccess).toBeLessThanOrEqual(Date.now() + 1)
    expect(once).toStrictEqual({ ...full, sequence: 1, recallCount: 8, lastAccess: once.lastAccess })
    expect(store.touch('full', { activation: 0.125 })).toBe(true)
    expect(store.get('full')).toMatchObject({ recallCount: 9, activation: 0.125 })
    expect(store.touch('full', {})).toBe(true)
    expect(store.get('full')).toMatchObject({ recallCount: 10, activation: 0.125 })
    expect(store.touch('absent')).toBe(false)
    expect([store.sequence, store.size]).toEqual([1, 1])
  })

  test('an update after a touch keeps the statistics of the touch', () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    store.touch('full', { activation: 9 })
    const touched = store.get('full') as Memory
    store.update('full', { content: 'new' })
    expect(store.get('full')).toStrictEqual({ ...touched, content: 'new', sequence: 2 })
  })

  test('reading in any way leaves a memory as it was', async () => {
    const { store } = temporaryStore(makeStore)
    store.put(full)
    expectUnchanged(store, () => {
      store.getMany(['full'])
      store.has('full')
      store.locate('full')
      store.searchSync([1, 1, 1])
      expect(store.view('full')?.content).toBe('all of it')
    })
    await store.search([1, 1, 1])
    await store.verify()
    expect(store.get('full')).toStrictEqual({ ...full, sequence: 1 })
  })

  test('writes survive closing and opening, statistics included', () => {
    const { store, again } = temporaryStore(makeStore)
    store.put(full)
    store.put({ id: 'gone' })
    store.delete('gone')
    store.touch('full')
    const before = store.get('full')
    store.close()
    const reopened = again()
    expect(reopened.get('full')).toStrictEqual(before)
    expect([reopened.size, reopened.sequence, reopened.has('gone')]).toEqual([1, 3, false])
    expect(reopened.put({ id: 'next' })).toBe(4)
  })
}
