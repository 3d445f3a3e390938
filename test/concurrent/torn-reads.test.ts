// Goal: no read path shows parts of two writes, or goes back in time. Method: writers put, update and delete few
// memories, each of whose parts tells which write it is of; readers compare the parts by get, getMany, view, entries
// and searchSync, and remember the newest sequence of each id.

import { expect } from 'vitest'
import { concurrentTest, factor, findSharedPlaces, report } from '../support/concurrent.js'
import { stampedMemory, stampedProblem } from '../support/memories.mjs'

const writers = 2
const readers = 3
const operationsPerWriter = 8000 * factor
const turnsMin = 30 // of each reader, by all paths
const hotMemories = 6
const middleTurns = 20_000 * factor
const dimensions = 192
const timeoutMs = 50_000 * factor
const jobs = new URL('./jobs/torn.mjs', import.meta.url)

concurrentTest('no read path shows a torn memory or goes back', jobs, async (scene) => {
  const openOptions = { dimensions, metric: 'dot' } as const
  const store = scene.openStore(dimensions, 'dot')
  const ids = Array.from({ length: hotMemories }, (_, at) => `hot-${at}`)
  for (const id of ids) store.put(stampedMemory(id, 0, dimensions))
  const result = await scene.pool.run({
    ...scene,
    openOptions,
    jobs: Array.from({ length: writers + readers }, (_, worker) =>
      worker < writers
        ? { name: 'replaceStamped', arguments: { ids, operations: operationsPerWriter, readers, dimensions } }
        : { name: 'witnessStamped', arguments: { ids, dimensions, writers, turnsMin } },
    ),
    sharedWords: hotMemories + 2,
    timeoutMs,
  })
  report('torn reads', result)
  const checked: Record<string, number> = {}
  for (const counts of result.values.slice(writers) as Record<string, number>[]) {
    for (const [path, count] of Object.entries(counts)) checked[path] = (checked[path] ?? 0) + count
  }
  console.log(`torn reads: memories checked ${JSON.stringify(checked)}`)
  const sequences = (result.values.slice(0, writers) as number[]).reduce((sum, count) => sum + count, hotMemories)
  expect(store.sequence).toBe(sequences)
  const memories = [...store.entries()]
  expect(memories.map((memory) => stampedProblem(memory, memory.id, dimensions)).filter(Boolean)).toEqual([])
  expect(new Set(memories.map(({ id }) => id)).size).toBe(store.size)
  expect(
    findSharedPlaces(
      store,
      memories.map(({ id }) => id),
    ),
  ).toEqual([])
  expect(await store.verify()).toMatchObject({ ok: true })
})

concurrentTest('no read path shows the middle of a write', jobs, async (scene) => {
  const seekers = 1 // beside one writer: each on a core of its own
  const store = scene.openStore(1)
  store.put({ id: 'one', embedding: [1], metadata: { whole: true } })
  const shape = { id: 'one', dimensions: 1, readers: seekers }
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions: 1 },
    jobs: [
      { name: 'writeMiddles', arguments: shape },
      ...Array.from({ length: seekers }, () => ({
        name: 'seekMiddles',
        arguments: { ...shape, turns: middleTurns },
      })),
    ],
    sharedWords: 1,
    timeoutMs,
  })
  report('middle of a write', result)
  for (const middles of result.values.slice(1)) expect(middles).toEqual({})
})
