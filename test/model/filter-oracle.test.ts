// Goal: a filter means in the core what docs/filters.md says. Method: fast-check draws memories, changes to them and
// filters; what entries and search return is compared with a naive oracle over decoded memories.

import fc from 'fast-check'
import { type Filter, type JsonObject, type MemoryInput, type Metric, open, type Store } from 'thermocline'
import { expect, test } from 'vitest'
import { filters, metadata } from '../support/filter-arbitraries.js'
import { matches } from '../support/filter-oracle.js'
import { temporaryDirectory } from '../support/temporary.js'

const isNightly = process.env.THERMOCLINE_NIGHTLY === '1'
const seed = Number(process.env.THERMOCLINE_SEED ?? 0xf17e4)
const runs = isNightly ? 1000 : 20
const roundsPerRun = 3
const filtersPerRound = 15
const metrics: readonly Metric[] = ['cosine', 'dot', 'l2']
const ids = Array.from({ length: 24 }, (_, at) => ['m', 'n', 'ü', '🌊'][at % 4] + String(at >> 2))
const query = [1, 2, -1]

type Change = { put: MemoryInput } | { update: string; metadata: JsonObject } | { delete: string } | { touch: string }

const times = fc.integer({ min: 0, max: 20 })
const embeddings = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 3, maxLength: 3 })
const inputs = fc.record({
  id: fc.constantFrom(...ids),
  createdAt: times,
  lastAccess: times,
  confidence: fc.constantFrom(0, 0.25, 0.5, 1),
  metadata,
  embedding: fc.option(embeddings, { nil: null, freq: 8 }),
})
const changes: fc.Arbitrary<Change> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ put: inputs }) },
  { weight: 3, arbitrary: fc.record({ update: fc.constantFrom(...ids), metadata }) },
  { weight: 2, arbitrary: fc.record({ delete: fc.constantFrom(...ids) }) },
  { weight: 1, arbitrary: fc.record({ touch: fc.constantFrom(...ids) }) },
)
const rounds = fc.array(
  fc.record({
    changes: fc.array(changes, { minLength: 10, maxLength: 40 }),
    filters: fc.array(filters(ids), { minLength: filtersPerRound, maxLength: filtersPerRound }),
  }),
  { minLength: 1, maxLength: roundsPerRun },
)

function apply(store: Store, change: Change): void {
  if ('put' in change) store.put(change.put)
  else if ('update' in change) store.update(change.update, { metadata: change.metadata })
  else if ('delete' in change) store.delete(change.delete)
  else store.touch(change.touch)
}

/** How filters fell out: a test whose filters match all or nothing proves little. */
const outcomes = { none: 0, some: 0, all: 0 }

/** Compares every way of asking with the oracle. */
async function checkFilter(store: Store, filter: Filter): Promise<void> {
  const all = [...store.entries()]
  const expected = all.filter((memory) => matches(memory, filter))
  outcomes[expected.length === 0 ? 'none' : expected.length === all.length ? 'all' : 'some'] += 1
  expect([...store.entries({ where: filter })]).toEqual(expected)
  const since = all[all.length >> 1]?.sequence ?? 0
  const recent = expected.filter(({ sequence }) => sequence > since)
  expect([...store.entries({ where: filter, since })]).toEqual(recent)
  const meant = new Set(expected.map(({ id }) => id))
  const hits = store.searchSync(query, { limit: 1000 }).filter(({ memory }) => meant.has(memory.id))
  for (const limit of [1, 5, 1000]) {
    expect(store.searchSync(query, { limit, filter })).toEqual(hits.slice(0, limit))
  }
  const minScore = hits[hits.length >> 1]?.score ?? 0
  expect(await store.search(query, { limit: 1000, filter, minScore })).toEqual(
    hits.filter(({ score }) => score >= minScore),
  )
}

test.each(metrics)(
  `under %s entries and search return what an oracle over decoded memories does (seed ${seed})`,
  async (metric) => {
    const directory = temporaryDirectory()
    let stores = 0
    const holds = async (drawn: { changes: Change[]; filters: Filter[] }[]): Promise<void> => {
      stores += 1
      const store = open(`${directory}/${stores}`, { dimensions: 3, metric, durability: 'none' })
      try {
        const asked: Filter[] = []
        for (const round of drawn) {
          for (const change of round.changes) apply(store, change)
          asked.push(...round.filters)
          // Those of earlier rounds too: what was found out about memories that are gone must not show.
          for (const filter of asked) await checkFilter(store, filter)
        }
      } finally {
        store.close()
      }
    }
    await fc.assert(fc.asyncProperty(rounds, holds), { seed: seed + metrics.indexOf(metric), numRuns: runs })
    console.log(`${metric}: filters that meant none, some, all: ${Object.values(outcomes).join(', ')}`)
    const asked = outcomes.none + outcomes.some + outcomes.all
    expect(outcomes.some).toBeGreaterThan(asked / 8)
  },
)
