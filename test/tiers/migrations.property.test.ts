// Goal: any sequence of operations, with any moves between, equals the same sequence on a Map. Method: fast-check draws
// operations of two handles on one store, moves to cold and back, rewriting of cold files, reopening; after each step
// everything that reads is compared. Sequences are compared by their order only: moves take some of their own.

import fc from 'fast-check'
import {
  type Memory,
  type MemoryInput,
  type MemoryPatch,
  type MemoryStore,
  type Operation,
  openTiered,
} from 'thermocline'
import { expect, test } from 'vitest'
import { codeOf } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const seed = Number(process.env.THERMOCLINE_TEST_SEED ?? 0x71e5)
const runs = Number(process.env.THERMOCLINE_TEST_RUNS ?? 25)
const testMsMax = 120_000
const dimensions = 3
let moved = 0

type Model = Map<string, Omit<Memory, 'sequence' | 'embedding'> & { embedding: number[] | null }>
interface Real {
  directory: string
  handles: MemoryStore[]
}
type Step = { title: string; run: (model: Model, store: MemoryStore, real: Real) => void | Promise<void> }

const ids = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'ü', 'a\0', 'x'.repeat(511))
const vectors = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: dimensions, maxLength: dimensions })
const inputs = fc.record({
  id: ids,
  embedding: fc.option(vectors, { nil: null }),
  content: fc.option(fc.string({ unit: 'binary', maxLength: 30 }), { nil: null }),
  metadata: fc.dictionary(fc.constantFrom('k', '__proto__'), fc.constantFrom(1, -0, 'v', null), {
    noNullPrototype: true,
  }),
  confidence: fc.double({ min: 0, max: 1, noNaN: true }),
  // Times to come are never idle, so that many of these are kept decoded.
  createdAt: fc.oneof(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: 1.95e12, max: 2 ** 41 })),
  activation: fc.constantFrom(0, 0.2, 0.5, 0.8, 1),
})
type Input = MemoryInput & { createdAt: number }

function putModel(model: Model, input: Input): void {
  const { embedding = null, content = null, metadata = {}, confidence = 1, createdAt, activation = 1 } = input
  model.delete(input.id)
  model.set(input.id, {
    id: input.id,
    embedding: embedding === null ? null : [...embedding].map((value) => value + 0),
    content,
    metadata,
    confidence,
    createdAt,
    activation,
    lastAccess: createdAt,
    recallCount: 0,
  })
}

function updateModel(model: Model, id: string, patch: MemoryPatch): boolean {
  const memory = model.get(id)
  if (memory === undefined) return false
  model.delete(id)
  const given = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined))
  model.set(id, { ...memory, ...given })
  return true
}

const plain = ({ sequence: _, lastAccess: __, embedding, ...rest }: Memory): object => ({
  ...rest,
  embedding: embedding === null ? null : [...embedding],
})
const wanted = ({ lastAccess: _, ...rest }: Model extends Map<string, infer Value> ? Value : never): object => rest

const put = (input: Input): Step => ({
  title: `put ${JSON.stringify(input)}`,
  run: (model, store) => {
    const before = store.get(input.id)?.sequence ?? 0
    expect(codeOf(() => store.put(input, { ifSequence: before + 1 }))).toBe('CONFLICT')
    store.put(input, { ifSequence: before })
    putModel(model, input)
  },
})
const putMany = (many: Input[], batchSize: number): Step => ({
  title: `putMany ${JSON.stringify(many)} by ${batchSize}`,
  run: (model, store) => {
    expect(store.putMany(many, { batchSize }).count).toBe(many.length)
    for (const input of many) putModel(model, input)
  },
})
const update = (id: string, patch: MemoryPatch): Step => ({
  title: `update ${id} ${JSON.stringify(patch)}`,
  run: (model, store) => {
    expect(store.update(id, patch)).toBe(updateModel(model, id, patch))
  },
})
const remove = (id: string): Step => ({
  title: `delete ${id}`,
  run: (model, store) => {
    expect(store.delete(id)).toBe(model.delete(id))
  },
})
const write = (operations: Operation[]): Step => ({
  title: `write ${JSON.stringify(operations)}`,
  run: (model, store) => {
    store.write(operations)
    for (const operation of operations) {
      if ('put' in operation) putModel(model, operation.put as Input)
      else if ('update' in operation) updateModel(model, operation.update, operation.patch)
      else model.delete(operation.delete)
    }
  },
})
const touch = (id: string, activation: number): Step => ({
  title: `touch ${id} ${activation}`,
  run: (model, store) => {
    const memory = model.get(id)
    expect(store.touch(id, { activation })).toBe(memory !== undefined)
    if (memory !== undefined) Object.assign(memory, { activation, recallCount: memory.recallCount + 1 })
  },
})
const supersede = (id: string, input: Input): Step => ({
  title: `supersede ${id} ${JSON.stringify(input)}`,
  run: (model, store) => {
    if (!model.has(id)) {
      expect(codeOf(() => store.supersede(id, input))).toBe('CONFLICT')
      return
    }
    store.supersede(id, input)
    model.delete(id)
    putModel(model, input)
  },
})
const demote = (demoted: string[]): Step => ({
  title: `demote ${JSON.stringify(demoted)}`,
  run: async (model, store) => {
    const result = await store.maintain({ demote: demoted })
    expect(result.ran).toBe(true)
    moved += result.demoted
    for (const id of demoted) expect(store.tierOf(id)).toBe(model.has(id) ? 'cold' : undefined)
  },
})
const maintain = (compactCold: boolean): Step => ({
  title: `maintain ${compactCold}`,
  run: async (_model, store) => {
    await store.maintain({ compactCold })
    if (compactCold) expect(store.stats().tiers.cold.dead).toBe(0)
  },
})
const recall = (vector: number[]): Step => ({
  title: `recall ${JSON.stringify(vector)}`,
  run: async (model, store) => {
    for (const { memory } of await store.recall({ embedding: vector, limit: 2 })) {
      expect(store.tierOf(memory.id)).not.toBe('cold')
      const known = model.get(memory.id)
      const activation = store.get(memory.id)?.activation ?? -1
      if (known !== undefined) Object.assign(known, { activation, recallCount: known.recallCount + 1 })
    }
  },
})
const reopen: Step = {
  title: 'reopen',
  run: async (_model, _store, real) => {
    for (const store of real.handles) store.close()
    real.handles = [open(real.directory), open(real.directory)]
  },
}

function open(directory: string): MemoryStore {
  // A hot tier that a few memories fill, small files, and a cache that does not hold them all.
  return openTiered(directory, {
    dimensions,
    durability: 'none',
    mover: false,
    hot: { bytes: 2500 },
    cold: { segmentMemories: 4, cacheBytes: 4000 },
  })
}

async function compare(model: Model, store: MemoryStore): Promise<void> {
  expect(store.size).toBe(model.size)
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f', 'ü', 'a\0', 'x'.repeat(511)]) {
    const memory = model.get(id)
    const found = store.get(id)
    expect(found && plain(found)).toStrictEqual(memory && wanted(memory))
    expect([store.has(id), store.view(id)?.content]).toEqual([memory !== undefined, memory?.content])
  }
  const entries = [...store.entries()]
  expect(entries.map(({ id }) => id).sort()).toEqual([...model.keys()].sort())
  for (let at = 1; at < entries.length; at++) {
    expect(entries[at]?.sequence).toBeGreaterThan(entries[at - 1]?.sequence ?? 0)
  }
  for (const memory of entries) expect(plain(memory)).toStrictEqual(wanted(model.get(memory.id) as never))
  const half = [...store.entries({ where: { confidence: { lt: 0.5 } } })].map(({ id }) => id).sort()
  expect(half).toEqual([...model.values()].flatMap(({ id, confidence }) => (confidence < 0.5 ? [id] : [])).sort())
  const query = [1, 2, -1]
  const hits = store.searchSync(query, { limit: 4, exact: true })
  expect(await store.search(query, { limit: 4, exact: true })).toEqual(hits)
  expect(hits.map(({ score }) => score)).toEqual(scoresOf(model, query).slice(0, 4))
}

function scoresOf(model: Model, query: number[]): number[] {
  const dot = (a: number[], b: number[]): number => a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0)
  const scores = [...model.values()].flatMap(({ embedding }) => {
    if (embedding === null) return []
    const square = dot(embedding, embedding)
    return [square === 0 ? 0 : dot(query, embedding) / Math.sqrt(square * dot(query, query))]
  })
  // Of small integers every sum is exact, so the scores are too.
  return scores.sort((a, b) => b - a)
}

test(
  `any sequence of operations with any moves between equals a Map (seed ${seed}, ${runs} runs)`,
  async () => {
    const input = inputs.map((value) => value as Input)
    const patch = fc.record(
      { content: fc.option(fc.string(), { nil: null }), confidence: fc.constantFrom(0, 1) },
      { requiredKeys: [] },
    )
    const operation: fc.Arbitrary<Operation> = fc.oneof(
      fc.record({ put: input }),
      fc.record({ update: ids, patch }),
      fc.record({ delete: ids }),
    )
    const step: fc.Arbitrary<Step> = fc.oneof(
      input.map(put),
      fc
        .tuple(fc.array(input, { maxLength: 6 }), fc.constantFrom(1, 3, 256))
        .map(([many, size]) => putMany(many, size)),
      fc.tuple(ids, patch).map(([id, change]) => update(id, change)),
      ids.map(remove),
      fc.array(operation, { maxLength: 6 }).map(write),
      fc.tuple(ids, fc.constantFrom(0, 0.9)).map(([id, activation]) => touch(id, activation)),
      fc.tuple(ids, input).map(([id, memory]) => supersede(id, memory)),
      fc.array(ids, { maxLength: 9 }).map(demote),
      fc.constant(demote(['a', 'b', 'c', 'd', 'e', 'f', 'ü', 'a\0', 'x'.repeat(511)])),
      fc.boolean().map(maintain),
      vectors.filter((vector) => vector.some((value) => value !== 0)).map(recall),
      fc.constant(reopen),
    )
    const parent = temporaryDirectory()
    let stores = 0
    const property = fc.asyncProperty(
      fc.array(fc.tuple(step, fc.nat(1)), { maxLength: 25, size: '+1' }),
      async (steps) => {
        const directory = `${parent}/${stores++}`
        const real: Real = { directory, handles: [open(directory), open(directory)] }
        const model: Model = new Map()
        try {
          for (const [{ run }, handle] of steps) {
            await run(model, real.handles[handle] as MemoryStore, real)
            await compare(model, real.handles[1 - handle] as MemoryStore)
          }
          await compare(model, real.handles[0] as MemoryStore)
          expect(await real.handles[0]?.verify()).toEqual({ ok: true, memories: model.size, problems: [] })
          // Told of every write, and of no move.
          const told = new Map<string, string>()
          for await (const { kind, id } of (real.handles[0] as MemoryStore).changes()) told.set(id, kind)
          const alive = [...told].flatMap(([id, kind]) => (kind === 'delete' ? [] : [id])).sort()
          expect(alive).toEqual([...model.keys()].sort())
        } finally {
          for (const store of real.handles) store.close()
        }
      },
    )
    await fc.assert(property, { seed, numRuns: runs })
    expect(moved).toBeGreaterThan(runs)
  },
  testMsMax,
)
