// Figures of the tiers, ours alone but for lmdb's get: `node bench/tiers.mjs [--n 100000] [--dimensions 384]`.
//
// Prints one line a figure. Not among the rows of main.mjs, because cold has no peer that keeps the same promise.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openSpaces, openTiered } from '../dist/index.mjs'
import { makeWorkload } from './workload.mjs'

const { values } = parseArgs({ options: { n: { type: 'string' }, dimensions: { type: 'string' } } })
const n = Number(values.n ?? 100_000)
const dimensions = Number(values.dimensions ?? 384)
const directory = mkdtempSync(join(tmpdir(), 'thermocline-tiers-'))

function tell(what, figure, target = '') {
  console.log(`${what}: ${figure}${target === '' ? '' : `  (to reach: ${target})`}`)
}

function folderBytes(path) {
  return readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).blocks * 512, 0)
}

function percentile(times, share) {
  return times.sort((a, b) => a - b)[Math.floor(times.length * share)]
}

/** Reads per second over so many calls of a warmed-up function. */
function rate(calls, call) {
  for (let at = 0; at < calls / 10; at++) call(at)
  const startedAt = performance.now()
  for (let at = 0; at < calls; at++) call(at)
  return (calls * 1000) / (performance.now() - startedAt)
}

async function hotFigures(workload) {
  const path = join(directory, 'hot')
  const budget = 32 * 1024 * 1024
  const store = openTiered(path, { dimensions, mover: false, durability: 'none', hot: { bytes: budget } })
  const memories = Array.from({ length: 4000 }, (_, at) => workload.memory(at))
  store.putMany(memories)
  for (const { id } of memories) store.touch(id)
  for (const { id } of memories) store.get(id)
  const hot = rate(200_000, (at) => store.get(`mem-${at % 4000}`))
  tell('hot get', `${Math.round(hot)} /s, ${store.stats().tiers.hot.memories} memories kept`)
  try {
    const { open } = await import('lmdb')
    const peer = open({ path: join(directory, 'lmdb') })
    for (const memory of memories) await peer.put(memory.id, memory)
    const theirs = rate(100_000, (at) => peer.get(`mem-${at % 4000}`))
    tell('lmdb get', `${Math.round(theirs)} /s; ratio ${(hot / theirs).toFixed(2)}`, '>= 3')
    await peer.close()
  } catch (error) {
    tell('lmdb', `not there (${error.code})`)
  }
  store.close()
  // What the budget bounds is an estimate, so the heap is measured beside it.
  globalThis.gc?.()
  const before = process.memoryUsage()
  const second = openTiered(path, { mover: false, durability: 'none', hot: { bytes: budget } })
  for (const { id } of memories) second.get(id)
  globalThis.gc?.()
  const after = process.memoryUsage()
  const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
  const share = grown / second.stats().tiers.hot.bytes
  tell('hot bytes', `${(share * 100).toFixed(1)} % of what was counted were allocated`, '<= 105 %')
  second.close()
}

async function coldFigures(workload, embeddings) {
  const path = join(directory, embeddings)
  const warm = openTiered(path, { dimensions, mover: false, hot: { bytes: 0 } })
  for (let from = 0; from < n; from += 5000) {
    warm.putMany(Array.from({ length: Math.min(5000, n - from) }, (_, at) => workload.memory(from + at)))
  }
  warm.close() // gives back what was made ahead
  const bytesBefore = folderBytes(join(path, 'warm'))
  const store = openTiered(path, { mover: false, hot: { bytes: 0 }, cold: { embeddings } })
  const queries = Array.from({ length: 10 }, (_, at) => workload.query(at))
  const truth = queries.map((query) => store.searchSync(query, { exact: true }).map(({ memory }) => memory.id))
  const startedAt = performance.now()
  await store.maintain({ demote: Array.from({ length: n }, (_, at) => `mem-${at}`) })
  const seconds = (performance.now() - startedAt) / 1000
  tell(`${embeddings}: moving ${n} to cold`, `${seconds.toFixed(1)} s`, '< 10 s')
  const coldBytes = store.stats().tiers.cold.bytes
  tell(
    `${embeddings}: cold bytes`,
    `${(coldBytes / bytesBefore).toFixed(3)} of ${Math.round(bytesBefore / n)} a memory in warm`,
    embeddings === 'f32' ? '<= 0.6' : '',
  )
  let searchMs = performance.now()
  const found = []
  for (const query of queries) found.push(await store.search(query))
  searchMs = (performance.now() - searchMs) / queries.length
  const hits = found.flatMap((list, at) => list.filter(({ memory }) => truth[at].includes(memory.id))).length
  tell(`${embeddings}: recall@10 of a search in cold`, `${hits / truth.flat().length}, ${searchMs.toFixed(0)} ms`)
  store.close()
  const fresh = openTiered(path, { mover: false, hot: { bytes: 0 } })
  const times = Array.from({ length: 500 }, (_, at) => {
    const begun = performance.now()
    if (fresh.get(`mem-${(at * 7919) % n}`) === undefined) throw new Error('a memory is gone')
    return performance.now() - begun
  })
  tell(
    `${embeddings}: cold get`,
    `p50 ${percentile(times, 0.5).toFixed(2)} ms, p99 ${percentile(times, 0.99).toFixed(2)} ms`,
    'p50 <= 10 ms',
  )
  fresh.close()
  rmSync(path, { recursive: true })
}

function spaceFigures() {
  const root = join(directory, 'spaces')
  const spaces = openSpaces(root, { dimensions, mover: false, durability: 'none' })
  for (let at = 0; at < 1000; at++) spaces.space(`user-${at}`).sequence
  spaces.close()
  const kilobytes = Number(execFileSync('du', ['-sk', root], { encoding: 'utf8' }).split('\t')[0])
  tell('1,000 empty spaces, each opened once', `${(kilobytes / 1024).toFixed(1)} MiB`, '< 50 MB')
}

try {
  const workload = makeWorkload(dimensions)
  await hotFigures(workload)
  for (const embeddings of ['f32', 'int8', 'f16']) await coldFigures(workload, embeddings)
  spaceFigures()
} finally {
  rmSync(directory, { recursive: true, force: true })
}
