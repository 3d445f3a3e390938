// The check-list of compaction that the seed's ancestor had, point by point: K1 to K17. Those that are about doing it
// beside others are in concurrent.test.ts, so that they really overlap; K8 is in both.

import { open, type Store } from 'thermocline'
import { expect, test } from 'vitest'
import { derivedMemory, derivedProblem } from '../support/memories.mjs'
import { temporaryStore } from '../support/temporary.js'

const dimensions = 8
const testMsMax = 60_000

function makeStore(): Store {
  return temporaryStore(open, { dimensions, autoCompact: false }).store
}

const memory = (id: string, bytes: number) => derivedMemory(id, bytes, dimensions)
const ids = (count: number, prefix = 'm'): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`)

function putAll(store: Store, names: readonly string[], bytes: number): void {
  store.putMany(names.map((id) => memory(id, bytes)))
}

function expectExactly(store: Store, names: readonly string[], bytes: number): void {
  expect(store.size).toBe(names.length)
  for (const id of names) expect([id, derivedProblem(store.get(id), memory(id, bytes))]).toEqual([id, undefined])
  expect(Array.from(store.entries(), ({ id }) => id).sort()).toEqual([...names].sort())
}

test('K1: of 100 stored the even ones are removed: space comes back, the 50 others are exact', async () => {
  const store = makeStore()
  putAll(store, ids(100), 4000)
  for (let at = 0; at < 100; at += 2) store.delete(`m${at}`)
  const { bytesBefore, bytesAfter } = await store.compact()
  expect(bytesAfter).toBeLessThan(bytesBefore)
  expectExactly(
    store,
    ids(100).filter((_, at) => at % 2 === 1),
    4000,
  )
})

test('K2: of 10 stored 5 are removed: the others are found where they are now', async () => {
  const store = makeStore()
  putAll(store, ids(10), 100)
  const before = store.locate('m9')
  for (let at = 0; at < 5; at++) store.delete(`m${at}`)
  await store.compact()
  expect(store.locate('m9')).not.toEqual(before)
  expectExactly(store, ids(10).slice(5), 100)
})

test('K3: of 1000 KB nine tenths are removed: less than a fifth of the logs is left', async () => {
  const store = makeStore()
  putAll(store, ids(1000), 1024)
  for (let at = 0; at < 1000; at++) if (at % 10 > 0) store.delete(`m${at}`)
  const before = store.stats().bytes.log
  await store.compact()
  const after = store.stats().bytes.log
  expect(after).toBeLessThan(300_000)
  expect(after / before).toBeLessThan(0.2)
})

test('K4: what comes back is the difference, and is no longer called dead', async () => {
  const store = makeStore()
  putAll(store, ids(100), 500)
  for (let at = 0; at < 50; at++) store.delete(`m${at}`)
  const { dead, total } = store.stats().bytes
  expect(dead).toBeGreaterThan(50 * (500 + 4 * dimensions))
  const { bytesBefore, bytesAfter } = await store.compact()
  expect([bytesBefore >= total, store.stats().bytes.dead]).toEqual([true, 0])
  expect(Math.abs(store.stats().bytes.total - bytesAfter)).toBeLessThan(1 << 20)
})

test('K5: nothing is dead in a new store, nor in a full one; about half is after half is removed', async () => {
  const store = makeStore()
  expect(store.stats().bytes.dead).toBe(0)
  putAll(store, ids(400), 1000)
  expect(store.stats().bytes.dead).toBe(0)
  for (let at = 0; at < 200; at++) store.delete(`m${at}`)
  const bytes = 400 * (1000 + 64 + 4 * dimensions)
  expect(store.stats().bytes.dead / bytes).toBeGreaterThan(0.4)
  expect(store.stats().bytes.dead / bytes).toBeLessThan(0.6)
})

test('K6: memories without content, none of them dead: nothing is moved', async () => {
  const store = makeStore()
  for (const id of ids(10)) store.put({ id })
  const { bytesBefore, bytesAfter, moved } = await store.compact()
  expect([bytesAfter, moved, store.size]).toEqual([bytesBefore, 0, 10])
})

test('K7: an empty store', async () => {
  const store = makeStore()
  const { bytesBefore, bytesAfter, moved } = await store.compact()
  expect([bytesAfter, moved]).toEqual([bytesBefore, 0])
  expect(await store.verify()).toEqual({ ok: true, memories: 0, problems: [] })
})

test('K8: two at once over 1000 memories: one after the other, and nothing is lost', async () => {
  const store = makeStore()
  putAll(store, ids(1000), 300)
  for (let at = 0; at < 500; at++) store.delete(`m${at}`)
  const [first, second] = await Promise.all([store.compact(), store.compact()])
  expect(first.moved + second.moved).toBe(500)
  expectExactly(store, ids(1000).slice(500), 300)
})

test('K9: three cycles of 50 stored and 25 removed', async () => {
  const store = makeStore()
  const kept: string[] = []
  for (const cycle of ['a', 'b', 'c']) {
    putAll(store, ids(50, cycle), 200)
    for (let at = 0; at < 25; at++) store.delete(`${cycle}${at}`)
    kept.push(...ids(50, cycle).slice(25))
    await store.compact()
    expectExactly(store, kept, 200)
  }
})

test('K10: five names, the middle one removed: the order of the others is kept', async () => {
  const store = makeStore()
  const names = ['anna', 'berta', 'clara', 'dora', 'emma']
  for (const id of names) store.put(memory(id, 50))
  store.delete('clara')
  await store.compact()
  expect(Array.from(store.entries(), ({ id }) => id)).toEqual(['anna', 'berta', 'dora', 'emma'])
})

test('K13: an empty content stays empty, and none stays none', async () => {
  const store = makeStore()
  store.put({ id: 'empty', content: '' })
  store.put({ id: 'none', content: null })
  store.put({ id: 'gone', content: 'x' })
  store.delete('gone')
  await store.compact()
  expect([store.get('empty')?.content, store.get('none')?.content]).toEqual(['', null])
})

test('K14: the share that is dead passes one half with the memory that is one half', () => {
  const store = makeStore()
  putAll(store, ids(1000), 100)
  const each = Number(store.locate('m0')?.logLength) + 4 * dimensions
  for (let at = 0; at < 499; at++) store.delete(`m${at}`)
  expect(store.stats().bytes.dead / (1000 * each)).toBeLessThan(0.5)
  for (let at = 499; at < 505; at++) store.delete(`m${at}`)
  expect(store.stats().bytes.dead / (1000 * each)).toBeGreaterThanOrEqual(0.5)
})

test('K15: two with 50 more stored in between', async () => {
  const store = makeStore()
  putAll(store, ids(100), 150)
  for (let at = 0; at < 50; at++) store.delete(`m${at}`)
  await store.compact()
  putAll(store, ids(50, 'n'), 150)
  for (let at = 50; at < 60; at++) store.delete(`m${at}`)
  await store.compact()
  expectExactly(store, [...ids(100).slice(60), ...ids(50, 'n')], 150)
})

test('K16: of 50,000 of 190 bytes half are removed: more than 4 MB come back', { timeout: testMsMax }, async () => {
  const store = makeStore()
  putAll(store, ids(50_000), 190)
  for (let at = 0; at < 50_000; at += 200) {
    store.write(Array.from({ length: 100 }, (_, offset) => ({ delete: `m${at + 2 * offset}` })))
  }
  const begin = performance.now()
  const { bytesBefore, bytesAfter } = await store.compact()
  console.log(`K16: ${(performance.now() - begin).toFixed(0)} ms, ${bytesBefore} bytes became ${bytesAfter}`)
  expect(bytesBefore - bytesAfter).toBeGreaterThan(4_000_000)
  const kept = ids(50_000).filter((_, at) => at % 2 === 1)
  expect(store.size).toBe(25_000)
  for (let at = 0; at < kept.length; at += 50) {
    expect(derivedProblem(store.get(kept[at] as string), memory(kept[at] as string, 190))).toBe(undefined)
  }
  expect((await store.verify()).ok).toBe(true)
})

test('K17: five cycles of 2000 KB, all removed: as little is left as in the first', {
  timeout: testMsMax,
}, async () => {
  const store = makeStore()
  const left: number[] = []
  for (const cycle of ['a', 'b', 'c', 'd', 'e']) {
    putAll(store, ids(2000, cycle), 1024)
    store.write(ids(2000, cycle).map((id) => ({ delete: id })))
    await store.compact()
    left.push(store.stats().bytes.log)
    expect(store.size).toBe(0)
  }
  for (const bytes of left) expect(bytes).toBeLessThan(200_000)
})
