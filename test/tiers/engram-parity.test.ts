// What engram's tier, content, iteration and statistics tests were to show (reference check-list 4.3), made real: after
// reopening, in every tier, with exact comparisons. The identifiers are those of the list.

import { type Memory, type MemoryStore, openTiered, type TieredOptions } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'

const dimensions = 8

function open(
  directory = temporaryDirectory(),
  options: TieredOptions = {},
): { store: MemoryStore; again: () => MemoryStore } {
  const make = (): MemoryStore => {
    const store = openTiered(directory, {
      dimensions,
      durability: 'none',
      mover: false,
      cold: { segmentMemories: 50 },
      ...options,
    })
    onTestFinished(() => store.close())
    return store
  }
  return { store: make(), again: make }
}

const embedding = (at: number): Float32Array =>
  Float32Array.from({ length: dimensions }, (_, d) => Math.sin(at + d / 10))

/** The same contents read warm, cold, and after reopening. */
async function expectContents(contents: readonly (string | null)[]): Promise<void> {
  const { store, again } = open()
  store.putMany(contents.map((content, at) => ({ id: `m${at}`, content, embedding: embedding(at) })))
  const check = (from: MemoryStore): void => {
    for (const [at, content] of contents.entries()) {
      const memory = from.get(`m${at}`) as Memory
      expect([memory.content, memory.embedding]).toEqual([content, embedding(at)])
    }
  }
  check(store)
  await store.maintain({ demote: contents.map((_, at) => `m${at}`) })
  expect(store.stats().tiers.cold.memories).toBe(contents.length)
  check(store)
  store.close()
  check(again())
}

test('EP-P1: short, long, unicode, empty and control characters come back from every tier', async () => {
  await expectContents(['short', 'long '.repeat(5000), 'ünï 🌊', '', '\u0000\u0001\t\r\n\u001f'])
})
test('EP-P2: contents of neighbours are not mixed', async () => {
  await expectContents(['one', 'two', 'three'])
})
test('EP-P3: recall returns the stored text, from cold too', async () => {
  const { store } = open()
  store.put({ id: 'a', content: 'the very text', embedding: embedding(1) })
  await store.maintain({ demote: ['a'] })
  const [found] = await store.recall({ embedding: embedding(1) })
  expect([found?.memory.content, found?.tier]).toEqual(['the very text', 'cold'])
})
test('EP-P4: 10,000 bytes come back', () => expectContents([String.fromCharCode(97).repeat(10_000)]))
test('EP-P5: null content is null, in no tier a placeholder', () => expectContents([null, '', null]))
test('EP-P6: a hundred sizes come back', () =>
  expectContents(Array.from({ length: 100 }, (_, at) => `${at}`.repeat(at * 9))))
test('EP-P7: emoji, CJK, Arabic and Hebrew come back', () =>
  expectContents(['👩‍👩‍👧', '記憶', 'ذاكرة', 'זיכרון', '記👍ذ']))

function fill(store: MemoryStore, count: number): string[] {
  const ids = Array.from({ length: count }, (_, at) => `m${at}`)
  store.putMany(ids.map((id, at) => ({ id, embedding: embedding(at), content: id })))
  return ids
}

test('EP-T1: recall is sorted, bounded, and without doubles across tiers', async () => {
  const { store } = open()
  const ids = fill(store, 60)
  await store.maintain({ demote: ids.filter((_, at) => at % 2 === 0) })
  const found = await store.recall({ embedding: embedding(7), limit: 10, reinforce: false })
  expect(found).toHaveLength(10)
  expect(new Set(found.map(({ memory }) => memory.id)).size).toBe(10)
  const ranks = found.map(({ rank }) => rank)
  expect(ranks).toEqual([...ranks].sort((a, b) => b - a))
  expect(new Set(found.map(({ tier }) => tier)).size).toBeGreaterThan(1)
})
test('EP-T2: moving is real: what is told as moved is where it is told to be', async () => {
  const { store } = open()
  const moved: string[] = []
  store.on('migrated', ({ ids, to }) => to === 'cold' && moved.push(...ids))
  const ids = fill(store, 120)
  expect((await store.maintain({ demote: ids })).demoted).toBe(120)
  expect(moved.sort()).toEqual(ids.sort())
  for (const id of ids) expect(store.tierOf(id)).toBe('cold')
})
test('EP-T3: a cue of text finds what its embedding is nearest to, warm or cold, and nothing is found twice', async () => {
  const { store } = open(undefined, { embed: (text) => embedding(text === 'memory' ? 4.1 : 0) })
  const ids = fill(store, 6)
  await store.maintain({ demote: [ids[4] as string] })
  const found = await store.recall({ text: 'memory', limit: 2 })
  expect(found.map(({ memory, tier }) => [memory.id, tier])).toEqual([
    ['m4', 'cold'],
    ['m5', 'warm'],
  ])
  expect(store.tierOf('m4')).not.toBe('cold')
})
test('EP-T4: thresholds leave out what is below them', async () => {
  const { store } = open()
  fill(store, 30)
  const high = await store.recall({ embedding: embedding(3), minScore: 0.99, limit: 30, reinforce: false })
  const low = await store.recall({ embedding: embedding(3), minScore: -1, limit: 30, reinforce: false })
  expect(high.every(({ score }) => score >= 0.99)).toBe(true)
  expect([high.length > 0, low.length]).toEqual([true, 30])
})

test('EP-I1: iteration tells hot, warm and cold memories once each, and as many as are counted', async () => {
  const { store, again } = open()
  const ids = fill(store, 100)
  await store.maintain({ demote: ids.slice(0, 40) })
  for (const id of ids.slice(60)) store.get(id)
  const { hot, warm, cold } = store.stats().tiers
  expect([hot.memories, warm.memories, cold.memories]).toEqual([40, 60, 40])
  const told = [...store.entries()].map(({ id }) => id)
  expect(told).toEqual(ids)
  expect([store.size, store.stats().memories]).toEqual([100, 100])
  store.close()
  expect([...again().entries()].map(({ id }) => id)).toEqual(ids)
})
test('EP-I2: iteration is lazy, and an empty store has none', () => {
  const { store } = open()
  expect([...store.entries()]).toEqual([])
  fill(store, 20)
  const iterator = store.entries()
  expect([iterator.next().value?.id, iterator.next().value?.id]).toEqual(['m0', 'm1'])
  iterator.return?.()
  expect(iterator.next().done).toBe(true)
})
test('EP-I3: an iteration shows one moment, whatever moves and is written meanwhile', async () => {
  const { store } = open()
  const ids = fill(store, 100)
  await store.maintain({ demote: ids.slice(0, 50) })
  const iterator = store.entries()
  const first = iterator.next().value?.id
  await store.maintain({ demote: ids.slice(50) })
  store.delete('m70')
  store.put({ id: 'new' })
  await store.recall({ embedding: embedding(3), limit: 20 })
  await store.maintain({ demote: [], compactCold: true })
  expect([first, ...[...iterator].map(({ id }) => id)]).toEqual(ids)
})
test('EP-I4: pages of an iteration, each from the sequence of the last, make up the whole', async () => {
  const { store } = open()
  const ids = fill(store, 25)
  await store.maintain({ demote: ids.slice(5, 15) })
  const pages: string[][] = []
  for (let since = 0; ; ) {
    const page: Memory[] = []
    for (const memory of store.entries({ since })) if (page.push(memory) === 10) break
    if (page.length === 0) break
    pages.push(page.map(({ id }) => id))
    since = page.at(-1)?.sequence ?? 0
  }
  expect(pages).toEqual([ids.slice(0, 10), ids.slice(10, 20), ids.slice(20)])
})
test('EP-I5: a hot tier that is full makes room, and iteration tells as many as before', () => {
  const { store } = open(undefined, { hot: { bytes: 4000 } })
  let evicted = 0
  store.on('evicted', () => evicted++)
  const ids = Array.from({ length: 40 }, (_, at) => `m${at}`)
  for (const id of ids) store.put({ id, content: id.repeat(10) })
  const { hot } = store.stats().tiers
  expect([evicted > 0, hot.memories < 40, hot.bytes <= 4000]).toEqual([true, true, true])
  expect([...store.entries()].map(({ id }) => id)).toEqual(ids)
})
test('EP-S1: statistics follow removals, and know no constants', async () => {
  const { store } = open()
  const ids = fill(store, 50)
  await store.maintain({ demote: ids.slice(0, 20) })
  for (const id of ids.slice(10, 30)) store.delete(id)
  const { memories, tiers } = store.stats()
  expect([memories, tiers.warm.memories, tiers.cold.memories, tiers.cold.dead]).toEqual([30, 20, 10, 10])
  await store.maintain({ demote: [], compactCold: true })
  expect(store.stats().tiers.cold).toMatchObject({ memories: 10, dead: 0 })
})
