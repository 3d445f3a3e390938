// Goal: a filter means the same in cold as in warm. Method: the same memories in both, any filter, the same ids.

import fc from 'fast-check'
import { type Filter, openTiered } from 'thermocline'
import { compileFilter } from 'thermocline/tiers'
import { expect, test } from 'vitest'
import * as arbitraries from '../support/filter-arbitraries.js'
import { matches } from '../support/filter-oracle.js'
import { temporaryDirectory } from '../support/temporary.js'

const seed = Number(process.env.THERMOCLINE_TEST_SEED ?? 0xf117)
const runs = Number(process.env.THERMOCLINE_TEST_RUNS ?? 40)

test(`a filter means the same in cold as in warm (seed ${seed}, ${runs} runs)`, async () => {
  expect(typeof compileFilter).toBe('function')
  let stores = 0
  const parent = temporaryDirectory()
  const { memories, filters } = arbitraries as unknown as {
    memories: fc.Arbitrary<Parameters<typeof matches>[0][]>
    filters: fc.Arbitrary<Filter>
  }
  await fc.assert(
    fc.asyncProperty(memories, fc.array(filters, { minLength: 1, maxLength: 8 }), async (given, asked) => {
      const store = openTiered(`${parent}/${stores++}`, { dimensions: 2, durability: 'none', mover: false })
      try {
        store.putMany(given.map((memory) => ({ ...memory, embedding: null })))
        const warm = asked.map((where) => [...store.entries({ where })].map(({ id }) => id).sort())
        await store.maintain({ demote: given.map(({ id }) => id) })
        const cold = asked.map((where) => [...store.entries({ where })].map(({ id }) => id).sort())
        expect(cold).toEqual(warm)
      } finally {
        store.close()
      }
    }),
    { seed, numRuns: runs },
  )
})
