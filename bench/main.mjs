// npm run bench: where anybody checks our figures.
//
//   npm run bench -- --quick          small and short: that it runs, and the ratios to a JavaScript Map
//   npm run bench -- --n 100000 --dim 384 --json
//
// Ours beside a Map that holds the same memories as live objects and copies nothing: the ceiling for any store that
// returns decoded objects. Inputs exist before the clock starts; garbage is collected between rows when node runs
// with --expose-gc (the script sees to it).

import { mkdtempSync, rmSync, unlinkSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { open } from 'thermocline'
import { Bench } from 'tinybench'
import { makeMemories } from './workload.mjs'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    n: { type: 'string' },
    dim: { type: 'string', default: '384' },
    json: { type: 'boolean', default: false },
  },
})
const n = Number(options.n ?? (options.quick ? 20_000 : 100_000))
const dimensions = Number(options.dim)
const time = options.quick ? 300 : 1500

const rows = []

/** Median operations per second of one function, `each` operations a call. */
async function measure(name, run, each = 1) {
  collectGarbage()
  const bench = new Bench({ time, warmupTime: time / 4, warmupIterations: 1, iterations: 3 })
  bench.add(name, run)
  await bench.run()
  const { result } = bench.tasks[0]
  if (result.error) throw result.error
  return (each * 1000) / result.latency.p50
}

async function row(id, name, ours, map, each = 1) {
  const oursPerSecond = await measure(`${name}, thermocline`, ours, each)
  const mapPerSecond = map === undefined ? undefined : await measure(`${name}, Map`, map, each)
  rows.push({ id, name, oursPerSecond, mapPerSecond })
}

function milliseconds(run) {
  collectGarbage()
  const begin = performance.now()
  run()
  return performance.now() - begin
}

async function main() {
  const root = mkdtempSync(join(tmpdir(), 'thermocline-bench-'))
  const memories = makeMemories(n, dimensions)
  const map = new Map()
  const path = join(root, 'store')
  let store
  try {
    let fresh = 0
    await row(
      'P1',
      'putMany, all',
      () => {
        fresh += 1
        const target = open(join(root, `bulk-${fresh}`), { dimensions, expectedRecords: n })
        target.putMany(memories)
        target.close()
        rmSync(join(root, `bulk-${fresh}`), { recursive: true })
      },
      () => {
        const target = new Map()
        for (const memory of memories) target.set(memory.id, memory)
      },
      n,
    )
    store = open(path, { dimensions })
    store.putMany(memories)
    for (const memory of memories) map.set(memory.id, memory)

    let at = 0
    const next = () => {
      at = (at + 7919) % n
      return memories[at]
    }
    await row(
      'P2',
      'put, not durable',
      () => store.put(next()),
      () => {
        const memory = next()
        map.set(memory.id, memory)
      },
    )
    await row(
      'P4',
      'get, everything decoded',
      () => store.get(next().id),
      () => map.get(next().id),
    )
    await row('P5', 'view, embedding and numbers', () => store.view(next().id).embedding[0])
    await row(
      'P8',
      'iterate all',
      () => {
        for (const memory of store.entries()) if (memory.id === '') throw new Error('an empty id')
      },
      undefined,
      n,
    )
    await row('P12', 'exact search, 10 hits', () => store.searchSync(memories[0].embedding))
    await store.flush()
    store.close()

    const opens = []
    for (let i = 0; i < 5; i += 1) {
      opens.push(
        milliseconds(() => {
          store = open(path)
          store.get(memories[0].id)
        }),
      )
      store.close()
    }
    unlinkSync(join(path, 'cache'))
    const rebuild = milliseconds(() => {
      store = open(path)
    })
    const records = store.sequence
    store.close()
    report({
      openMs: opens.toSorted((a, b) => a - b)[2],
      rebuildMs: rebuild,
      rebuildPerSecond: (records * 1000) / rebuild,
    })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

function report(life) {
  const machine = { node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
  if (options.json) {
    console.log(JSON.stringify({ n, dimensions, machine, rows, ...life }, null, 2))
    return
  }
  console.log(`n = ${n}, ${dimensions} dimensions; ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}`)
  for (const { id, name, oursPerSecond, mapPerSecond } of rows) {
    const ours = `${Math.round(oursPerSecond).toLocaleString('en')} /s`
    const ratio = mapPerSecond === undefined ? '' : `${(oursPerSecond / mapPerSecond).toFixed(3)} of a Map`
    console.log(`${id.padEnd(4)}${name.padEnd(30)}${ours.padStart(16)}  ${ratio}`)
  }
  console.log(`P9  open + first get              ${life.openMs.toFixed(2)} ms`)
  console.log(
    `    cache rebuilt from the log    ${life.rebuildMs.toFixed(1)} ms, ${Math.round(life.rebuildPerSecond).toLocaleString('en')} records/s`,
  )
}

await main()
