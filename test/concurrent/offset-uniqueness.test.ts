// Goal: concurrent writers never share a slot or bytes of the log (C1). Method: writers put memories that follow from
// their ids, and every place and every part is compared afterwards, before and after a reopen.

import { expect } from 'vitest'
import { concurrentTest, expectNone, expectWithin, factor, findProblems, report } from '../support/concurrent.js'
import { derivedMemory } from '../support/memories.mjs'

const writers = 10
const putsPerWriter = 100 * factor
const wave = Number(process.env.THERMOCLINE_WAVE ?? 10) // puts between two meetings of all writers
const dimensions = 384
const workMsMax = 200 * factor
const timeoutMs = 10_000 * factor
const jobs = new URL('./jobs/classic.mjs', import.meta.url)

concurrentTest('C1: ten writers never share a slot or bytes of the log', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const items = Array.from({ length: writers }, (_, writer) =>
    Array.from({ length: putsPerWriter }, (_, at) => ({ id: `episode-${writer}-${at}`, bytes: 30 + 7 * writer })),
  )
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions },
    jobs: items.map((list) => ({ name: 'putDerived', arguments: { items: list, dimensions, wave } })),
    sharedWords: writers + 1,
    timeoutMs,
  })
  report('C1', result)
  const expected = items.flat().map(({ id, bytes }) => derivedMemory(id, bytes, dimensions))
  expectNone(await findProblems(store, expected))
  expect(store.sequence).toBe(writers * putsPerWriter)
  store.close()
  expectNone(await findProblems(scene.openStore(), expected))
  expectWithin(result.workMs, workMsMax)
})
