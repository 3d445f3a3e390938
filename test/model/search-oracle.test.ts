// Goal: a search finds what a naive loop over everything finds. Method: stores of some thousand random memories in
// several segments, with replacements, deletions and copies; every hit compared with an oracle in double precision.

import { type Metric, open } from 'thermocline'
import { expect, test } from 'vitest'
import { MapModel } from '../support/map-model.js'
import { temporaryStore } from '../support/temporary.js'

const seed = 0xa11
const memories = 1500
const queries = 12
const dimensionsTried = [1, 2, 3, 7, 8, 15, 16, 17, 20, 100, 384]
const metrics: readonly Metric[] = ['cosine', 'dot', 'l2']

/** Mulberry32. */
function randomFrom(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Writes the same to a store and a model: `make` gives the elements. */
function fill(metric: Metric, dimensions: number, random: () => number, make: () => number) {
  const { store } = temporaryStore(open, { metric, dimensions })
  const model = new MapModel()
  const vector = () => Float32Array.from({ length: dimensions }, make)
  const copied = vector()
  const put = (id: string) => {
    const embedding = random() < 0.05 ? null : random() < 0.1 ? copied : vector()
    const input = { id, embedding, createdAt: 1 }
    store.put(input)
    model.put(input)
  }
  for (let at = 0; at < memories; at++) {
    put(`m${at}`)
    if (random() < 0.2) put(`m${Math.floor(random() * at)}`)
    const id = `m${Math.floor(random() * at)}`
    if (random() < 0.1) expect(store.delete(id)).toBe(model.delete(id))
  }
  return { store, model, vector, copied }
}

test.each(metrics)(`hits under %s are those of a naive loop, for any dimensions (seed ${seed})`, (metric) => {
  const random = randomFrom(seed)
  for (const dimensions of dimensionsTried) {
    const { store, model, vector, copied } = fill(metric, dimensions, random, () => random() * 2 - 1)
    for (let round = 0; round < queries; round++) {
      const query = round === 0 ? copied : vector()
      const limit = 1 + Math.floor(random() * 40)
      const expected = model.search(query, metric)
      const hits = store.searchSync(query, { limit })
      expect(hits).toHaveLength(limit)
      hits.forEach(({ memory, score }, at) => {
        const wanted = expected[at] as { id: string; score: number }
        expect(Math.abs(score - wanted.score)).toBeLessThan(1e-9 * dimensions)
        if (memory.id === wanted.id) return
        // Only memories whose scores are the same but for rounding may change places.
        const own = expected.find(({ id }) => id === memory.id)?.score ?? Number.NaN
        expect(Math.abs(own - wanted.score)).toBeLessThan(1e-9 * dimensions)
      })
    }
    store.close()
  }
})

test.each(['dot', 'l2'] as const)(
  `with small integers %s ties exactly, and the order is exact too (seed ${seed})`,
  (metric) => {
    const random = randomFrom(seed + 1)
    for (const dimensions of [1, 3, 8, 20]) {
      const { store, model, vector } = fill(metric, dimensions, random, () => Math.floor(random() * 5) - 2)
      for (let round = 0; round < queries; round++) {
        const query = vector()
        const limit = 1 + Math.floor(random() * 1200)
        const expected = model.search(query, metric).slice(0, limit)
        const hits = store
          .searchSync(query, { limit })
          .map(({ memory, score }) => ({ id: memory.id, sequence: memory.sequence, score: score + 0 }))
        expect(hits).toEqual(expected.map((hit) => ({ ...hit, score: hit.score + 0 })))
      }
      store.close()
    }
  },
)
