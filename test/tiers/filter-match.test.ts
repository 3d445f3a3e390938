// Goal: a filter means the same in cold as in warm. Method: the same memories in both, any filter, the same ids.

import fc from 'fast-check'
import { openTiered } from 'thermocline'
import { expect, test } from 'vitest'
import { filters, metadata } from '../support/filter-arbitraries.js'
import { temporaryDirectory } from '../support/temporary.js'

const seed = Number(process.env.THERMOCLINE_TEST_SEED ?? 0xf117)
const runs = Number(process.env.THERMOCLINE_TEST_RUNS ?? 40)

test(`a filter means the same in cold as in warm (seed ${seed}, ${runs} runs)`, async () => {
  const parent = temporaryDirectory()
  let stores = 0
  let meant = 0
  const ids = ['a', 'b', 'ab', 'ü', '🌊', 'c', 'd', 'e']
  const memories = fc.array(metadata, { minLength: ids.length, maxLength: ids.length })
  const asked = fc.array(filters(ids), { minLength: 1, maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(memories, asked, async (given, wheres) => {
      const store = openTiered(`${parent}/${stores++}`, { dimensions: 2, durability: 'none', mover: false })
      const ask = () => wheres.map((where) => [...store.entries({ where })].map(({ id }) => id))
      try {
        store.putMany(
          given.map((each, at) => ({ id: ids[at] as string, metadata: each, confidence: at / 8, createdAt: at })),
        )
        const warm = ask()
        expect((await store.maintain({ demote: ids })).demoted).toBe(ids.length)
        expect(ask()).toEqual(warm)
        meant += warm.flat().length
      } finally {
        store.close()
      }
    }),
    { seed, numRuns: runs },
  )
  expect(meant).toBeGreaterThan(runs)
})
