// P12 exact search; P13 the default search beside indexes tuned to equal recall, with the recall and time of each of
// their efforts, how its cost grows, many at once; P14 the default search at a million beside exact peers.

import { median, quantile, timeEach } from '../measure.mjs'
import { findTruth, measureRecall } from '../truth.mjs'

const limit = 10
const recallReach = 0.99
const recallEnough = 0.998
const memoryBound = ['thermocline', 'usearch', 'memory-probe']

function makeQueries({ workload, options }, count) {
  return Array.from({ length: options.quick ? 5 : count }, (_, i) => workload.query(i))
}

function summarize(microseconds, bytes) {
  const p50 = median(microseconds) / 1000
  return { p50, p99: quantile(microseconds, 0.99) / 1000, gigabytesPerSecond: bytes / p50 / 1e6 }
}

/** A search that reads every embedding. Subjects must find what the oracle finds. */
async function startExact(context, n, opened) {
  const queries = makeQueries(context, 50)
  const bytes = n * context.options.dimensions * 4
  if (context.peer.reference) return { opened, queries, bytes, recall: 1 }
  const checked = queries.slice(0, 5)
  const recall = await measureRecall(findTruth(context, n, checked, limit), checked, opened.search)
  if (recall < recallReach) throw new Error(`exact search of ${context.peer.name} has recall ${recall}`)
  return { opened, queries, bytes, recall }
}

async function roundExact({ opened, queries, bytes, recall }) {
  // The probe reads as many bytes as a search must, in a program of its own.
  const times = opened.measure?.(bytes) ?? (await timeEach(queries, (query) => opened.search(query, limit)))
  return { ...summarize(times, bytes), recall }
}

/** What a subject that does not ask the system for its cores is told. */
const threadsOf = (oneCore) => ({ threads: oneCore ? 1 : 0 })

function exactRow(id, title, subjects, oneCore) {
  return {
    id,
    title,
    unit: 'ms',
    figure: 'p50',
    lower: true,
    subjects,
    filled: true,
    oneCore,
    start: async (context) => startExact(context, context.options.n, await context.openFilled(threadsOf(oneCore))),
    round: roundExact,
    finish: ({ opened }) => opened.close(),
  }
}

/**
 * The recall of each effort, and the one to compare: what comes without asking, else the least that reaches the recall,
 * else the greatest.
 */
async function tune(opened, truth, queries) {
  const points = []
  for (const effort of opened.efforts) {
    opened.setEffort(effort)
    const recall = await measureRecall(truth, queries, opened.search)
    points.push({ effort, recall })
    if (recall >= recallEnough && opened.untuned === undefined) break // more would only take longer
  }
  const isChosen = ({ effort, recall }) =>
    opened.untuned === undefined ? recall >= recallReach : effort === opened.untuned
  const chosen = points.find(isChosen)
  return { points, chosen: chosen ?? points.at(-1) }
}

async function startTuned(context) {
  const { n } = context.options
  const queries = makeQueries(context, 200)
  const truth = findTruth(context, n, queries, limit)
  const opened = await context.openKept(n, { threads: 1, search: 'default' })
  const buildSeconds = await context.keptSeconds(n)
  return { opened, queries, buildSeconds, ...(await tune(opened, truth, queries)) }
}

async function roundTuned({ opened, queries, buildSeconds, points, chosen }) {
  const timed = []
  for (const point of points) {
    opened.setEffort(point.effort)
    await opened.search(queries[0], limit)
    const times = await timeEach(queries, (query) => opened.search(query, limit))
    timed.push({ ...point, p50: median(times) / 1000, p99: quantile(times, 0.99) / 1000 })
  }
  const { effort, recall, p50, p99 } = timed[points.indexOf(chosen)]
  return { p50, p99, tail: p99 / p50, recall, effort, buildSeconds, points: timed }
}

function tunedRow(id, title, oneCore) {
  return {
    id,
    title,
    unit: 'ms',
    figure: 'p50',
    lower: true,
    subjects: ['thermocline', 'usearch-graph', 'hnswlib-graph', 'lancedb-ivf'],
    kept: true,
    oneCore,
    start: startTuned,
    round: roundTuned,
    finish: ({ opened }) => opened.close(),
  }
}

/** Median milliseconds of a search in each of several stores, smallest first. */
async function roundGrowth({ stores, queries, counts }) {
  const p50 = []
  for (const opened of stores) {
    await opened.search(queries[0], limit)
    p50.push(median(await timeEach(queries, (query) => opened.search(query, limit))) / 1000)
  }
  const figures = Object.fromEntries(counts.map((count, at) => [`ms${count}`, p50[at]]))
  // How much faster than its number of memories the cost of a search grew, at worst: 1 is in step.
  const growth = Math.max(...counts.slice(1).map((count, at) => p50[at + 1] / p50[at] / (count / counts[at])))
  return { growth, ...figures }
}

export const rows = [
  exactRow('P12', 'exact search, 10 hits, all cores', [...memoryBound, 'lancedb'], false),
  exactRow('P12-1', 'exact search, 10 hits, one core', [...memoryBound, 'sqlite-vec', 'hnswlib'], true),
  tunedRow('P13', 'search as it comes, recall@10 >= .99, one core', true),
  tunedRow('P13-2', 'search as it comes, recall@10 >= .99, all cores', false),
  {
    id: 'P13-N',
    title: 'cost of a search as it comes, from a tenth of the memories on, against their number; one core',
    unit: 'x',
    figure: 'growth',
    lower: true,
    subjects: ['thermocline'],
    kept: true,
    oneCore: true,
    async start(context) {
      const { n, large } = context.options
      const counts = [Math.ceil(n / 10), n, large].filter((count, at) => at < 2 || count > n)
      const stores = []
      for (const count of counts) stores.push(await context.openKept(count, { threads: 1, search: 'default' }))
      return { stores, counts, queries: makeQueries(context, 200) }
    },
    round: roundGrowth,
    finish({ stores }) {
      for (const opened of stores) opened.close()
    },
  },
  {
    id: 'P13-M',
    title: '64 searches in one call, one core, ms each',
    unit: 'ms',
    figure: 'each',
    lower: true,
    subjects: ['thermocline', 'usearch-graph'],
    kept: true,
    oneCore: true,
    async start(context) {
      const started = await startTuned(context)
      started.opened.setEffort(started.chosen.effort)
      return started
    },
    async round({ opened, queries, chosen }) {
      const size = Math.min(64, queries.length)
      const batches = [0, 1, 2]
        .map((at) => queries.slice(at * size, (at + 1) * size))
        .filter(({ length }) => length === size)
      const times = await timeEach(batches, (batch) => opened.searchMany(batch, limit))
      // The same sums: a median of single searches would leave out the slow ones, which a batch has to wait for.
      const singly = await timeEach(batches, async (batch) => {
        for (const query of batch) await opened.search(query, limit)
      })
      return { each: median(times) / size / 1000, singly: median(singly) / size / 1000, recall: chosen.recall }
    },
    finish: ({ opened }) => opened.close(),
  },
  {
    id: 'P14',
    title: 'search as it comes in the large store, one core',
    unit: 'ms',
    figure: 'p50',
    lower: true,
    large: true,
    oneCore: true,
    subjects: ['thermocline', 'usearch', 'memory-probe'],
    async start(context) {
      const { large } = context.options
      return startExact(context, large, await context.openKept(large, { threads: 1, search: 'default' }))
    },
    round: roundExact,
    finish: ({ opened }) => opened.close(),
  },
]
