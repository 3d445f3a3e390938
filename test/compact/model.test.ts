// Goal: with compactions, reopenings and rebuilds in between, a store holds what a Map holds. Method: seeded histories;
// after each stretch every way of reading is compared. THERMOCLINE_SEED=<n> replays one.

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'thermocline'
import { expect, test } from 'vitest'
import { factor, testMsMax } from '../support/concurrent.js'
import { readStore } from '../support/format-reader.js'
import { embeddingOf, randomFrom } from '../support/memories.mjs'
import { temporaryDirectory } from '../support/temporary.js'

const dimensions = 6
const histories = 6 * factor
const seedBound = 2 ** 31

interface Wanted {
  content: string
  embedding: Float32Array | null
  sequence: number
}

async function playHistory(seed: number): Promise<void> {
  const random = randomFrom(seed)
  const below = (bound: number) => Math.floor(random() * bound)
  const directory = temporaryDirectory()
  let store = open(directory, { dimensions, autoCompact: false, durability: below(2) === 0 ? 'flush' : 'none' })
  const model = new Map<string, Wanted>()
  const idCount = 1 + below(300)
  try {
    for (let stretch = 2 + below(8); stretch >= 0; stretch--) {
      for (let step = below(400); step >= 0; step--) {
        const id = `m${below(idCount)}`
        const kind = below(10)
        if (kind < 3) {
          expect(store.delete(id)).toBe(model.delete(id))
        } else if (kind < 5 && model.has(id)) {
          const content = `updated ${step}`
          store.update(id, { content })
          model.set(id, { ...(model.get(id) as Wanted), content, sequence: store.sequence })
        } else {
          const embedding = below(5) === 0 ? null : embeddingOf(seed + step, dimensions)
          const content = `put ${stretch} ${step}`.repeat(1 + below(20))
          model.set(id, { content, embedding, sequence: store.put({ id, content, embedding }) })
        }
      }
      if (below(3) > 0) await store.compact()
      const kind = below(4)
      if (kind === 0) {
        store.close()
        if (below(2) === 0) rmSync(join(directory, 'cache'))
        store = open(directory, { autoCompact: false })
      }
      const found = new Map([...store.entries()].map((memory) => [memory.id, memory]))
      expect([store.size, found.size]).toEqual([model.size, model.size])
      for (const [id, wanted] of model) {
        expect(found.get(id)).toMatchObject(wanted)
        expect(store.get(id)).toMatchObject(wanted)
      }
      const [id, wanted] = [...model].find(([, { embedding }]) => embedding !== null) ?? []
      if (id !== undefined && wanted?.embedding) {
        const hits = store.searchSync(wanted.embedding, { limit: model.size })
        expect(hits.map(({ memory }) => memory.id)).toContain(id)
      }
      expect((await store.verify()).problems).toEqual([])
    }
    const read = readStore(directory)
    expect(read.problems).toEqual([])
    expect(read.memories.size).toBe(model.size)
  } finally {
    store.close()
  }
}

test('any history with compactions in it is what a Map says', { timeout: testMsMax }, async () => {
  const first = Number(process.env.THERMOCLINE_SEED ?? Math.floor(Math.random() * seedBound))
  console.log(`compactions against a Map: ${histories} histories, seeds from ${first}`)
  for (let seed = first; seed < first + histories; seed++) {
    await playHistory(seed).catch((error: unknown) => {
      throw new Error(`history of THERMOCLINE_SEED=${seed}: ${(error as Error).message}`, { cause: error })
    })
  }
})
