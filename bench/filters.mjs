// What a filter costs: `search` and `entries` for several selectivities, beside the same without a filter.
//
//   node bench/filters.mjs [--n 100000] [--dim 384] [--seconds 0.5]
//
// `once`: the very first search that asks about the path; `first`: every search asks what nobody asked before; `again`:
// the same condition each time. Ratios are to searches without a filter just before each row. Filters on metadata whose
// path is indexed, on metadata whose path is not (keys are learnt from the records), and on createdAt (a native
// column). Medians of processor time, one thread.

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
const limit = 10
// One in so many memories has a given value.
const groups = [1000, 100, 10, 2]

/** Milliseconds of processor time of a call: what else runs on the host counts less than on the wall clock. */
function time(run) {
  const start = process.cpuUsage()
  run()
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1000
}

/** The median of many calls. */
function measure(run) {
  const times = []
  run(0)
  const begin = performance.now()
  for (let round = 1; times.length < 5 || performance.now() - begin < Number(options.seconds) * 1000; round += 1) {
    times.push(time(() => run(round)))
  }
  return times.sort((a, b) => a - b)[times.length >> 1]
}

function count(entries) {
  let found = 0
  for (const _memory of entries) found += 1
  return found
}

const directory = mkdtempSync(join(tmpdir(), 'thermocline-bench-'))
const indexed = groups.map((size) => `indexed${size}`)
const store = open(join(directory, 'store'), { dimensions, expectedRecords: n, durability: 'none', indexed })
const random = makeRandom(7)
const memories = makeMemories(n, dimensions)
for (const memory of memories) {
  for (const size of groups) {
    const value = `value ${Math.floor(random() * size)}`
    memory.metadata[`indexed${size}`] = value
    memory.metadata[`plain${size}`] = value
  }
  memory.createdAt = Math.floor(random() * 1000)
}
store.putMany(memories)
const queries = Array.from({ length: 50 }, () => memories[Math.floor(random() * n)].embedding)

let fresh = 0
const search = (filterOf) =>
  measure((round) => {
    store.searchSync(queries[round % queries.length], { limit, threads: 1, filter: filterOf?.(round) })
  })
/** The same condition in words that nobody used before. */
const freshly = (key, size) => () => ({ metadata: { [key]: { in: [`value ${fresh % size}`, `none ${fresh++}`] } } })

const rows = []
for (const size of groups) {
  for (const kind of ['indexed', 'plain']) {
    const key = `${kind}${size}`
    rows.push([kind, 1 / size, { metadata: { [key]: { in: ['value 0', 'none'] } } }, freshly(key, size)])
  }
}
for (const share of [0.001, 0.01, 0.1, 0.5]) rows.push(['createdAt', share, { createdAt: { lt: share * 1000 } }])
rows.push(['indexed', 0, { metadata: { indexed10: -1 } }, () => ({ metadata: { indexed10: -1 - fresh++ } })])
rows.push(['plain', 0, { metadata: { plain10: -1 } }, () => ({ metadata: { plain10: -1 - fresh++ } })])

search()
console.log(`${n} memories, ${dimensions} dimensions, limit ${limit}; milliseconds`)
console.log('filter       selectivity   hits  without     once    first   ratio    again   ratio   entries')
for (const [name, share, filter, next] of rows) {
  const unfiltered = search()
  let hits
  const once = time(() => {
    hits = store.searchSync(queries[0], { limit, threads: 1, filter: next?.() ?? filter }).length
  })
  const first = search(next ?? (() => filter))
  const again = search(() => filter)
  const figures = [
    `${+(share * 100).toFixed(3)} %`,
    hits,
    unfiltered.toFixed(2),
    once.toFixed(2),
    first.toFixed(2),
    (first / unfiltered).toFixed(2),
    again.toFixed(2),
    (again / unfiltered).toFixed(2),
    measure(() => count(store.entries({ where: filter }))).toFixed(1),
  ]
  console.log(
    name.padEnd(11),
    ...figures.map((figure, at) => String(figure).padStart([12, 6, 8, 8, 8, 7, 8, 7, 9][at])),
  )
}
store.close()
rmSync(directory, { recursive: true })
