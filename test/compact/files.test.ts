// What compaction does to the files, and to whoever looks at them: the second reader, other processes, views.

import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Memory, open } from 'thermocline'
import { expect, test } from 'vitest'
import { rejectionOf, shortCode } from '../support/failures.js'
import { readStore } from '../support/format-reader.js'
import { mappingsOf, runProgram } from '../support/processes.js'
import { temporaryStore } from '../support/temporary.js'

const dimensions = 8

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

const embeddingOf = (seed: number): Float32Array =>
  Float32Array.from({ length: dimensions }, (_, at) => Math.sin(seed * 7 + at))

/** Names of the files whose bytes hold the text. */
function filesWith(directory: string, text: string): string[] {
  return readdirSync(directory).filter((name) => readFileSync(join(directory, name)).includes(text))
}

function bytesOf(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + readFileSync(join(directory, name)).length, 0)
}

test('what was deleted or replaced is in no file afterwards, and neither is its id when its run heads the list', async () => {
  const { store, directory } = temporaryStore(open, { dimensions })
  for (let at = 0; at < 300; at++) store.put({ id: `m${at}`, content: `words ${at}`, embedding: embeddingOf(at) })
  store.put({ id: 'secret-id', content: 'secret content', metadata: { secret: 'metadata' }, embedding: embeddingOf(9) })
  store.put({ id: 'kept-id', content: 'an older wording' })
  store.put({ id: 'kept-id', content: 'a newer wording' })
  store.delete('secret-id')
  const embedding = Buffer.from(embeddingOf(9).buffer).toString('latin1')
  const holds = (name: string) => readFileSync(join(directory, name)).toString('latin1').includes(embedding)
  store.delete('m9')
  await store.flush()
  expect(filesWith(directory, 'secret content').length).toBeGreaterThan(0)
  await store.compact()
  for (const text of ['secret content', 'secret-id', '"metadata"', 'an older wording']) {
    expect([text, filesWith(directory, text)]).toEqual([text, []])
  }
  expect(readdirSync(directory).filter(holds)).toEqual([])
  expect(filesWith(directory, 'a newer wording')).toHaveLength(1)
})

test('the second reader reads a compacted store as the first does, closed or not', async () => {
  const random = randomFrom(0x5e)
  const below = (bound: number) => Math.floor(random() * bound)
  const { store, directory } = temporaryStore(open, { dimensions })
  const compare = (): void => {
    const read = readStore(directory)
    expect(read.problems).toEqual([])
    const memories = new Map([...store.entries()].map((memory) => [memory.id, memory]))
    expect([...read.memories.keys()].sort()).toEqual([...memories.keys()].sort())
    for (const [id, found] of read.memories) {
      const { segment, slot, logOffset, logLength, ...memory } = found
      expect(memory as unknown as Memory).toEqual(memories.get(id))
      expect({ segment, slot, logOffset, logLength }).toEqual(store.locate(id))
    }
    expect(read.meta.changesFloor).toBeLessThanOrEqual(store.sequence)
  }
  for (let round = 0; round < 12; round++) {
    for (let step = below(300); step >= 0; step--) {
      const id = `m${below(200)}`
      if (below(3) === 0) store.delete(id)
      else store.put({ id, content: `${round} ${step}`, embedding: below(4) > 0 ? embeddingOf(step) : null })
    }
    if (below(3) === 0) await store.flush()
    await store.compact()
    compare()
  }
  const { replaced, segments } = readStore(directory).meta
  expect(replaced.length).toBeGreaterThan(0)
  for (const { by } of replaced) expect(segments.map(({ number }) => number)).toContain(by)
})

test('the directory becomes smaller, and stays a store that opens without its cache', async () => {
  const { store, directory } = temporaryStore(open, { dimensions })
  for (let at = 0; at < 2000; at++) store.put({ id: `m${at}`, content: 'x'.repeat(500), embedding: embeddingOf(at) })
  for (let at = 0; at < 2000; at++) if (at % 20 > 0) store.delete(`m${at}`)
  const before = bytesOf(directory)
  await store.compact()
  const memories = [...store.entries()]
  const { sequence } = store
  store.close()
  expect(bytesOf(directory)).toBeLessThan(before / 3)
  rmSync(join(directory, 'cache'))
  const again = open(directory)
  expect([again.stats().recovered, again.sequence, [...again.entries()]]).toEqual([true, sequence, memories])
  expect((await again.verify()).ok).toBe(true)
  again.put({ id: 'next' })
  expect(again.get('next')?.sequence).toBe(sequence + 1)
  again.close()
})

test('changes from before the last dropped one are gone; above it there is no gap', async () => {
  const { store } = temporaryStore(open, { dimensions })
  for (let at = 1; at <= 10; at++) store.put({ id: `m${at}` })
  store.put({ id: 'm4', content: 'again' }) // 11 drops 4
  await store.compact()
  const read = async (since: number): Promise<number[]> => {
    const found: number[] = []
    for await (const { sequence } of store.changes({ since })) found.push(sequence)
    return found
  }
  expect(shortCode(await rejectionOf(read(3)))).toBe('CHANGES_GONE')
  expect(await read(4)).toEqual([5, 6, 7, 8, 9, 10, 11])
})

test('another process reads and writes on, and finds what was moved', async () => {
  const { store, directory } = temporaryStore(open, { dimensions })
  for (let at = 0; at < 500; at++) store.put({ id: `m${at}`, content: `words ${at}` })
  const ended = runProgram(
    `const store = open(args[0], { lockTimeout: 20000 })
    for (let at = 0; at < 500; at += 2) store.delete('m' + at)
    await store.compact()
    if (store.get('m7').content !== 'words 7') throw new Error('moved memory lost')
    store.close()`,
    [directory],
  )
  expect([ended.status, ended.stderr]).toEqual([0, ''])
  expect(store.size).toBe(250)
  for (let at = 0; at < 500; at++) expect(store.get(`m${at}`)?.content).toBe(at % 2 ? `words ${at}` : undefined)
  store.put({ id: 'm1', content: 'anew' })
  expect(await store.verify()).toEqual({ ok: true, memories: 250, problems: [] })
})

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!condition() && performance.now() < end) await new Promise((resolve) => setImmediate(resolve))
}

/** Mapped files that have been unlinked. */
const goneMappings = (directory: string): string[] => mappingsOf(directory).filter((line) => line.includes('deleted'))

test('views and iterators keep what they see; a store without any lets go of the old files', async () => {
  const { store } = temporaryStore(open, { dimensions })
  for (let at = 0; at < 400; at++) store.put({ id: `m${at}`, content: `words ${at}`, embedding: embeddingOf(at) })
  const view = store.view('m7')
  const entries = store.entries()
  const first = entries.next().value as Memory
  for (let at = 0; at < 400; at++) if (at !== 7) store.delete(`m${at}`)
  await store.compact()
  expect([view?.content, view?.embedding]).toEqual(['words 7', embeddingOf(7)])
  expect([first, ...entries].map(({ id }) => id)).toEqual(Array.from({ length: 400 }, (_, at) => `m${at}`))
  const other = temporaryStore(open, { dimensions })
  for (let at = 0; at < 400; at++) other.store.put({ id: `m${at % 5}`, content: `words ${at}` })
  await other.store.compact()
  await until(() => goneMappings(other.directory).length === 0)
  expect(goneMappings(other.directory)).toEqual([])
})

test('closing the store ends a compaction with CLOSED when nothing of it goes on, and the store is whole', async () => {
  const { store, directory, again } = temporaryStore(open, { dimensions })
  for (let at = 0; at < 3000; at++) store.put({ id: `m${at % 1000}`, content: `words ${at}` })
  const running = store.compact()
  store.close()
  expect(shortCode(await rejectionOf(running))).toBe('CLOSED')
  expect(mappingsOf(directory)).toEqual([])
  const reopened = again({ dimensions })
  expect(await reopened.verify()).toEqual({ ok: true, memories: 1000, problems: [] })
})

test('autoCompact gives space back by itself; false never does; wrong ones are told', async () => {
  const { store } = temporaryStore(open, { dimensions, autoCompact: { deadShare: 0.1, deadBytes: 200_000 } })
  for (let at = 0; at < 4000; at++) store.put({ id: `m${at % 50}`, content: `words ${at}`.repeat(10) })
  await until(() => store.stats().bytes.dead < 4000 * 100)
  await until(() => store.stats().segments < 5)
  expect(store.stats().segments).toBeLessThan(5)
  expect(store.size).toBe(50)
  const never = temporaryStore(open, { dimensions, autoCompact: false }).store
  for (let at = 0; at < 1000; at++) never.put({ id: `m${at % 5}`, content: `words ${at}` })
  expect(never.stats().bytes.dead).toBeGreaterThan(0)
  const { directory } = temporaryStore(open, { dimensions })
  for (const wrong of [true, 1, { deadShare: 2 }, { deadBytes: -1 }, { dead: 1 }, { deadShare: '1' }]) {
    expect(() => open(directory, { autoCompact: wrong as never })).toThrow(/autoCompact|deadShare|deadBytes/)
  }
})
