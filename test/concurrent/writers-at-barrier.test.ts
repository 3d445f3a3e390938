// Goal: each of many writers that start at the same moment finds what it put (C5). Method: twenty threads leave one
// barrier, with contents of another length each; content, embedding and metadata are compared afterwards.

import { expect } from 'vitest'
import { concurrentTest, expectNone, expectWithin, factor, findProblems, report } from '../support/concurrent.js'
import { derivedMemory } from '../support/memories.mjs'

const writers = 20
const putsPerWriter = 50 * factor
const wave = Number(process.env.THERMOCLINE_WAVE ?? 10) // puts between two meetings of all writers
const dimensions = 384
const workMsMax = 300 * factor
const timeoutMs = 10_000 * factor
const jobs = new URL('./jobs/classic.mjs', import.meta.url)

concurrentTest('C5: twenty writers from one barrier keep their memories apart', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const items = Array.from({ length: writers }, (_, writer) =>
    Array.from({ length: putsPerWriter }, (_, at) => ({ id: `w${writer}-${at}`, bytes: (writer + at) * 3 })),
  )
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions },
    jobs: items.map((list) => ({ name: 'putDerived', arguments: { items: list, dimensions, wave } })),
    sharedWords: writers + 1,
    timeoutMs,
  })
  report('C5', result)
  const expected = items.flat().map(({ id, bytes }) => derivedMemory(id, bytes, dimensions))
  expectNone(await findProblems(store, expected))
  expect(store.sequence).toBe(writers * putsPerWriter)
  expectWithin(result.workMs, workMsMax)
})
