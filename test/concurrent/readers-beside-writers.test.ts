// Goal: writers and readers at once neither block nor lose (C3). Method: every read is demanded, half of them of the
// memory that a writer has just put; afterwards every memory is there exactly once.

import { expect } from 'vitest'
import { concurrentTest, expectNone, expectWithin, factor, findProblems, report } from '../support/concurrent.js'
import { derivedMemory } from '../support/memories.mjs'

const preloadedCount = 1000
const writers = 5
const putsPerWriter = 100 * factor
const readers = 10
const readsPerReader = 50 * factor
const dimensions = 384
// The pauses of the original, so that writers and readers overlap throughout.
const writerPauseMs = 0.1
const readerPauseMs = 0.05
const workMsMax = 500 * factor
const timeoutMs = 10_000 * factor
const jobs = new URL('./jobs/classic.mjs', import.meta.url)

concurrentTest('C3: every read beside five writers succeeds', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const preloaded = Array.from({ length: preloadedCount }, (_, at) => ({ id: `old-${at}`, bytes: 20 + (at % 300) }))
  const written = Array.from({ length: writers }, (_, writer) =>
    Array.from({ length: putsPerWriter }, (_, at) => ({ id: `new-${writer}-${at}`, bytes: 10 + ((at * 7) % 400) })),
  )
  const derive = ({ id, bytes }: { id: string; bytes: number }) => derivedMemory(id, bytes, dimensions)
  store.putMany(preloaded.map(derive))
  const reading = { preloaded, written, reads: readsPerReader, dimensions, pauseMs: readerPauseMs }
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions },
    jobs: [
      ...written.map((items) => ({ name: 'putDerived', arguments: { items, dimensions, pauseMs: writerPauseMs } })),
      ...Array.from({ length: readers }, () => ({ name: 'getWhileWritten', arguments: reading })),
    ],
    sharedWords: writers,
    timeoutMs,
  })
  report('C3', result)
  const found = result.values.slice(writers).reduce<number>((sum, value) => sum + (value as number), 0)
  expect(found).toBe(readers * readsPerReader)
  expectNone(await findProblems(store, [...preloaded, ...written.flat()].map(derive)))
  expect(store.size).toBe(preloadedCount + writers * putsPerWriter)
  expectWithin(result.workMs, workMsMax)
})
