// Goal: readers of the same memories at once each get them exactly (C2). Method: twenty threads read all memories ten
// times and compare content, the whole embedding and metadata with what follows from the id.

import { expect } from 'vitest'
import { concurrentTest, expectWithin, factor, percentile, report } from '../support/concurrent.js'
import { derivedMemory } from '../support/memories.mjs'

const readers = 20
const memories = 100
const rounds = 10 * factor
const dimensions = 384
const workMsMax = 1000 * factor
const p99MsMax = 0.5
const timeoutMs = 10_000 * factor
const jobs = new URL('./jobs/classic.mjs', import.meta.url)

concurrentTest('C2: 20,000 concurrent gets are exact', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const items = Array.from({ length: memories }, (_, at) => ({ id: `memory-${at}`, bytes: 50 + 10 * at }))
  store.putMany(items.map(({ id, bytes }) => derivedMemory(id, bytes, dimensions)))
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions },
    jobs: Array.from({ length: readers }, () => ({ name: 'getDerived', arguments: { items, dimensions, rounds } })),
    timeoutMs,
  })
  report('C2', result)
  const gets = result.latencies.get('get') as Float64Array
  expect(gets.length).toBe(readers * memories * rounds)
  expect(store.sequence).toBe(memories) // reading wrote nothing
  expectWithin(result.workMs, workMsMax)
  expectWithin(percentile(gets, 99), p99MsMax)
})
