// Salvage of a tiered store: warm and every cold file that can be read, into a new tiered store, with counts of what is lost.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Memory, type MemoryStore, openSpaces, openTiered, salvage } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { rejectionOf, shortCode } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const count = 60
const perFile = 20

interface Sample {
  readonly directory: string
  readonly memories: Map<string, Memory>
}

function read(store: MemoryStore): Map<string, Memory> {
  return new Map([...store.entries()].map((memory) => [memory.id, memory]))
}

/** m0 to m39 in two cold files, but m5 forgotten and m25 written anew; the others in warm. */
async function makeSample(): Promise<Sample> {
  const directory = temporaryDirectory()
  const store = openTiered(directory, {
    dimensions: 2,
    durability: 'none',
    mover: false,
    cold: { segmentMemories: perFile },
  })
  store.putMany(
    Array.from({ length: count }, (_, at) => ({
      id: `m${at}`,
      embedding: [at, 1],
      content: `content ${at}`,
      metadata: { at },
    })),
  )
  await store.maintain({ demote: Array.from({ length: 2 * perFile }, (_, at) => `m${at}`) })
  await store.forget('m5')
  store.put({ id: 'm25', content: 'anew', embedding: [0, 1] })
  const memories = read(store)
  store.close()
  return { directory, memories }
}

const coldFiles = (directory: string): string[] =>
  readdirSync(join(directory, 'cold'))
    .filter((name) => name.endsWith('.cold'))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .map((name) => join(directory, 'cold', name))

function damage(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ 0x10
  writeFileSync(path, bytes)
}

async function saved(directory: string): Promise<{ found: Map<string, Memory>; lost: number; store: MemoryStore }> {
  const target = join(temporaryDirectory(), 'saved')
  const { memories, lost } = await salvage(directory, target)
  const store = openTiered(target, { mover: false })
  onTestFinished(() => store.close())
  const found = read(store)
  expect([found.size, store.size]).toEqual([memories, memories])
  expect((await store.verify()).problems).toEqual([])
  return { found, lost, store }
}

test('a whole tiered store comes over with its tiers, sequences and all, and nothing that was forgotten', async () => {
  const { directory, memories } = await makeSample()
  const { found, lost, store } = await saved(directory)
  expect([found, lost]).toEqual([memories, 0])
  expect([store.tierOf('m0'), store.tierOf('m25'), store.tierOf('m50')]).toEqual(['cold', 'warm', 'warm'])
})

test('a space comes over as a tiered store', async () => {
  const root = temporaryDirectory()
  const spaces = openSpaces(root, { dimensions: 2, mover: false })
  const ada = spaces.space('ada')
  ada.putMany([{ id: 'a', embedding: [1, 0] }, { id: 'b' }])
  await ada.maintain({ demote: ['a'] })
  const memories = read(ada)
  spaces.close()
  const { found, lost } = await saved(join(root, 'ada'))
  expect([found, lost]).toEqual([memories, 0])
})

test('of a damaged cold file what can be read comes over, embeddings apart from texts', async () => {
  const { directory, memories } = await makeSample()
  const [first, second] = coldFiles(directory) as [string, string]
  damage(first, 70) // its one block of texts
  rmSync(second)
  const { found, lost } = await saved(directory)
  const inFiles = perFile - 1
  expect(lost).toBe(2 * inFiles)
  const wanted = [...memories].filter(([id]) => Number(id.slice(1)) >= 2 * perFile || id === 'm25')
  expect([...found]).toEqual(wanted)
})

test('a memory of a cold file whose embedding alone is lost comes without it', async () => {
  const { directory, memories } = await makeSample()
  const [first] = coldFiles(directory) as [string]
  const bytes = readFileSync(first)
  damage(first, bytes.readDoubleLE(32) - 1) // the last byte before the directory: of the rows
  const { found, lost } = await saved(directory)
  expect(lost).toBe(perFile - 1)
  const without = [...memories].map(([id, memory]) => {
    const isLost = memory.sequence <= perFile
    return [id, isLost ? { ...memory, embedding: null } : memory]
  })
  expect([...found]).toEqual(without)
})

test('damage in warm costs what it hits: cold memories come over, and what was forgotten does not revive', async () => {
  const { directory, memories } = await makeSample()
  const log = readdirSync(join(directory, 'warm')).find((name) => name.endsWith('.log')) as string
  const path = join(directory, 'warm', log)
  damage(path, readFileSync(path).indexOf('content 50'))
  const { found, lost } = await saved(directory)
  expect(lost).toBe(1)
  expect([...found]).toEqual([...memories].filter(([id]) => id !== 'm50'))
})

test('where the list of cold files is lost, their memories come over, and what was forgotten revives', async () => {
  const { directory, memories } = await makeSample()
  const log = readdirSync(join(directory, 'warm')).find((name) => name.endsWith('.log')) as string
  const path = join(directory, 'warm', log)
  const bytes = readFileSync(path)
  const mark = Buffer.from('"segments"')
  let damaged = 0
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
    bytes[at] = 0x21
    damaged += 1
  }
  expect(damaged).toBeGreaterThan(2)
  writeFileSync(path, bytes)
  const { found, lost } = await saved(directory)
  expect(lost).toBeGreaterThanOrEqual(damaged)
  for (const [id, memory] of memories) expect(found.get(id)).toEqual(memory)
  expect([...found.keys()].filter((id) => !memories.has(id))).toEqual(['m5'])
})

test('a target that is taken, or inside the source, is refused and nothing is left there', async () => {
  const { directory } = await makeSample()
  const taken = temporaryDirectory()
  writeFileSync(join(taken, 'file'), '')
  expect(shortCode(await rejectionOf(salvage(directory, taken)))).toBe('EXISTS')
  expect(shortCode(await rejectionOf(salvage(directory, join(directory, 'saved'))))).toBe('ARGUMENT')
  expect(readdirSync(directory).sort()).toEqual(['cold', 'warm'])
})
