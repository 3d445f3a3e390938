// Goal: a disk without room is an error that leaves the store as it was. Method: a small file system in memory that is
// filled up, and a process whose files may not grow.

import { spawnSync } from 'node:child_process'
import { rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type CodedError, open } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { contentsOf, failureOf, shortCode } from '../support/failures.js'
import { outcomeOf, runProgram } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

const diskBytes = 24 * 1024 * 1024
const fileBytesMax = 1.5 * 1024 * 1024 // less than the log of a second segment

/** A directory on a small file system of its own, or undefined where mounting is not allowed. */
function smallDisk(): string | undefined {
  const directory = temporaryDirectory()
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', directory], {
    stdio: 'ignore',
  })
  if (status !== 0) {
    console.log('not run here: a full disk (mounting a tmpfs needs root)')
    return undefined
  }
  onTestFinished(() => void spawnSync('umount', ['-l', directory]))
  return directory
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize
}

test('FULL: a write for which there is no room throws, earlier ones stay, later ones succeed once there is room', async () => {
  const disk = smallDisk()
  if (disk === undefined) return
  const directory = join(disk, 'store')
  const store = open(directory, { dimensions: 64, durability: 'flush' })
  onTestFinished(() => store.close())
  store.put({ id: 'first', content: 'kept', embedding: new Float32Array(64).fill(1) })
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(Math.max(0, freeBytes(disk) - 2 * 1024 * 1024)))
  let failed: CodedError | undefined
  for (let round = 0; round < 2000 && failed === undefined; round++) {
    try {
      store.put({ id: `m${round}`, content: 'x'.repeat(20_000) })
    } catch (error) {
      failed = error as CodedError
    }
  }
  expect([failed && shortCode(failed), failed?.name, failed?.retryable]).toEqual(['FULL', 'ThermoclineError', true])
  const before = contentsOf(store)
  expect(shortCode(failureOf(() => store.put({ id: 'large', content: 'x'.repeat(4_000_000) })))).toBe('FULL')
  expect(
    shortCode(
      failureOf(() => store.write([{ put: { id: 'b' } }, { put: { id: 'c', content: 'x'.repeat(4_000_000) } }])),
    ),
  ).toBe('FULL')
  expect(contentsOf(store)).toStrictEqual(before)
  expect(store.get('first')?.content).toBe('kept')
  expect((await store.verify()).ok).toBe(true)
  rmSync(join(disk, 'ballast'))
  expect(store.put({ id: 'large', content: 'x'.repeat(4_000_000) })).toBe(before.sequence + 1)
  await store.flush()
  store.close()
  const reopened = open(directory)
  onTestFinished(() => reopened.close())
  expect(contentsOf(reopened).memories.slice(0, -1)).toStrictEqual(before.memories)
  expect(reopened.get('large')?.content).toHaveLength(4_000_000)
})

test('FULL: a store cannot be created on a full disk, but can once there is room', () => {
  const disk = smallDisk()
  if (disk === undefined) return
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(freeBytes(disk) - 4096))
  const directory = join(disk, 'store')
  expect(shortCode(failureOf(() => open(directory, { dimensions: 64 })))).toBe('FULL')
  rmSync(join(disk, 'ballast'))
  const store = open(directory, { dimensions: 64 })
  store.put({ id: 'a' })
  expect(store.size).toBe(1)
  store.close()
})

test('FULL: a store that was never written to answers on a full disk, and takes its first memory once there is room', async () => {
  const disk = smallDisk()
  if (disk === undefined) return
  const directory = join(disk, 'store')
  const ballast = join(disk, 'ballast')
  const program = `
    let store = open(args[0], { dimensions: 384, durability: 'flush' })
    const fs = await import('node:fs')
    const fill = () => {
      const file = fs.openSync(args[1], 'a')
      try { for (;;) fs.writeSync(file, Buffer.alloc(4096)) } catch (error) { if (error.code !== 'ENOSPC') throw error }
      fs.closeSync(file)
    }
    fill()
    const codes = []
    const ask = async () => {
      try { store.put({ id: 'a', embedding: new Float32Array(384).fill(1) }) } catch (error) { codes.push(error.code) }
      try { store.putMany([{ id: 'b' }, { id: 'c' }]) } catch (error) { codes.push(error.code) }
      const hits = store.searchSync(new Float32Array(384).fill(1))
      const { ok } = await store.verify()
      codes.push([hits.length, ok, store.size, [...store.entries()].length, store.stats().participants].join(' '))
    }
    await ask()
    store.close()
    store = open(args[0])
    fill()
    await ask()
    fs.rmSync(args[1])
    store.put({ id: 'a', embedding: new Float32Array(384).fill(1) })
    codes.push([store.searchSync(new Float32Array(384).fill(1)).length, (await store.verify()).ok].join(' '))
    store.close()
    console.log(JSON.stringify(codes))
  `
  const child = runProgram(program, [directory, ballast])
  expect([outcomeOf(child), child.stderr]).toEqual([{ status: 0, signal: null }, ''])
  const full = ['THERMOCLINE_FULL', 'THERMOCLINE_FULL', '0 true 0 0 1']
  expect(JSON.parse(child.stdout)).toEqual([...full, ...full, '1 true'])
})

test('FULL: the first memory finds room for all that it needs, or is refused, whichever page is the last', async () => {
  const disk = smallDisk()
  if (disk === undefined) return
  const program = `
    const fs = await import('node:fs')
    const outcomes = []
    for (let pages = 0; pages <= 90; pages += 3) {
      const store = open(args[0] + '/store', { dimensions: 384, durability: 'none' })
      const file = fs.openSync(args[0] + '/ballast', 'w')
      let length = 0
      try { for (;;) length += fs.writeSync(file, Buffer.alloc(4096)) } catch (error) { if (error.code !== 'ENOSPC') throw error }
      fs.ftruncateSync(file, length - 4096 * pages)
      let outcome = 'kept'
      try { store.put({ id: 'a', embedding: new Float32Array(384).fill(1) }) } catch (error) { outcome = error.code }
      const found = store.searchSync(new Float32Array(384).fill(1)).length
      if (found !== (outcome === 'kept' ? 1 : 0) || !(await store.verify()).ok) outcome += ', but not so'
      store.close()
      fs.closeSync(file)
      for (const name of ['store', 'ballast']) fs.rmSync(args[0] + '/' + name, { recursive: true })
      if (outcomes.at(-1) !== outcome) outcomes.push(outcome)
    }
    console.log(JSON.stringify(outcomes))
  `
  const child = runProgram(program, [disk])
  expect(outcomeOf(child)).toEqual({ status: 0, signal: null })
  expect(new Set(JSON.parse(child.stdout))).toEqual(new Set(['THERMOCLINE_FULL', 'kept']))
})

test('IO: files that may not grow (EFBIG) are an error, not a signal, and the store stays whole', async () => {
  const directory = join(temporaryDirectory(), 'store')
  const program = `
    const store = open(args[0], { dimensions: 4, durability: 'none' })
    const codes = new Set()
    let written = 0
    for (let at = 0; at < 3000; at++) {
      try { store.put({ id: 'm' + at, content: 'x'.repeat(2000) }); written++ } catch (error) { codes.add(error.code + ' ' + error.details.errno) }
    }
    const { ok, memories } = await store.verify()
    console.log(JSON.stringify({ codes: [...codes], written, ok, memories, size: store.size }))
    store.close()
  `
  const child = runProgram(program, [directory], ['prlimit', `--fsize=${fileBytesMax}`])
  if (child.error !== undefined) return console.log('not run here: a limit of file size (prlimit is missing)')
  expect(outcomeOf(child)).toEqual({ status: 0, signal: null })
  const { codes, written, ok, memories, size } = JSON.parse(child.stdout)
  expect(codes).toEqual(['THERMOCLINE_IO 27'])
  expect([ok, memories, size]).toEqual([true, written, written])
  expect(written).toBeGreaterThan(0)
  const store = open(directory)
  expect(store.size).toBe(written)
  store.put({ id: 'more', content: 'x'.repeat(fileBytesMax) })
  expect((await store.verify()).ok).toBe(true)
  store.close()
})
