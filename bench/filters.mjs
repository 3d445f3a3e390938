// What a filter costs: `search` and `entries` for several selectivities, beside the same without a filter.
//
//   node bench/filters.mjs [--n 100000] [--dim 384] [--seconds 0.5]
//
// Filters on metadata (the record is read and its JSON walked) and on createdAt (a native column). Medians of one thread.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { open } from '../dist/index.mjs'
import { makeMemories, makeRandom } from './workload.mjs'

const { values: options } = parseArgs({
  options: {
    n: { type: 'string', default: '100000' },
    dim: { type: 'string', default: '384' },
    seconds: { type: 'string', default: '0.5' },
  },
})
const n = Number(options.n)
const dimensions = Number(options.dim)
const buckets = 1000
const limit = 10

/** Median milliseconds of processor time of a call: what else runs on the host counts less than on the wall clock. */
function measure(run) {
  const times = []
  run()
  const begin = performance.now()
  for (let round = 0; times.length < 3 || performance.now() - begin < Number(options.seconds) * 1000; round += 1) {
    const start = process.cpuUsage()
    run(round)
    const { user, system } = process.cpuUsage(start)
    times.push((user + system) / 1000)
  }
  return times.sort((a, b) => a - b)[times.length >> 1]
}

function count(entries) {
  let found = 0
  for (const _memory of entries) found += 1
  return found
}

const directory = mkdtempSync(join(tmpdir(), 'thermocline-bench-'))
const store = open(join(directory, 'store'), { dimensions, expectedRecords: n, durability: 'none' })
const random = makeRandom(7)
const memories = makeMemories(n, dimensions)
for (const memory of memories) {
  memory.metadata.bucket = Math.floor(random() * buckets)
  memory.createdAt = Math.floor(random() * buckets)
}
store.putMany(memories)
const queries = Array.from({ length: 50 }, () => memories[Math.floor(random() * n)].embedding)

let fresh = 0
/** `cold`: nothing is known of the filter from searches before. */
const search = (filter, cold = false) =>
  measure((round = 0) => {
    const asked = cold && filter !== undefined ? { ...filter, not: { id: { eq: `fresh ${fresh++}` } } } : filter
    store.searchSync(queries[round % queries.length], { limit, filter: asked })
  })
const list = (where) => measure(() => count(store.entries({ where })))
const rows = [['none', 1, undefined]]
for (const share of [0.0001, 0.001, 0.01, 0.1, 0.5, 1]) {
  const lt = Math.max(share * buckets, 0.5)
  rows.push([
    'metadata',
    share,
    share < 0.001 ? { metadata: { turn: { lt: share * n } } } : { metadata: { bucket: { lt } } },
  ])
}
for (const share of [0.001, 0.01, 0.1, 0.5]) rows.push(['createdAt', share, { createdAt: { lt: share * buckets } }])
rows.push(['metadata', 0, { metadata: { bucket: -1 } }])

console.log(`${n} memories, ${dimensions} dimensions, limit ${limit}; milliseconds`)
console.log('filter       selectivity   hits   search   ratio   entries')
let unfiltered
for (const [name, share, filter] of rows) {
  const hits = store.searchSync(queries[0], { limit, filter }).length
  const searchMs = search(filter)
  unfiltered ??= searchMs
  const figures = [
    `${share * 100} %`,
    hits,
    searchMs.toFixed(2),
    (searchMs / unfiltered).toFixed(2),
    list(filter).toFixed(1),
  ]
  console.log(name.padEnd(11), ...figures.map((figure, at) => String(figure).padStart([12, 6, 8, 7, 9][at])))
}
store.close()
rmSync(directory, { recursive: true })
