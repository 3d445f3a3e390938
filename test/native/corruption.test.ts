// Goal: damaged files are reported as CORRUPT, never believed and never a crash. Method: bytes of each file of a closed
// store are flipped, zeroed or cut off one after the other; then everything is opened, read, searched and verified.

import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type CodedError, type Memory, open, type Store } from 'thermocline'
import { expect, test } from 'vitest'
import { codeOf } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const seed = 0xc0
const memories = 320 // a second segment among them
const lastSequence = memories + 2
const dimensions = 8
const flipsPerFile = 25
/** What opening damaged files may say. */
const openingCodes = ['CORRUPT', 'NOT_A_STORE', 'VERSION', 'IO'] // IO: a listed file that is missing

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

function makeStore(): { directory: string; expected: Map<string, Memory> } {
  const directory = join(temporaryDirectory(), 'store')
  const store = open(directory, { dimensions })
  for (let at = 0; at < memories; at++) {
    store.put({
      id: `m${at}`,
      embedding: new Float32Array(dimensions).fill(at + 1),
      content: `content ${at}`,
      metadata: { at },
      createdAt: at,
    })
  }
  store.update('m5', { content: 'updated' })
  store.delete('m6')
  const expected = new Map([...store.entries()].map((memory) => [memory.id, memory]))
  store.close()
  return { directory, expected }
}

/** Reads everything in every way. What is refused must be CORRUPT, and what is read what was written. */
function readEverything(store: Store, expected: Map<string, Memory>): { refused: number; wrong: string[] } {
  const wrong: string[] = []
  let refused = 0
  const attempt = (what: string, action: () => void): void => {
    try {
      action()
    } catch (error) {
      refused += 1
      if ((error as { code?: string }).code !== 'THERMOCLINE_CORRUPT') wrong.push(`${what}: ${String(error)}`)
    }
  }
  for (const [id, memory] of expected) {
    attempt('get', () => {
      const found = store.get(id)
      // Statistics are outside every checksum.
      const { activation, lastAccess, recallCount } = memory
      // A store that lost its end may hold the version before.
      if (found === undefined || found.sequence < memory.sequence) return
      if (!isDeepStrictEqual({ ...found, activation, lastAccess, recallCount }, memory)) wrong.push(`get ${id}`)
    })
    attempt('view', () => {
      const view = store.view(id)
      if (view === undefined || view.sequence < memory.sequence) return
      if (view.content !== memory.content) wrong.push(`view ${id}`)
    })
  }
  attempt('entries', () => void [...store.entries()])
  attempt('search', () => void store.searchSync(new Float32Array(dimensions).fill(1), { limit: 1000 }))
  return { refused, wrong }
}

/** What the store held at a sequence: the puts in order, then the update of m5, then the deletion of m6. */
function prefixOf(expected: Map<string, Memory>, sequence: number): unknown[] {
  if (sequence === lastSequence)
    return [...expected.values()].map((memory) => [memory.id, memory.sequence, memory.content])
  const puts = Array.from({ length: Math.min(sequence, memories) }, (_, at) => [`m${at}`, at + 1, `content ${at}`])
  if (sequence <= memories) return puts
  return [...puts.filter(([id]) => id !== 'm5'), ['m5', memories + 1, 'updated']]
}

/** Opens a damaged store and looks at all of it. Resolves with what told of the damage, or 'nothing'. */
async function examine(directory: string, expected: Map<string, Memory>): Promise<string> {
  let store: Store
  try {
    store = open(directory)
  } catch (error) {
    const code = (error as CodedError).code.replace('THERMOCLINE_', '')
    if (!openingCodes.includes(code)) throw new Error(`opening gave ${code}`)
    return 'open'
  }
  try {
    const { refused, wrong } = readEverything(store, expected)
    expect(wrong).toEqual([])
    const { ok, problems } = await store.verify()
    for (const problem of problems)
      expect([problem.code, typeof problem.file, problem.offset >= 0]).toEqual(['THERMOCLINE_CORRUPT', 'string', true])
    expect(ok).toBe(problems.length === 0)
    if (!ok) return 'verify'
    // What verify passes is a prefix of what was written, and whole.
    const prefix = prefixOf(expected, store.sequence)
    const found = [...store.entries()].map(({ id, sequence, content }) => [id, sequence, content])
    if (!isDeepStrictEqual(found, prefix)) {
      throw new Error(
        `verify passes ${found.length} memories up to ${store.sequence}, which are no prefix of what was written`,
      )
    }
    return refused > 0 ? 'read' : store.sequence < lastSequence ? 'prefix' : 'nothing'
  } finally {
    store.close()
  }
}

/** Damages a copy of a store and examines it. */
async function damage(
  directory: string,
  expected: Map<string, Memory>,
  change: (copy: string) => void,
): Promise<string> {
  const copy = `${directory} damaged`
  cpSync(directory, copy, { recursive: true })
  change(copy)
  try {
    return await examine(copy, expected)
  } finally {
    rmSync(copy, { recursive: true })
  }
}

function flip(path: string, offset: number, bits = 0xff): void {
  const bytes = readFileSync(path)
  bytes[offset] = (bytes[offset] ?? 0) ^ bits
  writeFileSync(path, bytes)
}

/** Where a memory's content and embedding lie, found by their bytes. */
function find(path: string, bytes: Uint8Array): number {
  const offset = readFileSync(path).indexOf(bytes)
  if (offset < 0) throw new Error(`${path} does not hold what was looked for`)
  return offset
}

test('any byte of meta that is flipped is told at the opening', async () => {
  const { directory, expected } = makeStore()
  const { length } = readFileSync(join(directory, 'meta'))
  for (let offset = 0; offset < length; offset += 3) {
    expect([
      offset,
      await damage(directory, expected, (copy) => flip(join(copy, 'meta'), offset, 1 << (offset % 8))),
    ]).toEqual([offset, 'open'])
  }
  for (const bytes of [0, 1, 7, 8, 191, length - 1]) {
    expect(await damage(directory, expected, (copy) => truncateSync(join(copy, 'meta'), bytes))).toBe('open')
  }
})

test('a flipped byte of a content or an embedding is told by verify, with the id; the other memories are readable', async () => {
  const { directory, expected } = makeStore()
  const copies = [
    ['1.log', Buffer.from('content 100')],
    ['1.blocks', Buffer.from(new Float32Array(dimensions).fill(101).buffer)],
  ] as const
  for (const [name, bytes] of copies) {
    flip(join(directory, name), find(join(directory, name), bytes) + 1, 1)
    const store = open(directory)
    const { ok, problems } = await store.verify()
    expect([ok, problems.map(({ file, code, id }) => [file, code, id])]).toEqual([
      false,
      [[name, 'THERMOCLINE_CORRUPT', 'm100']],
    ])
    for (const id of ['m0', 'm99', 'm101', `m${memories - 1}`]) expect(store.get(id)).toStrictEqual(expected.get(id))
    expect(codeOf(() => store.get('m100'))).toBe('CORRUPT')
    store.close()
    flip(join(directory, name), find(join(directory, name), bytes.subarray(4)) - 3, 1)
  }
})

test('a flipped byte of a content is told by get, by entries and by the first touch of a view', () => {
  const { directory } = makeStore()
  const first = open(directory)
  const { segment, logOffset } = first.locate('m7') ?? { segment: 0, logOffset: 0 }
  first.close()
  const file = join(directory, `${segment}.log`)
  const bytes = readFileSync(file)
  const at = bytes.indexOf('content 7', logOffset)
  bytes[at] = (bytes[at] as number) ^ 1
  writeFileSync(file, bytes)
  const store = open(directory)
  expect(codeOf(() => store.get('m7'))).toBe('CORRUPT')
  expect(codeOf(() => [...store.entries()])).toBe('CORRUPT')
  const view = store.view('m7')
  expect(codeOf(() => view?.content)).toBe('CORRUPT')
  expect(codeOf(() => view?.metadata)).toBe('CORRUPT')
  expect(store.view('m8')?.content).toBe('content 8')
  store.close()
})

test(`flipped bytes anywhere in the logs and blocks crash nothing (seed ${seed})`, async () => {
  const { directory, expected } = makeStore()
  const random = randomFrom(seed)
  const told: string[] = []
  for (const name of readdirSync(directory).filter((file) => /\.(log|blocks)$/.test(file))) {
    const path = join(directory, name)
    const { length } = readFileSync(path)
    for (let round = 0; round < flipsPerFile; round++) {
      // The first bytes are headers, which matter most.
      const offset = Math.floor(random() * (round % 3 === 0 ? 256 : round % 3 === 1 ? 8192 : length)) % length
      const withoutCache = random() < 0.5
      const bits = 1 + Math.floor(random() * 255)
      const damaged = damage(directory, expected, (copy) => {
        flip(join(copy, name), offset, bits)
        if (withoutCache) rmSync(join(copy, 'cache'))
      })
      await damaged.catch((error: Error) => told.push(`${name} ${offset} ^ ${bits}: ${error.message}`))
    }
  }
  expect(told).toEqual([])
})

test(`flipped bytes in cache and lock are told or repaired, and nothing wrong is read (seed ${seed})`, async () => {
  const { directory, expected } = makeStore()
  const random = randomFrom(seed + 1)
  for (const name of ['cache', 'lock']) {
    const { length } = readFileSync(join(directory, name))
    for (let round = 0; round < flipsPerFile; round++) {
      const offset = Math.floor(random() * (round % 2 === 0 ? 8192 : length)) % length
      await damage(directory, expected, (copy) => flip(join(copy, name), offset, 1 + Math.floor(random() * 255)))
    }
  }
})

test('files cut off, emptied or missing crash nothing', async () => {
  const { directory, expected } = makeStore()
  const outcomes: Record<string, string> = {}
  for (const name of readdirSync(directory).filter((file) => file !== 'meta')) {
    const { length } = readFileSync(join(directory, name))
    for (const bytes of [0, 100, 4096, Math.floor(length / 2)]) {
      if (bytes >= length) continue
      outcomes[`${name} ${bytes}`] = await damage(directory, expected, (copy) =>
        truncateSync(join(copy, name), bytes),
      ).catch(String)
    }
    outcomes[`${name} missing`] = await damage(directory, expected, (copy) => rmSync(join(copy, name)))
  }
  for (const name of ['1.log', '1.blocks'])
    for (const how of ['0', '100', 'missing']) expect(outcomes[`${name} ${how}`]).toBe('open')
  for (const name of ['cache', 'lock']) expect(outcomes[`${name} missing`]).toBe('nothing')
})
