// close and disposal. What the process keeps (mappings, descriptors, workers) is test/native/lifecycle.test.ts.

import type { Store } from 'thermocline'
import { expect, test } from 'vitest'
import { codeOf, failureOf, rejectionOf, shortCode } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

const synchronous: [string, (store: Store) => unknown][] = [
  ['put', (store) => store.put({ id: 'a' })],
  ['putMany', (store) => store.putMany([])],
  ['get', (store) => store.get('a')],
  ['getMany', (store) => store.getMany([])],
  ['view', (store) => store.view('a')],
  ['has', (store) => store.has('a')],
  ['update', (store) => store.update('a', {})],
  ['delete', (store) => store.delete('a')],
  ['write', (store) => store.write([])],
  ['touch', (store) => store.touch('a')],
  ['searchSync', (store) => store.searchSync([1, 0, 0])],
  ['entries', (store) => store.entries()],
  ['changes', (store) => store.changes()],
  ['size', (store) => store.size],
  ['sequence', (store) => store.sequence],
  ['stats', (store) => store.stats()],
  ['locate', (store) => store.locate('a')],
]

const asynchronous: [string, (store: Store) => Promise<unknown>][] = [
  ['search', (store) => store.search([1, 0, 0])],
  ['searchMany', (store) => store.searchMany([[1, 0, 0]])],
  ['flush', (store) => store.flush()],
  ['compact', (store) => store.compact()],
  ['verify', (store) => store.verify()],
  ['backup', (store) => store.backup('somewhere')],
]

/** `more`: methods that the store has besides those of the contract, and tests elsewhere. */
export function closingContract(makeStore: StoreMaker, more: readonly string[] = []): void {
  test('every method of a closed store throws or rejects with CLOSED, misuse or not', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 0, 0] })
    store.close()
    for (const [name, call] of synchronous) expect([name, codeOf(() => call(store))]).toEqual([name, 'CLOSED'])
    for (const [name, call] of asynchronous) {
      const error = await rejectionOf(call(store)) // and does not throw
      expect([name, shortCode(error), error.name]).toEqual([name, 'CLOSED', 'ThermoclineError'])
    }
    const unchecked = store as unknown as Record<string, () => unknown>
    for (const [name] of synchronous) {
      if (name !== 'size' && name !== 'sequence') expect(codeOf(() => unchecked[name]?.())).toBe('CLOSED')
    }
  })

  test('the list above names every method of the contract', () => {
    const { store } = temporaryStore(makeStore)
    const listed = [...[...synchronous, ...asynchronous].map(([name]) => name), ...more]
    const there = Object.getOwnPropertyNames(Object.getPrototypeOf(store)).filter((name) => name !== 'constructor')
    expect(there.filter((name) => name !== 'close').sort()).toEqual(listed.sort())
  })

  test('close is idempotent, and so is every way of disposal after it', async () => {
    const { store } = temporaryStore(makeStore)
    store.close()
    store.close()
    store[Symbol.dispose]()
    await store[Symbol.asyncDispose]()
  })

  test('one handle closed leaves the others open', () => {
    const { store, again } = temporaryStore(makeStore)
    const other = again()
    store.put({ id: 'a', content: 'kept' })
    store.close()
    expect(other.get('a')?.content).toBe('kept')
    other.put({ id: 'b' })
    other.close()
    expect(again().size).toBe(2)
  })

  test('a followed feed is ended by return in the turn in which the store closed, as in any other', async () => {
    const { store } = temporaryStore(makeStore)
    const feed = store.changes({ follow: true })
    const step = rejectionOf(feed.next())
    await new Promise((resolve) => setImmediate(resolve)) // it waits now
    store.close()
    expect(await feed.return?.()).toEqual({ done: true, value: undefined })
    expect(shortCode(await step)).toBe('CLOSED')
  })

  test('views have length 0 after close; what was read of them before stays, the rest throws CLOSED', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 2, 3], content: 'text', metadata: { k: 1 } })
    const touched = store.view('a')
    const untouched = store.view('a')
    expect(touched?.content).toBe('text')
    const copied = store.get('a')
    store.close()
    for (const view of [touched, untouched]) {
      expect(view?.embedding?.length).toBe(0)
      expect(view?.embedding?.byteLength).toBe(0)
      expect([view?.id, view?.sequence, view?.confidence]).toEqual(['a', 1, 1])
    }
    expect([touched?.content, touched?.metadata]).toEqual(['text', { k: 1 }])
    expect(codeOf(() => untouched?.content)).toBe('CLOSED')
    expect(codeOf(() => untouched?.metadata)).toBe('CLOSED')
    expect(copied?.embedding).toEqual(new Float32Array([1, 2, 3]))
  })

  test('pending searches and checks reject with CLOSED, a running flush completes', async () => {
    const { store } = temporaryStore(makeStore, { durability: 'flush' })
    store.putMany(Array.from({ length: 3000 }, (_, index) => ({ id: `m${index}`, embedding: [1, index, 2] })))
    const pending = [store.search([1, 0, 0]), store.verify(), store.search([0, 1, 0])].map(rejectionOf)
    const flush = store.flush()
    store.close()
    for (const error of await Promise.all(pending)) expect(shortCode(error)).toBe('CLOSED')
    expect(await flush).toBeUndefined()
  })

  test('a followed feed rejects with CLOSED, waiting or not', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a' })
    const waiting = store.changes({ follow: true, since: 1 })[Symbol.asyncIterator]()
    const idle = store.changes({ follow: true })[Symbol.asyncIterator]()
    const step = rejectionOf(waiting.next())
    await new Promise(setImmediate)
    store.close()
    expect(shortCode(await step)).toBe('CLOSED')
    expect(shortCode(await rejectionOf(idle.next()))).toBe('CLOSED')
    expect((await idle.next()).done).toBe(true)
  })

  test('an iterator of entries that is open throws CLOSED once and is then at its end', () => {
    const { store } = temporaryStore(makeStore)
    for (const id of ['a', 'b', 'c']) store.put({ id })
    const iterators = [store.entries(), store.entries(), store.entries()]
    iterators[0]?.next()
    iterators[1]?.return?.()
    store.close()
    expect(shortCode(failureOf(() => iterators[0]?.next()))).toBe('CLOSED')
    expect(iterators[0]?.next()).toEqual({ done: true, value: undefined })
    expect(iterators[1]?.next()).toEqual({ done: true, value: undefined })
    expect(iterators[2]?.return?.()).toEqual({ done: true, value: undefined })
  })

  test('a store closed in the middle of its own calls throws CLOSED there and keeps what was committed', () => {
    const { store, again } = temporaryStore(makeStore)
    const items = (function* () {
      yield { id: 'a' }
      yield { id: 'b' }
      store.close()
      yield { id: 'c' }
    })()
    expect(codeOf(() => store.putMany(items, { batchSize: 1 }))).toBe('CLOSED')
    const reopened = again()
    expect([...reopened.entries()].map(({ id }) => id)).toEqual(['a', 'b'])
    const closing = {
      get id(): string {
        reopened.close()
        return 'late'
      },
    }
    expect(codeOf(() => reopened.put(closing))).toBe('CLOSED')
    expect(again().has('late')).toBe(false)
  })

  test('Symbol.dispose closes; Symbol.asyncDispose awaits pending searches and flushes first', async () => {
    const { store, again } = temporaryStore(makeStore, { durability: 'flush' })
    store.put({ id: 'a', embedding: [1, 0, 0] })
    store[Symbol.dispose]()
    expect(codeOf(() => store.size)).toBe('CLOSED')
    const other = again()
    const search = other.search([1, 0, 0])
    const flush = other.flush()
    const verify = other.verify()
    await other[Symbol.asyncDispose]()
    expect((await search)[0]?.memory.id).toBe('a')
    expect((await verify).ok).toBe(true)
    await flush
    expect(codeOf(() => other.size)).toBe('CLOSED')
  })
}
