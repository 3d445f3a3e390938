// Goal: what a released version wrote is read for ever. Method: the bytes of a store of each format version, kept as they
// were made, are laid out in a directory, opened and compared with what was in it; then the store is written on.
//
// A file here is never made anew (scripts/make-golden.mjs makes the one of a new version).

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type Memory, open, type Store } from 'thermocline'
import { describe, expect, test } from 'vitest'
import { readStore } from '../support/format-reader.js'
import { temporaryDirectory } from '../support/temporary.js'

interface Golden {
  formatVersion: number
  dimensions: number
  /** Length of each file, and its parts that are not zeros: offset and base64. */
  files: Record<string, { bytes: number; parts: [number, string][] }>
  expected: {
    memories: (Omit<Memory, 'embedding'> & { embedding: number[] | null })[]
    sequence: number
    search: { query: number[]; hits: { id: string; score: number }[] }
    changes: { since: number; of: { sequence: number; kind: string; id: string }[] }
  }
}

const folder = import.meta.dirname
const versions = readdirSync(folder).filter((name) => name.endsWith('.json.gz'))

function load(name: string): Golden {
  return JSON.parse(gunzipSync(readFileSync(join(folder, name))).toString('utf8'))
}

function layOut({ files }: Golden, without: readonly string[] = []): string {
  const directory = join(temporaryDirectory(), 'store')
  mkdirSync(directory, { mode: 0o700 })
  for (const [name, { bytes, parts }] of Object.entries(files)) {
    if (without.includes(name)) continue
    const content = Buffer.alloc(bytes)
    for (const [offset, part] of parts) Buffer.from(part, 'base64').copy(content, offset)
    writeFileSync(join(directory, name), content, { mode: 0o600 })
  }
  return directory
}

const plain = (memory: Memory): unknown => ({
  ...memory,
  embedding: memory.embedding === null ? null : [...memory.embedding],
})

async function expectAsItWas(store: Store, { expected }: Golden): Promise<void> {
  expect(store.sequence).toBe(expected.sequence)
  expect(store.size).toBe(expected.memories.length)
  expect([...store.entries()].map(plain)).toEqual(expected.memories)
  for (const memory of expected.memories) expect(plain(store.get(memory.id) as Memory)).toEqual(memory)
  const hits = await store.search(expected.search.query, { limit: expected.search.hits.length, exact: true })
  expect(hits.map(({ memory }) => memory.id)).toEqual(expected.search.hits.map(({ id }) => id))
  // Kernels of another machine may round otherwise.
  for (const [at, { score }] of expected.search.hits.entries()) expect(hits[at]?.score).toBeCloseTo(score, 9)
  const changes = []
  for await (const { sequence, kind, id } of store.changes({ since: expected.changes.since })) {
    changes.push({ sequence, kind, id })
  }
  expect(changes).toEqual(expected.changes.of)
  expect((await store.verify()).problems).toEqual([])
}

test('there is one of every format version', () => {
  expect(versions).toEqual(['format-1.json.gz'])
})

describe.each(versions)('%s', (name) => {
  const golden = load(name)

  test('opens, and everything in it is what was written', async () => {
    const directory = layOut(golden)
    const store = open(directory, { durability: 'none' })
    expect(store.stats().dimensions).toBe(golden.dimensions)
    expect(store.stats().recovered).toBe(true) // a cache is believed in its own directory only
    await expectAsItWas(store, golden)
    await store.close()
  })

  test('opens without what is never needed', async () => {
    const store = open(layOut(golden, ['cache', 'lock']), { durability: 'none' })
    await expectAsItWas(store, golden)
    await store.close()
  })

  test('is written on, compacted and opened again', async () => {
    const directory = layOut(golden)
    const store = open(directory)
    store.put({ id: 'of today', embedding: new Float32Array(golden.dimensions).fill(1), content: 'new' })
    store.delete(golden.expected.memories[0]?.id as string)
    await store.compact()
    await store.close()
    const again = open(directory)
    expect(again.stats().recovered).toBe(false)
    expect(again.get('of today')?.content).toBe('new')
    expect(again.size).toBe(golden.expected.memories.length)
    for (const memory of golden.expected.memories.slice(1)) {
      expect(plain(again.get(memory.id) as Memory)).toEqual(memory)
    }
    expect((await again.verify()).problems).toEqual([])
    await again.close()
  })

  test('is what a reader finds that was written from the document alone', () => {
    const read = readStore(layOut(golden))
    expect(read.problems).toEqual([])
    expect([...read.memories.keys()].sort()).toEqual(golden.expected.memories.map(({ id }) => id).sort())
    for (const { id, content, metadata, sequence } of golden.expected.memories) {
      expect(read.memories.get(id)).toMatchObject({ content, metadata, sequence })
    }
  })
})
