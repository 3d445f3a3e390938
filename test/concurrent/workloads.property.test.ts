// Goal: any number of threads with any contents keep their memories apart (C7). Method: fast-check draws how many
// bytes each thread puts in each memory; the bytes follow from the id. The threads live on between runs, so that
// shrinking is fast; each run has a store of its own.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { open } from 'thermocline'
import { concurrentTest, expectNone, factor, findProblems, testMsMax } from '../support/concurrent.js'
import { derivedMemory } from '../support/memories.mjs'

const runs = 40 * factor
const threads = { minLength: 2, maxLength: 10 }
const memoriesPerThread = { minLength: 10, maxLength: 50 }
const contentBytes = { min: 1, max: 1000 }
const dimensions = 32
const timeoutMs = 10_000
const jobs = new URL('./jobs/classic.mjs', import.meta.url)

concurrentTest('C7: any workload of two to ten threads is stored exactly', jobs, async (scene) => {
  const workMs: number[] = []
  const holds = async (workload: number[][]): Promise<void> => {
    const directory = mkdtempSync(join(scene.directory, 'run-'))
    const store = open(directory, { dimensions })
    try {
      const items = workload.map((sizes, thread) => sizes.map((bytes, at) => ({ id: `t${thread}-m${at}`, bytes })))
      const result = await scene.pool.run({
        seed: scene.seed,
        directory,
        openOptions: { dimensions },
        jobs: items.map((list) => ({ name: 'putDerived', arguments: { items: list, dimensions } })),
        sharedWords: workload.length,
        timeoutMs,
      })
      workMs.push(result.workMs)
      const expected = items.flat().map(({ id, bytes }) => derivedMemory(id, bytes, dimensions))
      expectNone(await findProblems(store, expected))
    } finally {
      store.close()
      rmSync(directory, { recursive: true, force: true })
    }
  }
  const workload = fc.array(fc.array(fc.integer(contentBytes), memoriesPerThread), threads)
  await fc.assert(fc.asyncProperty(workload, holds), {
    seed: scene.seed,
    numRuns: runs,
    interruptAfterTimeLimit: testMsMax / 2,
  })
  workMs.sort((left, right) => left - right)
  const at = (p: number): string => (workMs[Math.min(workMs.length - 1, Math.floor(workMs.length * p))] ?? 0).toFixed(1)
  console.log(`C7: ${runs} workloads; work of one p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms`)
})
