// Goal: many threads on few memories see whole ones that never grow older, and the last write stays (C4). Method: of
// fifty threads ten replace the ten hot memories with self-describing ones, forty read them.

import type { Memory } from 'thermocline'
import { expect } from 'vitest'
import { concurrentTest, expectWithin, factor, findSharedPlaces, percentile, report } from '../support/concurrent.js'
import { stampedMemory, stampedProblem } from '../support/memories.mjs'

const writers = 10
const readers = 40
const operationsPerTask = 20 * factor
const memories = 100
const hotMemories = 10
const dimensions = 128
const workMsMax = 1000 * factor
const p90MsMax = 1 // beyond it fifty threads on two cores measure the scheduler
const timeoutMs = 20_000 * factor
const jobs = new URL('./jobs/classic.mjs', import.meta.url)

concurrentTest('C4: fifty threads on ten memories see whole ones', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const ids = Array.from({ length: memories }, (_, at) => `memory-${at}`)
  for (const id of ids) store.put(stampedMemory(id, 0, dimensions))
  const hot = { ids: ids.slice(0, hotMemories), operations: operationsPerTask, dimensions }
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions },
    jobs: Array.from({ length: writers + readers }, (_, task) => ({
      name: task < writers ? 'replaceHot' : 'getHot',
      arguments: hot,
    })),
    timeoutMs,
  })
  report('C4', result)
  const last = new Map<string, { sequence: number; number: number }>()
  for (const [id, sequence, number] of result.values.slice(0, writers).flat() as [string, number, number][]) {
    if (sequence > (last.get(id)?.sequence ?? 0)) last.set(id, { sequence, number })
  }
  for (const [id, { sequence, number }] of last) {
    const memory = store.get(id) as Memory
    expect(stampedProblem(memory, id, dimensions)).toBeUndefined()
    expect([memory.sequence, memory.metadata.number]).toEqual([sequence, number])
  }
  expect(findSharedPlaces(store, ids)).toEqual([])
  expect(Array.from(store.entries(), ({ id }) => id).sort()).toEqual([...ids].sort())
  expect([store.size, store.sequence]).toEqual([memories, memories + writers * operationsPerTask])
  expectWithin(result.workMs, workMsMax)
  expectWithin(percentile(result.latencies.get('get') as Float64Array, 90), p90MsMax)
})
