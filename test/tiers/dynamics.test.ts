// Recall, reinforcement, forgetting, supersession, events, statistics and the hot tier of one store.

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CodedError, type MemoryStore, openTiered, salvage, type TieredOptions } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { makeRandom } from '../../bench/workload.mjs'
import { codeOf, rejectionOf, shortCode } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const day = 86_400_000
const now = Date.now()

function open(options: TieredOptions = {}, directory = temporaryDirectory()): MemoryStore & { directory: string } {
  const store = openTiered(directory, { dimensions: 2, durability: 'none', mover: false, ...options })
  onTestFinished(() => store.close())
  return Object.assign(store, { directory })
}

function fill(store: MemoryStore): void {
  store.putMany([
    {
      id: 'east',
      embedding: [1, 0],
      content: 'east',
      metadata: { side: 'right' },
      createdAt: now - 3 * day,
      confidence: 0.9,
    },
    {
      id: 'north',
      embedding: [0, 1],
      content: 'north',
      metadata: { side: 'top' },
      createdAt: now - 2 * day,
      confidence: 0.5,
    },
    {
      id: 'northeast',
      embedding: [1, 1],
      content: 'both',
      metadata: { side: 'top' },
      createdAt: now - day,
      confidence: 0.2,
    },
    { id: 'silent', content: 'no embedding', createdAt: now - 4 * day, activation: 0.1 },
  ])
}

const idsOf = async (found: Promise<{ memory: { id: string } }[]>): Promise<string[]> =>
  (await found).map(({ memory }) => memory.id)

test('recall by embedding, text, likeness, id, time, confidence, metadata and all together', async () => {
  const store = open({ embed: async (text) => (text === 'right' ? [1, 0] : [0, 1]) })
  fill(store)
  await store.maintain({ demote: ['east', 'northeast'] })
  const look = { reinforce: false }
  expect(await idsOf(store.recall({ embedding: [1, 0], ...look }))).toEqual(['east', 'northeast', 'north'])
  expect(await idsOf(store.recall({ text: 'right', limit: 1, ...look }))).toEqual(['east'])
  expect(await idsOf(store.recall({ like: 'east', ...look }))).toEqual(['northeast', 'north'])
  expect(await idsOf(store.recall({ id: 'silent', ...look }))).toEqual(['silent'])
  expect(await idsOf(store.recall({ id: 'nobody', ...look }))).toEqual([])
  expect(await idsOf(store.recall({ createdAt: { before: now - 2.5 * day }, ...look }))).toEqual(['east', 'silent'])
  expect(await idsOf(store.recall({ createdAt: { after: now - 1.5 * day }, ...look }))).toEqual(['northeast'])
  const between = [now - 3 * day, now - 2 * day] as const
  expect(await idsOf(store.recall({ lastAccess: { between }, ...look }))).toEqual(['north', 'east'])
  expect(await idsOf(store.recall({ embedding: [1, 1], confidence: 0.5, ...look }))).toEqual(['east', 'north'])
  expect(await idsOf(store.recall({ embedding: [1, 0], metadata: { side: 'top' }, minScore: 0.5, ...look }))).toEqual([
    'northeast',
  ])
  expect(store.tierOf('east')).toBe('cold')
})

test('recall is by the query, not by what is stored with it', async () => {
  const store = open()
  fill(store)
  const [first] = await store.recall({ embedding: [0, 1], reinforce: false })
  expect([first?.memory.id, first?.score, first?.rank]).toEqual(['north', 1, 1])
})

test('weights let recency and activation outrank similarity, over all memories', async () => {
  const store = open()
  const many = Array.from({ length: 300 }, (_, at) => ({
    id: `m${at}`,
    embedding: [1, at / 1000],
    createdAt: now - (300 - at) * day,
  }))
  store.putMany(many)
  const best = await store.recall({ embedding: [1, 0], limit: 1, weights: { recency: 10 }, reinforce: false })
  expect(best[0]?.memory.id).toBe('m299')
  const faint = await store.recall({ embedding: [1, 0], limit: 1, reinforce: false })
  expect(faint[0]?.memory.id).toBe('m0')
})

test('recalling reinforces without a rewrite, and brings back from cold', async () => {
  const store = open()
  fill(store)
  const before = store.get('north')
  const { sequence } = store
  await store.recall({ embedding: [0, 1], limit: 1 })
  const after = store.get('north')
  expect(store.sequence).toBe(sequence)
  expect([after?.sequence, after?.recallCount]).toEqual([before?.sequence, 1])
  expect(after?.lastAccess).toBeGreaterThanOrEqual(now)
  await store.maintain({ demote: ['east'] })
  const told: unknown[] = []
  store.on('migrated', (event) => told.push(event))
  const [found] = await store.recall({ embedding: [1, 0], limit: 1 })
  expect([found?.memory.id, found?.tier, store.tierOf('east')]).toEqual(['east', 'cold', 'warm'])
  expect(store.get('east')).toMatchObject({ recallCount: 1, content: 'east', metadata: { side: 'right' } })
  expect(told).toContainEqual({ ids: ['east'], from: 'cold', to: 'warm' })
})

test('wrong cues are refused before anything is done', async () => {
  const store = open()
  fill(store)
  const wrong = [undefined, [], { nonsense: 1 }, { text: 'x' }, { embedding: [1, 0], like: 'east' }, { minScore: 1 }]
  for (const cue of wrong) expect(shortCode(await rejectionOf(store.recall(cue as never)))).toBe('ARGUMENT')
  expect(shortCode(await rejectionOf(store.recall({ like: 'nobody' })))).toBe('NOT_FOUND')
})

test('activation decays lazily, and reinforce raises what is left', () => {
  const store = open({ policy: { halfLifeMs: day } })
  store.put({ id: 'a', activation: 0.8, createdAt: now - day })
  expect(store.activationOf('a')).toBeCloseTo(0.4, 3)
  expect(store.get('a')?.activation).toBe(0.8)
  expect(store.reinforce('a', 0.2)).toBe(true)
  expect(store.activationOf('a')).toBeCloseTo(0.6, 3)
  expect([store.reinforce('b'), store.activationOf('b')]).toEqual([false, undefined])
})

test('forget deletes for good, in warm and cold, and names what went', async () => {
  const store = open()
  fill(store)
  await store.maintain({ demote: ['east', 'silent'] })
  const gone: unknown[] = []
  store.on('forgotten', (event) => gone.push(event))
  expect((await store.forget('east')).forgotten).toEqual([{ id: 'east', reason: 'id', tier: 'cold' }])
  expect((await store.forget({ ids: ['east', 'nobody'] })).forgotten).toEqual([])
  expect((await store.forget({ belowActivation: 0.5 })).forgotten.map(({ id }) => id)).toEqual(['silent'])
  expect((await store.forget({ olderThanMs: 1.5 * day, where: { metadata: { side: 'top' } } })).forgotten).toEqual([
    { id: 'north', reason: 'age', tier: 'warm' },
  ])
  expect([...store.entries()].map(({ id }) => id)).toEqual(['northeast'])
  expect(gone).toHaveLength(3)
  expect(shortCode(await rejectionOf(store.forget({})))).toBe('ARGUMENT')
  await store.maintain({ compactCold: true, demote: [] })
  const files = readdirSync(join(store.directory, 'cold')).filter((name) => name.endsWith('.cold'))
  expect(files).toEqual([])
})

test('supersede and replaceMany are atomic, across tiers', async () => {
  const store = open()
  fill(store)
  await store.maintain({ demote: ['east'] })
  store.supersede('east', { id: 'west', embedding: [-1, 0] })
  expect([store.has('east'), store.has('west'), store.size]).toEqual([false, true, 4])
  expect(codeOf(() => store.supersede('east', { id: 'x' }))).toBe('CONFLICT')
  expect(codeOf(() => store.replaceMany(['north', 'nobody'], { id: 'x' }))).toBe('CONFLICT')
  expect(store.size).toBe(4)
  await store.maintain({ demote: ['north', 'northeast'] })
  store.replaceMany(['north', 'northeast', 'west'], { id: 'north', content: 'one of three' })
  expect([...store.entries()].map(({ id }) => id)).toEqual(['silent', 'north'])
})

test('hot hands out nothing that another handle has replaced, and the statistics of now', () => {
  const store = open()
  const other = open({}, store.directory)
  store.put({ id: 'a', content: '1' })
  expect([store.get('a')?.content, store.tierOf('a')]).toEqual(['1', 'hot'])
  other.put({ id: 'a', content: '2' })
  expect(store.get('a')?.content).toBe('2')
  other.touch('a', { activation: 0.9 })
  expect(store.get('a')).toMatchObject({ activation: 0.9, recallCount: 1 })
  other.delete('a')
  expect(store.get('a')).toBeUndefined()
  const mine = store.get('a')
  expect(mine).toBeUndefined()
})

test('statistics are measured: a store that did nothing shows nothing, then what was done', async () => {
  const store = open()
  const idle = store.stats().tiers
  expect([idle.hot.reads, idle.hot.hitRate, idle.warm.latency.count, idle.cold.memories]).toEqual([0, 0, 0, 0])
  store.putMany([{ id: 'a' }, { id: 'b', activation: 0 }])
  for (let at = 0; at < 4; at++) store.get('a')
  store.get('b')
  store.get('none')
  const { hot, warm } = store.stats().tiers
  expect([hot.reads, hot.hits, hot.memories]).toEqual([6, 3, 1])
  expect([warm.reads, warm.hits, warm.memories]).toEqual([3, 2, 2])
  expect(warm.latency.p50).toBeGreaterThan(0)
  await store.maintain({ demote: ['b'] })
  store.get('b')
  const { cold } = store.stats().tiers
  expect([cold.memories, cold.hits, cold.movedIn, cold.segments]).toEqual([1, 1, 1, 1])
  expect(store.stats().memories).toBe(2)
})

test('the policy moves what is idle to cold, and cools what is hot', async () => {
  const store = open()
  store.put({ id: 'old', createdAt: now - 30 * day })
  store.put({ id: 'new' })
  const { demoted } = await store.maintain()
  expect([demoted, store.tierOf('old'), store.tierOf('new')]).toEqual([1, 'cold', 'hot'])
})

test('the mover works in the background by its budget, and tells what it moved', async () => {
  const store = open({ mover: { intervalMs: 5, memoriesPerSecond: 1000 } })
  const moved = new Promise((resolve) => store.on('migrated', ({ ids, to }) => to === 'cold' && resolve(ids)))
  store.put({ id: 'old', createdAt: now - 30 * day, activation: 0.1 })
  expect(await moved).toEqual(['old'])
  await store[Symbol.asyncDispose]()
})

test('whatever brings memories from cold to warm tells it once, and a deletion tells nothing', async () => {
  const store = open({ hot: { bytes: 0 } })
  const ids = ['touched', 'put', 'updated', 'written', 'many', 'recalled', 'deleted', 'brief', 'old']
  store.putMany(ids.map((id) => ({ id, embedding: [1, 0] })))
  await store.maintain({ demote: ids })
  const told: string[] = []
  store.on('migrated', ({ ids: moved, from, to }) => told.push(`${moved.join('+')}: ${from} to ${to}`))
  store.touch('touched')
  store.put({ id: 'put', embedding: [1, 0] })
  store.update('updated', { content: 'new' })
  store.write([{ put: { id: 'written' } }, { put: { id: 'brief' } }, { delete: 'brief' }])
  store.putMany([{ id: 'many' }, { id: 'new' }])
  await store.recall({ id: 'recalled' })
  store.delete('deleted')
  store.supersede('old', { id: 'newer' })
  expect(told).toEqual(['touched', 'put', 'updated', 'written', 'many', 'recalled'].map((id) => `${id}: cold to warm`))
  expect(store.stats().tiers.cold.memories).toBe(0)
  for (const id of ids) store.touch(id)
  expect(told).toHaveLength(6)
})

test('a salvaged warm tier finds its cold files when they are copied beside it', async () => {
  const store = open({})
  const memories = Array.from({ length: 40 }, (_, at) => ({
    id: `m${at}`,
    content: `content ${at}`,
    embedding: [at, 1],
  }))
  store.putMany(memories)
  await store.maintain({ demote: memories.slice(10).map(({ id }) => id) })
  store.put({ id: 'm20', content: 'newer', embedding: [0, 1] })
  store.delete('m30')
  store.close()
  const target = temporaryDirectory()
  await salvage(join(store.directory, 'warm'), join(target, 'warm'))
  cpSync(join(store.directory, 'cold'), join(target, 'cold'), { recursive: true })
  const saved = openTiered(target, { mover: false })
  onTestFinished(() => saved.close())
  const wanted = new Map(memories.map(({ id, content }) => [id, id === 'm20' ? 'newer' : content]))
  wanted.delete('m30')
  expect(new Map([...saved.entries()].map(({ id, content }) => [id, content]))).toEqual(wanted)
  expect(saved.stats().tiers.cold.memories).toBe(28)
  expect((await saved.verify()).ok).toBe(true)
  const copy = join(temporaryDirectory(), 'copy')
  expect((await saved.backup(copy)).memories).toBe(39)
  const again = openTiered(copy, { mover: false })
  onTestFinished(() => again.close())
  expect(new Map([...again.entries()].map(({ id, content }) => [id, content]))).toEqual(wanted)
})

test('texts of few words are kept as words, and come back to the last byte, whatever lies between', async () => {
  const random = makeRandom(20_907)
  const words = Array.from({ length: 500 }, () => Math.floor(random() * 36 ** 5).toString(36))
  const odd = ['\0', '\u{1f9e0}', 'Grüße ', '  ', '\n\t', 'x'.repeat(700), '記憶 ', '\u00ff\u0100', '{"a": [1]}']
  const count = 600
  const memories = Array.from({ length: count }, (_, at) => {
    const parts = Array.from({ length: 90 }, () => `${words[Math.floor(random() * words.length)]} `)
    if (at % 10 === 0) parts.splice(Math.floor(random() * 90), 0, odd[(at / 10) % odd.length] as string)
    const content =
      at % 7 === 0 ? (at % 2 === 0 ? null : '') : parts.join('').slice(0, 100 + Math.floor(random() * 400))
    return { id: `m${at}`, content, metadata: at % 3 === 0 ? {} : { at, source: `chat-${at % 5}` } }
  })
  for (const codec of ['brotli', 'deflate'] as const) {
    const store = open({ cold: { codec } })
    store.putMany(memories)
    await store.maintain({ demote: memories.map(({ id }) => id) })
    const { cold } = store.stats().tiers
    expect(cold.memories).toBe(count)
    for (const { id, content, metadata } of memories) {
      const found = store.get(id)
      expect([id, found?.content, found?.metadata]).toEqual([id, content, metadata])
    }
    const textBytes = memories.reduce((sum, { content }) => sum + Buffer.byteLength(content ?? ''), 0)
    // Plain, these texts take 0.36 of their bytes.
    if (codec === 'brotli') expect(cold.bytes / textBytes).toBeLessThan(0.3)
    expect((await store.verify()).ok).toBe(true)
  }
})

test('any damaged byte of a cold file is found, and the other memories are read', async () => {
  const store = open({ cold: { cacheBytes: 0 } })
  store.putMany(Array.from({ length: 50 }, (_, at) => ({ id: `m${at}`, embedding: [at, 1], content: `content ${at}` })))
  await store.maintain({ demote: Array.from({ length: 50 }, (_, at) => `m${at}`) })
  const file = readdirSync(join(store.directory, 'cold')).find((name) => name.endsWith('.cold')) as string
  const path = join(store.directory, 'cold', file)
  const whole = readFileSync(path)
  for (let at = 0; at < whole.length; at += 7) {
    const damaged = Buffer.from(whole)
    damaged[at] = (damaged[at] as number) ^ 0x10
    writeFileSync(path, damaged)
    const fresh = openTiered(store.directory, { mover: false, durability: 'none' })
    let outcome = 'ok'
    try {
      outcome = (await fresh.verify()).ok ? 'ok' : 'problem'
    } catch (error) {
      outcome = shortCode(error as CodedError)
    }
    expect([at, outcome === 'problem' || outcome === 'CORRUPT']).toEqual([at, true])
    fresh.close()
  }
  writeFileSync(path, whole)
  expect((await store.verify()).ok).toBe(true)
})
