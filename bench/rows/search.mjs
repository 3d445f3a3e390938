// P12 exact search; P13 the default search beside graph indexes tuned to equal recall; P14 the default search at a
// million beside exact peers.

import { median, quantile, timeEach } from '../measure.mjs'
import { findTruth, measureRecall } from '../truth.mjs'

const limit = 10
const recallReach = 0.99
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

/** The least effort that reaches the recall; the greatest when none does. */
async function tune(opened, truth, queries) {
  let recall = 0
  for (const effort of opened.efforts) {
    opened.setEffort(effort)
    recall = await measureRecall(truth, queries, opened.search)
    if (recall >= recallReach) return { effort, recall }
  }
  return { effort: opened.efforts.at(-1), recall }
}

export const rows = [
  exactRow('P12', 'exact search, 10 hits, all cores', [...memoryBound, 'lancedb'], false),
  exactRow('P12-1', 'exact search, 10 hits, one core', [...memoryBound, 'sqlite-vec', 'hnswlib'], true),
  {
    id: 'P13',
    title: 'search as it comes, recall@10 >= .99, one core',
    unit: 'ms',
    figure: 'p50',
    lower: true,
    subjects: ['thermocline', 'usearch-graph', 'hnswlib-graph'],
    filled: true,
    oneCore: true,
    async start(context) {
      const queries = makeQueries(context, 200)
      const truth = findTruth(context, context.options.n, queries, limit)
      const begin = performance.now()
      const opened = await context.openFilled({ threads: 1, search: 'default' })
      const buildSeconds = (performance.now() - begin) / 1000
      return { opened, queries, buildSeconds, ...(await tune(opened, truth, queries)) }
    },
    async round({ opened, queries, buildSeconds, effort, recall }) {
      const times = await timeEach(queries, (query) => opened.search(query, limit))
      const { p50, p99 } = summarize(times, 0)
      return { p50, p99, recall, effort, buildSeconds }
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
