// Every code of the contract that this version can reach by an ordinary call, each leaving the store unharmed.
// Damaged files are corruption.test.ts, a full disk is full-disk.test.ts.

import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { open, openTiered, salvage, ThermoclineError } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { expectMisuse, expectUnchanged, failureOf, rejectionOf, shortCode } from '../support/failures.js'
import { crc32c } from '../support/format-reader.js'
import { runProgram } from '../support/processes.js'
import { temporaryDirectory, temporaryStore } from '../support/temporary.js'

const gateByte = 1_048_576 // docs/format.md: kGateByte

/** Changes bytes of `meta` and makes its checksum right again. */
function patchMeta(directory: string, change: (bytes: Buffer) => void): void {
  const path = join(directory, 'meta')
  const bytes = readFileSync(path)
  change(bytes)
  bytes.writeUInt32LE(crc32c(0, bytes.subarray(12)) >>> 0, 8)
  writeFileSync(path, bytes)
}

function closedStore(): string {
  const { store, directory } = temporaryStore(open)
  store.put({ id: 'a', embedding: [1, 2, 3] })
  store.close()
  return directory
}

test('MISMATCH: another metric than the store was created with', () => {
  const directory = closedStore()
  for (const alsoOpen of [false, true]) {
    const other = alsoOpen ? open(directory) : undefined
    const error = failureOf(() => open(directory, { metric: 'dot' }))
    expect([shortCode(error), error.name]).toEqual(['MISMATCH', 'ThermoclineError'])
    other?.close()
  }
  open(directory, { metric: 'cosine' }).close()
})

test('DIMENSION: another number of dimensions; ARGUMENT: none given for a new store', () => {
  const directory = closedStore()
  for (const alsoOpen of [false, true]) {
    const other = alsoOpen ? open(directory) : undefined
    const error = expectMisuse(() => open(directory, { dimensions: 4 }), RangeError, 'DIMENSION')
    expect([error.details.dimensions, error.message]).toEqual([3, 'the store has 3 dimensions, not 4'])
    other?.close()
  }
  const parent = temporaryDirectory()
  for (const options of [undefined, {}, { metric: 'dot' as const }]) {
    const error = expectMisuse(() => open(join(parent, 'new'), options), TypeError, 'ARGUMENT')
    expect(`${error.stack}`).toMatch(/^TypeError: a new store needs `dimensions`/)
  }
  expect(readdirSync(parent)).toEqual([])
})

test('NOT_FOUND: create is false or the opening read-only, and nothing is there; nothing is created', () => {
  const parent = temporaryDirectory()
  for (const name of ['absent', 'absent/deeper', 'empty']) {
    if (name === 'empty') mkdirSync(join(parent, name))
    for (const options of [{ create: false }, { readOnly: true }, { readOnly: true, dimensions: 3 }]) {
      expect(shortCode(failureOf(() => open(join(parent, name), options)))).toBe('NOT_FOUND')
    }
  }
  expect(readdirSync(parent)).toEqual(['empty'])
  expect(readdirSync(join(parent, 'empty'))).toEqual([])
})

test('NOT_A_STORE: a foreign file or directory, in which nothing is created or changed', () => {
  const parent = temporaryDirectory()
  const file = join(parent, 'file')
  writeFileSync(file, 'text')
  const foreign = join(parent, 'foreign')
  mkdirSync(foreign)
  writeFileSync(join(foreign, 'photo.jpg'), 'jpeg')
  const meta = join(parent, 'meta of another program')
  mkdirSync(meta)
  writeFileSync(join(meta, 'meta'), 'name: other\n'.repeat(40))
  symlinkSync(file, join(parent, 'link'))
  for (const path of [file, foreign, meta, join(parent, 'link'), '/dev/null']) {
    for (const options of [{ dimensions: 3 }, { create: false }, { readOnly: true }]) {
      expect([path, shortCode(failureOf(() => open(path, options)))]).toEqual([path, 'NOT_A_STORE'])
    }
  }
  expect([readdirSync(foreign), readdirSync(meta)]).toEqual([['photo.jpg'], ['meta']])
  expect([readFileSync(file, 'utf8'), readFileSync(join(foreign, 'photo.jpg'), 'utf8')]).toEqual(['text', 'jpeg'])
})

test('VERSION: a later version or an unknown incompatible feature is refused and stays as it is', () => {
  for (const change of [
    (bytes: Buffer) => bytes.writeUInt32LE(2, 16), // version
    (bytes: Buffer) => bytes.writeUInt32LE(0, 16),
    (bytes: Buffer) => bytes.writeBigUInt64LE(1n, 40), // features_incompatible
    (bytes: Buffer) => bytes.writeBigUInt64LE(1n << 63n, 40),
  ]) {
    const directory = closedStore()
    patchMeta(directory, change)
    const before = readFileSync(join(directory, 'meta'))
    for (const options of [{}, { dimensions: 3 }, { readOnly: true }]) {
      expect(shortCode(failureOf(() => open(directory, options)))).toBe('VERSION')
    }
    expect(readFileSync(join(directory, 'meta'))).toEqual(before)
  }
  const directory = closedStore()
  patchMeta(directory, (bytes) => bytes.writeBigUInt64LE(1n << 40n, 24)) // features_compatible
  open(directory).close()
})

test('READ_ONLY: every write throws it, reading goes on', async () => {
  const directory = closedStore()
  const store = open(directory, { readOnly: true })
  onTestFinished(() => store.close())
  const writes = [
    () => store.put({ id: 'b' }),
    () => store.putMany([{ id: 'b' }]),
    () => store.update('a', { content: 'x' }),
    () => store.delete('a'),
    () => store.delete('absent'),
    () => store.write([{ put: { id: 'b' } }]),
    () => store.write([]),
    () => store.touch('a'),
  ]
  expectUnchanged(store, () => {
    for (const write of writes)
      expect([write.toString(), shortCode(failureOf(write))]).toEqual([write.toString(), 'READ_ONLY'])
  })
  expect(store.searchSync([1, 2, 3])[0]?.memory.id).toBe('a')
  expect(shortCode(await rejectionOf(store.compact()))).toBe('READ_ONLY')
  expect(await store.verify()).toMatchObject({ ok: true, memories: 1 })
  const writer = open(directory)
  writer.put({ id: 'b' })
  expect(store.has('b')).toBe(true)
  writer.close()
})

test('BUSY: another process holds the gate; opening gives up after lockTimeout and works once it is free', async () => {
  const directory = closedStore()
  const source = `
import fcntl, sys
file = open(sys.argv[1], 'r+b')
fcntl.lockf(file, fcntl.LOCK_EX, 1, ${gateByte})
print('held', flush=True)
sys.stdin.read()
`
  const holder = spawn('python3', ['-c', source, join(directory, 'lock')], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void holder.kill())
  await new Promise((resolve) => holder.stdout.once('data', resolve))
  const begin = performance.now()
  const error = failureOf(() => open(directory, { lockTimeout: 100 }))
  expect([shortCode(error), error.retryable]).toEqual(['BUSY', true])
  expect(performance.now() - begin).toBeGreaterThan(90)
  expect(performance.now() - begin).toBeLessThan(2000)
  holder.stdin.end()
  await new Promise((resolve) => holder.once('exit', resolve))
  const store = open(directory, { lockTimeout: 100 })
  expect(store.size).toBe(1)
  store.close()
})

test('IO: what the operating system refuses, with its errno', () => {
  const parent = temporaryDirectory()
  const error = failureOf(() => open(join(parent, 'a', 'b', 'c'), { dimensions: 3 }))
  expect(error).toBeInstanceOf(ThermoclineError)
  expect([shortCode(error), error.details.errno]).toEqual(['IO', 2])
  expect(error.message).toMatch(/: ENOENT, no such file or directory$/)
  expect(shortCode(failureOf(() => open(join(parent, 'x'.repeat(300)), { dimensions: 3 })))).toBe('IO')
  expect(readdirSync(parent)).toEqual([])
})

test('an error is raised where the call was made and prints its code', () => {
  const { store, directory } = temporaryStore(open)
  store.put({ id: 'a' })
  function caller(): void {
    store.put({ id: 'a' }, { ifSequence: 9 })
  }
  const error = failureOf(caller)
  expect(error.stack).toContain('caller')
  expect(Object.keys(error).sort()).toEqual(['code', 'details', 'retryable'])
  expect(error.details).toMatchObject({ sequence: 1 })
  const { status, stderr } = runProgram("open(args[0], { metric: 'dot' })", [directory])
  expect(status).toBe(1)
  expect(stderr).toContain("code: 'THERMOCLINE_MISMATCH'")
})

test('a directory whose creation was cut short is taken over', () => {
  const { store, directory } = temporaryStore(open)
  store.close()
  rmSync(join(directory, 'meta'))
  const taken = open(directory, { dimensions: 5 })
  expect(taken.size).toBe(0)
  taken.put({ id: 'a', embedding: [1, 2, 3, 4, 5] })
  taken.close()
})

test('CORRUPT: a store that lost its meta is not taken for a creation cut short; salvage has its memories', async () => {
  const directory = closedStore()
  rmSync(join(directory, 'meta'))
  const files = readdirSync(directory).sort()
  for (const options of [{ dimensions: 3 }, undefined, { create: false }, { readOnly: true }]) {
    const error = failureOf(() => open(directory, options))
    expect([shortCode(error), error.details]).toEqual(['CORRUPT', { offset: 0 }])
    expect(error.message).toContain('`salvage`')
  }
  expect(readdirSync(directory).sort()).toEqual(files)
  const parent = temporaryDirectory()
  renameSync(directory, join(parent, 'warm'))
  expect(shortCode(failureOf(() => openTiered(parent, { dimensions: 3 })))).toBe('CORRUPT')
  renameSync(join(parent, 'warm'), directory)
  const saved = join(temporaryDirectory(), 'saved')
  expect(await salvage(directory, saved)).toEqual({ memories: 1, lost: 0 })
})
