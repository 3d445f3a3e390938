// The change feed.

import type { Change, Store } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse, rejectionOf, shortCode } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

async function collect(feed: AsyncIterable<Change>, count = Number.MAX_SAFE_INTEGER): Promise<Change[]> {
  const changes: Change[] = []
  for await (const change of feed) if (changes.push(change) === count) break
  return changes
}

const iteratorOf = (feed: AsyncIterable<Change>): AsyncIterator<Change> => feed[Symbol.asyncIterator]()

function writeSome(store: Store): void {
  store.put({ id: 'a' })
  store.update('a', { content: 'x' })
  store.update('absent', {})
  store.delete('a')
  store.delete('a')
  store.touch('a')
  store.putMany([{ id: 'b' }, { id: 'b' }])
  store.write([{ put: { id: 'ü 🌊' } }, { delete: 'absent' }, { delete: 'b' }])
}

const written: Change[] = [
  { sequence: 1, kind: 'put', id: 'a' },
  { sequence: 2, kind: 'update', id: 'a' },
  { sequence: 3, kind: 'delete', id: 'a' },
  { sequence: 4, kind: 'put', id: 'b' },
  { sequence: 5, kind: 'put', id: 'b' },
  { sequence: 6, kind: 'put', id: 'ü 🌊' },
  { sequence: 7, kind: 'delete', id: 'b' },
]

export function changesContract(makeStore: StoreMaker): void {
  test('changes tells every write in order, without gaps from since + 1, and ends at the present', async () => {
    const { store } = temporaryStore(makeStore)
    expect(await collect(store.changes())).toEqual([])
    writeSome(store)
    for (let since = 0; since <= 7; since++) {
      expect(await collect(store.changes({ since }))).toEqual(written.slice(since))
    }
  })

  test('changes crosses fetches and segments without a gap, from any since', async () => {
    const { store } = temporaryStore(makeStore)
    store.putMany(Array.from({ length: 1500 }, (_, index) => ({ id: `m${index}` })))
    for (const since of [0, 1, 255, 256, 257, 511, 1499]) {
      const sequences = (await collect(store.changes({ since }))).map(({ sequence }) => sequence)
      expect(sequences).toEqual(Array.from({ length: 1500 - since }, (_, index) => since + index + 1))
    }
  })

  test('changes survives closing and opening', async () => {
    const { store, again } = temporaryStore(makeStore)
    writeSome(store)
    store.close()
    expect(await collect(again().changes())).toEqual(written)
  })

  test('since above the present rejects with CHANGES_GONE, also with follow', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a' })
    for (const since of [2, 500, Number.MAX_SAFE_INTEGER]) {
      for (const follow of [false, true]) {
        const feed = iteratorOf(store.changes({ since, follow }))
        expect(shortCode(await rejectionOf(feed.next()))).toBe('CHANGES_GONE')
        expect(await feed.next()).toEqual({ done: true, value: undefined })
      }
    }
    expect(await collect(store.changes({ since: 1 }))).toEqual([])
  })

  test('a feed without follow shows what was written until it reaches the present', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a' })
    const feed = iteratorOf(store.changes())
    store.put({ id: 'b' })
    expect([(await feed.next()).value?.id, (await feed.next()).value?.id]).toEqual(['a', 'b'])
    expect((await feed.next()).done).toBe(true)
    store.put({ id: 'c' })
    expect((await feed.next()).done).toBe(true)
  })

  test('follow waits at the present and sees later writes of this handle and of another', async () => {
    const { store, again } = temporaryStore(makeStore)
    const other = again()
    const collected = collect(store.changes({ follow: true }), written.length)
    await Promise.resolve()
    writeSome(other)
    expect(await collected).toEqual(written)
    const feed = iteratorOf(store.changes({ follow: true, since: 7 }))
    for (let round = 0; round < 20; round++) {
      const next = feed.next()
      await new Promise(setImmediate)
      ;(round % 2 === 0 ? store : other).put({ id: `round ${round}` })
      expect((await next).value).toEqual({ sequence: 8 + round, kind: 'put', id: `round ${round}` })
    }
    await feed.return?.()
  })

  test('follow sees a commit within 50 ms', async () => {
    const { store, again } = temporaryStore(makeStore)
    const other = again()
    const feed = iteratorOf(store.changes({ follow: true }))
    const delays: number[] = []
    for (let round = 0; round < 15; round++) {
      const next = feed.next()
      await new Promise(setImmediate)
      const begin = performance.now()
      other.put({ id: 'a' })
      await next
      delays.push(performance.now() - begin)
    }
    await feed.return?.()
    delays.sort((a, b) => a - b)
    expect(delays[7]).toBeLessThan(50)
  })

  test('several steps asked for at once are answered in order', async () => {
    const { store } = temporaryStore(makeStore)
    const feed = iteratorOf(store.changes({ follow: true }))
    const steps = Array.from({ length: 7 }, () => feed.next())
    writeSome(store)
    expect((await Promise.all(steps)).map(({ value }) => value)).toEqual(written)
    await feed.return?.()
  })

  test('return ends a step that waits', async () => {
    const { store } = temporaryStore(makeStore)
    const feed = iteratorOf(store.changes({ follow: true }))
    const steps = [feed.next(), feed.next()]
    await new Promise(setImmediate)
    expect(await feed.return?.()).toEqual({ done: true, value: undefined })
    expect(await Promise.all(steps)).toEqual(Array(2).fill({ done: true, value: undefined }))
    store.put({ id: 'a' })
    expect((await feed.next()).done).toBe(true)
  })

  test('a signal rejects the step that waits with an AbortError, or the next one', async () => {
    const { store } = temporaryStore(makeStore)
    const reason = new Error('enough')
    for (const early of [true, false]) {
      const controller = new AbortController()
      const feed = iteratorOf(store.changes({ follow: true, signal: controller.signal }))
      if (early) controller.abort(reason)
      const step = rejectionOf(feed.next() as Promise<unknown>)
      await new Promise(setImmediate)
      controller.abort(reason)
      const error = await step
      expect([error.name, shortCode(error), error.cause]).toEqual(['AbortError', 'ABORTED', reason])
      expect((await feed.next()).done).toBe(true)
    }
  })

  test('a signal that is aborted between two steps ends a feed that has more', async () => {
    const { store } = temporaryStore(makeStore)
    writeSome(store)
    const controller = new AbortController()
    const feed = iteratorOf(store.changes({ signal: controller.signal }))
    await feed.next()
    controller.abort()
    expect(shortCode(await rejectionOf(feed.next()))).toBe('ABORTED')
  })

  test('many feeds follow one store, each in full', async () => {
    const { store, again } = temporaryStore(makeStore)
    const other = again()
    const feeds = Array.from({ length: 30 }, (_, index) =>
      collect((index % 2 === 0 ? store : other).changes({ follow: true }), 500),
    )
    for (let index = 0; index < 500; index++) {
      store.put({ id: `m${index}` })
      if (index % 50 === 0) await new Promise(setImmediate)
    }
    for (const changes of await Promise.all(feeds)) {
      expect(changes.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 500 }, (_, index) => index + 1))
    }
  })

  test('options are checked at the call', () => {
    const { store } = temporaryStore(makeStore)
    expectMisuse(() => store.changes({ since: -1 }), RangeError, 'ARGUMENT')
    expectMisuse(() => store.changes({ since: 0.5 }), RangeError, 'ARGUMENT')
    expectMisuse(() => store.changes({ since: '1' as unknown as number }), TypeError, 'ARGUMENT')
    expectMisuse(() => store.changes({ follow: 1 as unknown as boolean }), TypeError, 'ARGUMENT')
    expectMisuse(() => store.changes({ signal: {} as AbortSignal }), TypeError, 'ARGUMENT')
    expectMisuse(() => store.changes({ from: 1 } as never), TypeError, 'ARGUMENT')
  })
}
