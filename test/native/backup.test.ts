// Goal: backup and salvage as a program sees them. Method: copies are opened, compared and read by the second reader;
// copies that fail must leave nothing.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Memory, open, type Store, salvage } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { rejectionOf, shortCode } from '../support/failures.js'
import { readStore } from '../support/format-reader.js'
import { outcomeOf, runProgram } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

const dimensions = 8

function openHere(directory: string, create = true): Store {
  const store = open(directory, create ? { dimensions, metric: 'dot' } : { create: false })
  onTestFinished(() => store.close())
  return store
}

function fill(store: Store, count: number): void {
  store.putMany(
    Array.from({ length: count }, (_, at) => ({
      id: `m${at}`,
      embedding: at % 5 === 0 ? null : new Float32Array(dimensions).fill(at),
      content: at % 7 === 0 ? null : `content ${at} \u00e9`,
      metadata: { at },
      createdAt: at,
      recallCount: at,
    })),
  )
  store.update('m3', { content: 'updated' })
  store.delete('m4')
}

const memoriesOf = (store: Store): Memory[] => [...store.entries()]

test('a backup opens as a store with the same memories, sequences included, and the second reader finds it whole', async () => {
  const directory = temporaryDirectory()
  const store = openHere(join(directory, 'store'))
  fill(store, 700)
  const target = join(directory, 'copy')
  const { memories, sequence } = await store.backup(target)
  expect([memories, sequence]).toEqual([699, store.sequence])
  const read = readStore(target)
  expect([read.problems, read.memories.size]).toEqual([[], 699])
  const copy = openHere(target, false)
  expect(memoriesOf(copy)).toStrictEqual(memoriesOf(store))
  expect(copy.stats()).toMatchObject({ recovered: false, metric: 'dot', sequence, durableSequence: sequence })
  expect(await copy.verify()).toEqual({ ok: true, memories: 699, problems: [] })
  expect(copy.put({ id: 'more' })).toBe(sequence + 1)
  expect(readdirSync(directory).sort()).toEqual(['copy', 'store'])
})

test('two backups to one place at once: one is made, the other rejects with BUSY', async () => {
  const directory = temporaryDirectory()
  const store = openHere(join(directory, 'store'))
  fill(store, 100)
  const target = join(directory, 'copy')
  const outcomes = await Promise.allSettled([store.backup(target), store.backup(`${target}/`)])
  const codes = outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'made' : shortCode(outcome.reason)))
  expect(codes.sort()).toEqual(['BUSY', 'made'])
  expect(shortCode(await rejectionOf(store.backup(target)))).toBe('EXISTS')
  expect(readdirSync(directory).sort()).toEqual(['copy', 'store'])
})

test('close rejects a backup with CLOSED and leaves nothing of it', async () => {
  const directory = temporaryDirectory()
  const store = openHere(join(directory, 'store'))
  fill(store, 5000)
  const failure = rejectionOf(store.backup(join(directory, 'copy')))
  store.close()
  expect(shortCode(await failure)).toBe('CLOSED')
  expect(readdirSync(directory)).toEqual(['store'])
})

test('a place that is taken, and one without a parent, are refused', async () => {
  const directory = temporaryDirectory()
  const store = openHere(join(directory, 'store'))
  writeFileSync(join(directory, 'file'), '')
  expect(shortCode(await rejectionOf(store.backup(join(directory, 'file'))))).toBe('EXISTS')
  expect(shortCode(await rejectionOf(store.backup(dirname(directory))))).toBe('EXISTS')
  const absent = await rejectionOf(store.backup(join(directory, 'no', 'such')))
  expect([shortCode(absent), absent.details.errno]).toEqual(['IO', 2])
})

test('a program that made a backup ends by itself', () => {
  const directory = temporaryDirectory()
  const program = `
    const store = open(args[0] + '/store', { dimensions: 2 })
    store.put({ id: 'a', embedding: [1, 2] })
    console.log(JSON.stringify(await store.backup(args[0] + '/copy')))
    store.close()
  `
  const child = runProgram(program, [directory])
  expect([outcomeOf(child), child.stdout]).toEqual([{ status: 0, signal: null }, '{"memories":1,"sequence":1}\n'])
})

test('salvage brings back all but what is damaged, and says how much that is', async () => {
  const directory = temporaryDirectory()
  const store = openHere(join(directory, 'store'))
  fill(store, 700)
  const expected = memoriesOf(store)
  const { logOffset } = store.locate('m50') ?? { logOffset: 0 }
  store.close()
  const log = join(directory, 'store', '1.log')
  const bytes = readFileSync(log)
  bytes[logOffset + 70] = (bytes[logOffset + 70] ?? 0) ^ 1
  writeFileSync(log, bytes)
  writeFileSync(join(directory, 'store', 'meta'), 'gone')
  const target = join(directory, 'salvaged')
  expect(await salvage(join(directory, 'store'), target)).toEqual({ memories: 698, lost: 1 })
  const salvaged = openHere(target, false)
  expect(memoriesOf(salvaged)).toStrictEqual(expected.filter(({ id }) => id !== 'm50'))
  expect(shortCode(await rejectionOf(salvage(join(directory, 'store'), target)))).toBe('EXISTS')
  expect(shortCode(await rejectionOf(salvage(join(directory, 'absent'), join(directory, 'other'))))).toBe('NOT_FOUND')
})
