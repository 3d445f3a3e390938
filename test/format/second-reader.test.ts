// Goal: the bytes on disk are those that docs/format.md names. Method: thousands of memories are written through the
// public API, and every record is compared with what a reader finds that was written from the document alone.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type JsonObject, type Memory, type MemoryInput, type Operation, open, type Store } from 'thermocline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ReadChange, type ReadStore, readStore } from '../support/format-reader.js'

const dimensions = 24
const memoriesInBulk = 2400 // four segments: capacities double from 256
const singlePuts = 300
const randomSteps = 1500
const largeContentBytes = 300_000
const contentBeyondASegment = 5 << 20 // a first segment's log holds 1 MiB
const seed = 0x7e43
const testMsMax = 120_000

/** Mulberry32: small, seeded, the same everywhere. */
function randomFrom(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const random = randomFrom(seed)
const below = (bound: number): number => Math.floor(random() * bound)
const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T

const alphabets = [
  'abc xyz 123',
  'äöüß éè',
  'теплый',
  '水温躍層',
  '🌊🧠💾',
  '"\\\n\t\u0000\u007f',
  '\u2028\ufeff\uffff',
].map((text) => [...text])

function text(length: number): string {
  const alphabet = pick(alphabets)
  return Array.from({ length }, () => pick(alphabet)).join('')
}

const awkwardFloats = [-0, 1e-45, 3.4028234663852886e38, -1, 1 / 3].map(Math.fround)

function embedding(): Float32Array | null {
  if (below(6) === 0) return null
  return Float32Array.from({ length: dimensions }, () => (below(40) === 0 ? pick(awkwardFloats) : random() * 2 - 1))
}

function content(): string | null {
  const kind = below(10)
  if (kind === 0) return null
  if (kind === 1) return ''
  return text(1 + below(kind === 2 ? 3000 : 200))
}

function metadata(): JsonObject {
  const kind = below(5)
  if (kind === 0) return {}
  if (kind === 1) return { [text(5)]: [null, true, -0, 1e300, { deep: [text(3)] }], '': '' }
  return { source: pick(['chat', 'mail', '本']), turn: below(1000) }
}

function memory(id: string): MemoryInput & { createdAt: number } {
  const input = {
    id,
    embedding: embedding(),
    content: content(),
    metadata: metadata(),
    createdAt: 1.7e12 + below(1e9) / 8,
  }
  if (below(3) === 0) return { ...input, confidence: random() }
  if (below(3) === 0) {
    return {
      ...input,
      activation: random() * 9,
      lastAccess: input.createdAt + below(1000),
      recallCount: below(2 ** 40),
    }
  }
  return input
}

/** What the store must hold, kept beside it by the rules of the contract. */
class Model {
  readonly memories = new Map<string, Memory>()
  readonly changes: ReadChange[] = []

  #next(kind: ReadChange['kind'], id: string): number {
    const sequence = this.changes.length + 1
    this.changes.push({ sequence, kind, id })
    return sequence
  }

  put(input: MemoryInput & { createdAt: number }): void {
    this.memories.set(input.id, {
      id: input.id,
      embedding: input.embedding ? Float32Array.from(input.embedding) : null,
      content: input.content ?? null,
      metadata: input.metadata ?? {},
      confidence: input.confidence ?? 1,
      createdAt: input.createdAt,
      sequence: this.#next('put', input.id),
      activation: input.activation ?? 1,
      lastAccess: input.lastAccess ?? input.createdAt,
      recallCount: input.recallCount ?? 0,
    })
  }

  update(id: string, patch: Partial<Pick<Memory, 'content' | 'metadata' | 'confidence'>>): void {
    const before = this.memories.get(id)
    if (before) this.memories.set(id, { ...before, ...patch, sequence: this.#next('update', id) })
  }

  delete(id: string): void {
    if (this.memories.delete(id)) this.#next('delete', id)
  }

  touch(id: string, touched: Memory): void {
    const before = this.memories.get(id)
    if (before)
      this.memories.set(id, { ...before, lastAccess: touched.lastAccess, recallCount: before.recallCount + 1 })
  }
}

function randomStep(store: Store, model: Model): void {
  const ids = [...model.memories.keys()]
  const step = below(10)
  if (step < 3) {
    const input = memory(pick(ids))
    store.put(input)
    model.put(input)
  } else if (step < 6) {
    const id = pick(ids)
    const patch = pick([
      { content: content() },
      { metadata: metadata() },
      { confidence: random() },
      { content: null, metadata: {} },
    ])
    expect(store.update(id, patch)).toBe(true)
    model.update(id, patch)
  } else if (step < 8) {
    const id = pick(ids)
    expect(store.delete(id)).toBe(true)
    model.delete(id)
  } else if (step === 8) {
    const id = pick(ids)
    expect(store.touch(id)).toBe(true)
    model.touch(id, store.get(id) as Memory)
  } else {
    const again = memory(`w-${below(50)}`)
    const more = memory(`w-${below(50)}`)
    const operations: Operation[] = [
      { put: again },
      { put: more },
      { update: again.id, patch: { confidence: 0.5 } },
      { delete: more.id },
    ]
    store.write(operations)
    model.put(again)
    model.put(more)
    model.update(again.id, { confidence: 0.5 })
    model.delete(more.id)
  }
}

/** Everything that is wrong with what the reader found, first few lines only: a diff of thousands says nothing. */
function differences(found: ReadStore, model: Model, store?: Store): string[] {
  const wrong: string[] = found.problems.map((problem) => JSON.stringify(problem))
  const compare = (id: string, what: string, is: unknown, wanted: unknown): void => {
    // The bits too: -0 and 0 are equal, and not the same.
    const same =
      isDeepStrictEqual(is, wanted) && (!(is instanceof Float32Array) || bits(is) === bits(wanted as Float32Array))
    if (!same) wrong.push(`${JSON.stringify(id)} ${what}: ${show(is)} instead of ${show(wanted)}`)
  }
  compare('', 'number of memories', found.memories.size, model.memories.size)
  for (const [id, wanted] of model.memories) {
    const is = found.memories.get(id)
    if (is === undefined) {
      wrong.push(`${JSON.stringify(id)} is missing`)
      continue
    }
    for (const key of Object.keys(wanted) as (keyof Memory)[]) compare(id, key, is[key], wanted[key])
    if (store === undefined) continue
    const { segment, slot, logOffset, logLength } = is
    compare(id, 'place', { segment, slot, logOffset, logLength }, store.locate(id))
    compare(id, 'memory of the store', is.sequence, store.get(id)?.sequence)
  }
  compare('', 'number of changes', found.changes.length, model.changes.length)
  for (const [at, wanted] of model.changes.entries()) compare(wanted.id, 'change', found.changes[at], wanted)
  return wrong.slice(0, 10)
}

const bits = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex')
const show = (value: unknown): string =>
  (value instanceof Float32Array ? bits(value) : String(JSON.stringify(value))).slice(0, 200)

describe('a store, read from its files by the second reader', () => {
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-second-'))
  const path = join(directory, 'store')
  const model = new Model()
  let store: Store

  beforeAll(() => {
    store = open(path, { dimensions, metric: 'dot' })
  })
  afterAll(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })

  test('holds nothing when nothing was written', () => {
    const found = readStore(path)
    expect(differences(found, model, store)).toEqual([])
    expect(found.meta).toMatchObject({ dimensions, metric: 'dot' })
    expect(found.meta.segments.length).toBeGreaterThan(0)
  })

  test(
    'holds every memory of puts, bulks, updates, deletes and touches over several segments',
    async () => {
      for (let i = 0; i < singlePuts; i += 1) {
        const input = memory(`single-${i}`)
        store.put(input)
        model.put(input)
      }
      const bulk = Array.from({ length: memoriesInBulk }, (_, i) =>
        memory(below(20) === 0 ? 'the same id' : `bulk-${i}`),
      )
      store.putMany(bulk)
      for (const input of bulk) model.put(input)
      for (let i = 0; i < randomSteps; i += 1) randomStep(store, model)
      await store.flush()
      const found = readStore(path)
      expect(differences(found, model, store)).toEqual([])
      expect(new Set([...found.memories.values()].map(({ segment }) => segment)).size).toBeGreaterThan(2)
      expect([...found.memories.values()].filter((one) => one.embedding === null).length).toBeGreaterThan(10)
    },
    testMsMax,
  )

  test(
    'holds awkward ids and contents: the longest, the emptiest, one larger than a segment',
    async () => {
      const awkward = [
        memory('i'.repeat(511)),
        memory('\u{1F30A}'.repeat(127)),
        memory('\u0000'),
        memory(' '),
        { ...memory('empty'), content: '', metadata: {} },
        { ...memory('nothing'), embedding: null, content: null },
        { ...memory('zeros'), embedding: new Float32Array(dimensions) },
        { ...memory('large ascii'), content: 'x'.repeat(largeContentBytes) },
        { ...memory('large unicode'), content: '水'.repeat(largeContentBytes / 3) },
        { ...memory('large metadata'), metadata: { text: 'ß'.repeat(largeContentBytes / 2) } },
        { ...memory('larger than a segment'), content: `${'y'.repeat(contentBeyondASegment)}ü` },
        memory('after it'),
      ]
      for (const input of awkward) {
        store.put(input)
        model.put(input)
      }
      await store.flush()
      expect(differences(readStore(path), model, store)).toEqual([])
    },
    testMsMax,
  )

  test('knows nothing of writes that failed', () => {
    const failures = [
      () => store.put(memory(''), {}),
      () => store.put({ ...memory('short'), embedding: [1] }),
      () => store.put({ ...memory('nan'), embedding: Array(dimensions).fill(Number.NaN) }),
      () => store.put(memory('empty'), { ifSequence: 0 }),
      () => store.write([{ put: memory('half') }, { put: memory('') }]),
    ]
    for (const failure of failures) expect(failure).toThrow()
    expect(store.delete('absent')).toBe(false)
    expect(store.update('absent', { content: 'x' })).toBe(false)
    expect(differences(readStore(path), model, store)).toEqual([])
  })

  test('is the same after close, with its logs ended', () => {
    store.close()
    const found = readStore(path)
    expect(differences(found, model)).toEqual([])
  })

  test(
    'goes on after it was opened again',
    async () => {
      store = open(path)
      for (let i = 0; i < 200; i += 1) randomStep(store, model)
      await store.flush()
      expect(differences(readStore(path), model, store)).toEqual([])
      store.close()
      expect(differences(readStore(path), model)).toEqual([])
    },
    testMsMax,
  )
})
