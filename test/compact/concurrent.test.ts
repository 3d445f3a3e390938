// Goal: KC1 to KC6, K8, K11 and K12 of the check-list, so that compaction and the rest really overlap: threads on one
// store, released together, the compactor going on until the others have ended; contents are compared afterwards.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'thermocline'
import { expect } from 'vitest'
import { concurrentTest, expectNone, factor, findProblems, report, type Scene } from '../support/concurrent.js'
import { derivedMemory } from '../support/memories.mjs'
import { root } from '../support/processes.js'
import type { Job } from '../support/worker-pool.js'

const jobs = new URL('./jobs/compact.mjs', import.meta.url)
const dimensions = 16
const bytes = 200
const timeoutMs = 30_000 * factor

const ids = (count: number, prefix: string): string[] => Array.from({ length: count }, (_, at) => `${prefix}${at}`)
const derive = (id: string) => derivedMemory(id, bytes, dimensions)

interface Load {
  name: string
  stored: number
  removed?: number
  workers: Job[]
  /** Ids that the workers add. */
  added?: string[]
  /** Of `stored`, ids that the workers remove. */
  removedMeanwhile?: string[]
}

/** Stores `kept-*` and removes every other of them, then compacts beside the workers, and compares everything. */
async function play(scene: Scene, { name, stored, removed, workers, added = [], removedMeanwhile = [] }: Load) {
  const store = scene.openStore(dimensions)
  const all = ids(stored, 'kept-')
  store.putMany(all.map(derive))
  const others = workers.filter((job) => job.name !== 'followAll').length
  const gone = new Set(all.filter((_, at) => at % 2 === 1).slice(0, removed ?? stored / 2))
  store.write([...gone].map((id) => ({ delete: id })))
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions, autoCompact: false },
    jobs: [{ name: 'compactAll', arguments: { others } }, ...workers.map((job) => ({ arguments: { others }, ...job }))],
    sharedWords: 1,
    timeoutMs,
  })
  report(name, result)
  const expected = [...all.filter((id) => !gone.has(id) && !removedMeanwhile.includes(id)), ...added]
  expectNone(await findProblems(store, expected.map(derive)))
  expect((result.values[0] as { count: number }).count).toBeGreaterThan(0)
  return { store, result }
}

const kept = (stored: number): string[] => ids(stored, 'kept-').filter((_, at) => at % 2 === 0)
const own = (workers: readonly number[], count: number): string[] =>
  workers.flatMap((worker) => ids(Math.ceil(count / 2), `own-${worker}-`))

concurrentTest('KC1: gets during compaction are exact', jobs, async (scene) => {
  const reads = { ids: kept(1000), bytes, dimensions, reads: 500 * factor }
  await play(scene, { name: 'KC1', stored: 1000, workers: [{ name: 'readKept', arguments: reads }] })
})

concurrentTest('KC2: what is stored during compaction is there afterwards, with its content', jobs, async (scene) => {
  const count = 100 * factor
  await play(scene, {
    name: 'KC2',
    stored: 1000,
    workers: [{ name: 'writeOwn', arguments: { count, bytes, dimensions } }],
    added: own([1], count),
  })
})

concurrentTest('KC3: what is removed during compaction stays removed', jobs, async (scene) => {
  const removedMeanwhile = kept(1000).slice(0, 200)
  await play(scene, {
    name: 'KC3',
    stored: 1000,
    workers: [{ name: 'removeAll', arguments: { ids: removedMeanwhile } }],
    removedMeanwhile,
  })
})

concurrentTest('KC4: ten readers and five writers beside compaction', jobs, async (scene) => {
  const reads = { ids: kept(1000), bytes, dimensions, reads: 100 * factor }
  const count = 50 * factor
  const { store } = await play(scene, {
    name: 'KC4',
    stored: 1000,
    workers: [
      ...[1, 2, 3, 4, 5].map(() => ({ name: 'writeOwn', arguments: { count, bytes, dimensions } })),
      ...Array.from({ length: 10 }, () => ({ name: 'readKept', arguments: reads })),
    ],
    added: own([1, 2, 3, 4, 5], count),
  })
  await store.compact()
  expect(store.stats().bytes.dead).toBe(0)
})

concurrentTest('KC5: writers, and removals of half of what is there, beside compaction', jobs, async (scene) => {
  const removedMeanwhile = kept(800).slice(0, 200)
  const count = 40 * factor
  await play(scene, {
    name: 'KC5',
    stored: 800,
    workers: [
      ...[1, 2, 3, 4].map(() => ({ name: 'writeOwn', arguments: { count, bytes, dimensions } })),
      { name: 'removeAll', arguments: { ids: removedMeanwhile.slice(0, 100) } },
      { name: 'removeAll', arguments: { ids: removedMeanwhile.slice(100) } },
    ],
    added: own([1, 2, 3, 4], count),
    removedMeanwhile,
  })
})

concurrentTest('KC6: ten cycles leave less than 10 MB', jobs, async ({ openStore }) => {
  const store = openStore(dimensions)
  for (let cycle = 0; cycle < 10; cycle++) {
    store.putMany(ids(1000, `c${cycle}-`).map((id) => derivedMemory(id, 1000, dimensions)))
    store.write(ids(1000, `c${cycle}-`).map((id) => ({ delete: id })))
    await store.compact()
    expect(store.stats().bytes.total).toBeLessThan(10_000_000)
  }
  expect(store.size).toBe(0)
})

concurrentTest('K11: 10,000 stored, half removed, readers during compaction', jobs, async (scene) => {
  const reads = { ids: kept(10_000), bytes, dimensions, reads: 2000 * factor }
  await play(scene, {
    name: 'K11',
    stored: 10_000,
    workers: Array.from({ length: 4 }, () => ({ name: 'readKept', arguments: reads })),
  })
})

concurrentTest('K12: 1000 stored, half removed, ten writers during compaction', jobs, async (scene) => {
  const count = 40 * factor
  const writers = Array.from({ length: 10 }, (_, at) => at + 1)
  await play(scene, {
    name: 'K12',
    stored: 1000,
    workers: writers.map(() => ({ name: 'writeOwn', arguments: { count, bytes, dimensions } })),
    added: own(writers, count),
  })
})

concurrentTest('iterators, views, searches and followers go on beside compaction', jobs, async (scene) => {
  const count = 60 * factor
  await play(scene, {
    name: 'look around',
    stored: 1000,
    workers: [
      { name: 'writeOwn', arguments: { count, bytes, dimensions } },
      { name: 'lookAround', arguments: { ids: kept(1000), bytes, dimensions, rounds: 6 * factor } },
      { name: 'followAll' },
    ],
    added: own([1], count),
  })
})

// K8 again, in two processes: each compacts and writes, BUSY never shows within lockTimeout, nothing is lost.
concurrentTest('K8: two processes compact and write at once', jobs, async ({ directory, openStore }) => {
  const store = openStore(dimensions)
  store.putMany(ids(1000, 'kept-').map(derive))
  const program = `
    import { open } from 'thermocline'
    const { derivedMemory } = await import(process.argv[1])
    const store = open(process.argv[2], { lockTimeout: 30000, autoCompact: false })
    for (let round = 0; round < ${5 * factor}; round++) {
      for (let at = 0; at < 100; at++) store.put(derivedMemory('other-' + at, ${bytes}, ${dimensions}))
      await store.compact()
    }
    store.close()`
  const helpers = new URL('../support/memories.mjs', import.meta.url).href
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, helpers, directory], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const ended = once(child, 'exit')
  const again = open(directory, { lockTimeout: 30_000 })
  while (child.exitCode === null && child.signalCode === null) {
    for (let at = 0; at < 100; at++) again.put(derive(`mine-${at}`))
    await again.compact()
  }
  expect(await ended).toEqual([0, null])
  again.close()
  expectNone(
    await findProblems(store, [...ids(1000, 'kept-'), ...ids(100, 'other-'), ...ids(100, 'mine-')].map(derive)),
  )
})
