// P15 a hot get, P16 moving to cold, P17 bytes in cold, of prose too, P18 a get from cold, P19 empty spaces, P20 the hot budget.
//
// Ours alone but for lmdb's get beside a hot one: cold has no peer that keeps the same promise. The cold stores are made
// by P16 and read by the rows after it; a row that runs alone makes what it needs.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openSpaces, openTiered } from '../../dist/index.mjs'
import { collectGarbage, quantile, timeOnce, timeShort } from '../measure.mjs'
import { makeProse } from '../prose.mjs'
import { copyStore, sizeOnDisk } from '../store-files.mjs'

const limit = 10
const queries = 10
const hotMemories = 4000
const encodings = ['f32', 'f16', 'int8']
const tiered = { durability: 'flush', mover: false }

/** A tiered store whose warm tier is a copy of the filled store. */
function openCopy(context, path, options) {
  rmSync(path, { recursive: true, force: true })
  mkdirSync(path)
  copyStore(context.filled, join(path, 'warm'))
  return openTiered(path, { ...tiered, ...options })
}

const idsOf = (hits) => hits.map(({ memory }) => memory.id)

/** Moves all to cold in one encoding, once a run; what it took and what is left of searches. */
async function coldStore(context, embeddings) {
  const path = join(context.scratch, `cold-${embeddings}`)
  const facts = `${path}.json`
  if (existsSync(facts)) return { path, ...JSON.parse(readFileSync(facts, 'utf8')) }
  const { n } = context.options
  const store = openCopy(context, path, { hot: { bytes: 0 }, cold: { embeddings } })
  const asked = Array.from({ length: queries }, (_, at) => context.workload.query(at))
  const truth = asked.map((query) => idsOf(store.searchSync(query, { exact: true, limit })))
  const demote = Array.from({ length: n }, (_, at) => `mem-${at}`)
  const seconds = (await timeOnce(() => store.maintain({ demote }))) / 1000
  const { cold } = store.stats().tiers
  if (cold.memories !== n) throw new Error(`only ${cold.memories} of ${n} memories are in cold`)
  let found = 0
  const searchMs = await timeOnce(async () => {
    for (const [at, query] of asked.entries()) {
      for (const id of idsOf(await store.search(query, { limit }))) found += truth[at].includes(id) ? 1 : 0
    }
  })
  store.close()
  const warmBytes = sizeOnDisk(context.filled).allocated
  const coldBytes = sizeOnDisk(join(path, 'cold')).allocated
  const result = {
    seconds,
    ratio: coldBytes / warmBytes,
    bytesPerMemory: coldBytes / n,
    warmBytesPerMemory: warmBytes / n,
    recall: found / (queries * limit),
    searchMs: searchMs / queries,
  }
  writeFileSync(facts, JSON.stringify(result))
  return { path, ...result }
}

/** Milliseconds of each get of `count` memories that were not read before, spread over all. */
function timeGets(store, count, n, from = 0) {
  return Array.from({ length: count }, (_, at) => {
    const id = `mem-${((from + at) * 7919) % n}`
    const begin = performance.now()
    if (store.get(id)?.id !== id) throw new Error(`${id} is gone`)
    return performance.now() - begin
  })
}

/** The same for contents of prose. */
async function proseStore({ options, scratch, workload }, embeddings) {
  const { n } = options
  const contents = makeProse(n)
  const path = join(scratch, `prose-${embeddings}`)
  const settings = { ...tiered, hot: { bytes: 0 }, cold: { embeddings } }
  const filling = openTiered(path, { ...settings, dimensions: options.dimensions })
  filling.putMany(contents.map((content, at) => ({ ...workload.memory(at), content })))
  filling.close()
  const warmBytes = sizeOnDisk(join(path, 'warm')).allocated
  const moving = openTiered(path, settings)
  await moving.maintain({ demote: contents.map((_, at) => `mem-${at}`) })
  if (moving.stats().tiers.cold.memories !== n) throw new Error('not all memories are in cold')
  moving.close()
  const coldBytes = sizeOnDisk(join(path, 'cold')).allocated
  const reading = openTiered(path, settings)
  const times = timeGets(reading, options.quick ? 50 : 500, n)
  reading.close()
  rmSync(path, { recursive: true })
  return { ratio: coldBytes / warmBytes, coldBytes, warmBytes, getMs: quantile(times, 0.5) }
}

function allocatedBelow(path) {
  return 1024 * Number(execFileSync('du', ['-sk', path], { encoding: 'utf8' }).split('\t')[0])
}

export const rows = [
  {
    id: 'P15',
    title: 'get from hot, everything decoded (lmdb: get of the same memories)',
    unit: '/s',
    figure: 'perSecond',
    subjects: ['thermocline', 'lmdb'],
    filled: true,
    async start(context) {
      const count = Math.min(context.options.n, hotMemories)
      const ids = Array.from({ length: count }, (_, at) => `mem-${(at * 7919) % count}`)
      if (context.subject !== 'thermocline') return { opened: await context.openFilled(), ids, at: 0 }
      const opened = openCopy(context, join(context.scratch, 'hot'), { hot: { bytes: 64 * 1024 * 1024 } })
      for (const id of ids) opened.touch(id, { activation: 1 })
      for (const id of ids) opened.get(id)
      if (opened.stats().tiers.hot.memories < count) throw new Error('not all of them are hot')
      return { opened, ids, at: 0 }
    },
    async round(state, { time }) {
      const { opened, ids } = state
      const run = () => {
        state.at = state.at + 1 === ids.length ? 0 : state.at + 1
        if (opened.get(ids[state.at]).embedding.length === 0) throw new Error('an empty embedding')
      }
      return { perSecond: await timeShort(run, { time }), memories: ids.length }
    },
    finish: ({ opened }) => opened.close(),
  },
  {
    id: 'P16',
    title: 'move all memories from warm to cold, f32 kept',
    unit: 's',
    figure: 'seconds',
    lower: true,
    filled: true,
    once: true,
    subjects: ['thermocline'],
    async round(_, context) {
      const { seconds } = await coldStore(context, 'f32')
      return { seconds, memories: context.options.n, perSecond: context.options.n / seconds }
    },
  },
  {
    id: 'P17',
    title: 'bytes in cold by bytes in warm after a clean close, f32 kept',
    unit: 'x',
    figure: 'f32',
    lower: true,
    filled: true,
    once: true,
    subjects: ['thermocline'],
    async round(_, context) {
      const figures = {}
      for (const embeddings of encodings) {
        const { ratio, bytesPerMemory, warmBytesPerMemory, recall, searchMs } = await coldStore(context, embeddings)
        figures[embeddings] = ratio
        figures[`${embeddings}Bytes`] = bytesPerMemory
        figures[`${embeddings}Recall`] = recall
        figures[`${embeddings}SearchMs`] = searchMs
        figures.warmBytes = warmBytesPerMemory
      }
      return figures
    },
  },
  {
    id: 'P17-P',
    title: 'the same with contents of English prose',
    unit: 'x',
    figure: 'f32',
    lower: true,
    once: true,
    subjects: ['thermocline'],
    async round(_, context) {
      const figures = {}
      for (const embeddings of encodings) {
        const { ratio, coldBytes, warmBytes, getMs } = await proseStore(context, embeddings)
        figures[embeddings] = ratio
        figures[`${embeddings}Bytes`] = coldBytes / context.options.n
        figures[`${embeddings}GetMs`] = getMs
        figures.warmBytes = warmBytes / context.options.n
      }
      return figures
    },
  },
  {
    id: 'P18',
    title: 'get from cold, first of a memory, f32 kept',
    unit: 'ms',
    figure: 'p50',
    lower: true,
    filled: true,
    subjects: ['thermocline'],
    start: (context) => coldStore(context, 'f32'),
    round({ path }, { options: { n, quick }, round }) {
      const store = openTiered(path, { ...tiered, hot: { bytes: 0 } })
      const count = quick ? 50 : 500
      const times = timeGets(store, count, n, round * count)
      store.close()
      return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
    },
  },
  {
    id: 'P19',
    title: '1,000 empty spaces, each opened once, on disk',
    unit: 'MB',
    figure: 'megabytes',
    lower: true,
    once: true,
    subjects: ['thermocline'],
    round(_, { scratch, options }) {
      const count = options.quick ? 50 : 1000
      const root = join(scratch, 'spaces')
      const spaces = openSpaces(root, { dimensions: options.dimensions, mover: false, durability: 'none' })
      const begin = performance.now()
      for (let at = 0; at < count; at += 1) {
        if (spaces.space(`user-${at}`).size !== 0) throw new Error('a new space holds something')
      }
      const openMs = (performance.now() - begin) / count
      const openMegabytes = ((allocatedBelow(root) / count) * 1000) / 1e6
      spaces.close()
      const megabytes = ((allocatedBelow(root) / count) * 1000) / 1e6
      const files = readdirSync(join(root, 'user-0', 'warm')).length
      rmSync(root, { recursive: true })
      return { megabytes, openMegabytes, openMs, files }
    },
  },
  {
    id: 'P20',
    title: 'heap and array buffers that a full hot tier takes, by its budget',
    unit: 'x',
    figure: 'share',
    lower: true,
    filled: true,
    once: true,
    subjects: ['thermocline'],
    round(_, context) {
      const { n, quick } = context.options
      const bytes = (quick ? 1 : 32) * 1024 * 1024
      const used = () => {
        collectGarbage()
        collectGarbage()
        const { heapUsed, external } = process.memoryUsage()
        return heapUsed + external
      }
      const path = join(context.scratch, 'budget')
      const store = openCopy(context, path, { hot: { bytes } })
      const other = openTiered(path, { ...tiered, hot: { bytes: 0 } })
      const ids = Array.from({ length: Math.min(n, 40_000) }, (_, at) => `mem-${at}`)
      for (const id of ids) other.touch(id, { activation: 1 })
      for (const id of ids) other.get(id) // what a first read makes and compiles
      const before = used()
      let grown = 0
      for (const [at, id] of ids.entries()) {
        store.get(id)
        if (at % 5000 === 4999) grown = Math.max(grown, used() - before)
      }
      grown = Math.max(grown, used() - before)
      const { memories } = store.stats().tiers.hot
      store.close()
      other.close()
      return { share: grown / bytes, megabytes: grown / 1e6, memories }
    },
  },
]
