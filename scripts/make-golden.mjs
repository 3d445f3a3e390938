// Makes the golden store of the present format version: node scripts/make-golden.mjs, once per version, by its release.
//
// A golden store is never made again: test/golden/ opens the bytes of every version for ever. A directory is kept as
// one gzipped JSON text of those parts of its files that are not zeros, because files are backed ahead of their use.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { root, runAsProgram, ScriptError } from './run.mjs'

const formatVersion = 1
const dimensions = 12
const bytesAtOnce = 64 // zeros of at least so many are left out

/** Mulberry32: small, seeded, the same everywhere. */
function randomFrom(start) {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const random = randomFrom(0x601d)
const embedding = () => Float32Array.from({ length: dimensions }, () => random() * 2 - 1)

function memory(number, version) {
  return {
    id: number % 7 === 0 ? `ключ/${number}` : `memory-${number}`,
    ...(number % 5 === 0 ? {} : { embedding: embedding() }),
    ...(number % 6 === 0 ? {} : { content: `version ${version} of memory ${number} ${'🌊é'.repeat(number % 9)}` }),
    metadata: number % 4 === 0 ? {} : { number, version, nested: { tags: ['a', null, true, -0.5], text: '"\\\n' } },
    confidence: (number % 11) / 10,
    createdAt: 1_700_000_000_000 + number,
    activation: number % 3,
    lastAccess: 1_700_000_100_000 + number,
    recallCount: number % 13,
  }
}

/**
 * Every kind of record and frame: single puts, batches, replacements, updates, deletions, images, two segments and a
 * rewritten one. Returns the sequence from which on the change feed is whole.
 */
async function fill(store) {
  for (let number = 0; number < 40; number++) store.put(memory(number, 0))
  await store.flush()
  store.putMany(Array.from({ length: 260 }, (_, index) => memory(40 + index, 0)))
  for (let number = 0; number < 200; number += 3) store.put(memory(number, 1))
  for (let number = 1; number < 200; number += 4) store.delete(memory(number, 0).id)
  await store.compact()
  const since = store.sequence
  store.write([{ put: memory(1000, 0) }, { put: memory(1000, 1) }, { delete: memory(2, 0).id }])
  for (let number = 0; number < 60; number += 5) {
    store.update(memory(number, 0).id, { content: number % 2 === 0 ? null : 'updated', metadata: { updated: true } })
  }
  await store.flush()
  store.put({ ...memory(1001, 0), content: 'x'.repeat(40_000) })
  store.put(memory(1002, 0))
  store.delete(memory(299, 0).id)
  store.touch(memory(3, 0).id, { activation: 9 })
  return since
}

/** Parts of a file that are not zeros: offset and bytes. */
function partsOf(bytes) {
  const parts = []
  for (let at = 0; at < bytes.length; at += bytesAtOnce) {
    const part = bytes.subarray(at, at + bytesAtOnce)
    if (part.every((byte) => byte === 0)) continue
    const last = parts.at(-1)
    if (last !== undefined && last.offset + last.bytes.length === at) last.bytes = Buffer.concat([last.bytes, part])
    else parts.push({ offset: at, bytes: part })
  }
  return parts.map(({ offset, bytes: part }) => [offset, part.toString('base64')])
}

const plain = (one) => ({ ...one, embedding: one.embedding === null ? null : [...one.embedding] })

/** All that can be read, `changes` from a sequence on that compaction left alone. */
async function describeStore(store, since) {
  const query = Float32Array.from({ length: dimensions }, (_, index) => index / dimensions - 0.4)
  const hits = await store.search(query, { limit: 10, exact: true })
  const changes = []
  for await (const { sequence, kind, id } of store.changes({ since })) changes.push({ sequence, kind, id })
  return {
    memories: [...store.entries()].map(plain),
    sequence: store.sequence,
    search: { query: [...query], hits: hits.map(({ memory: { id }, score }) => ({ id, score })) },
    changes: { since, of: changes },
  }
}

async function main() {
  const { open } = createRequire(import.meta.url)(root)
  const folder = join(root, 'test', 'golden')
  const target = join(folder, `format-${formatVersion}.json.gz`)
  if (existsSync(target)) throw new ScriptError(`${target} is there, and stays`)
  mkdirSync(folder, { recursive: true })
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-golden-'))
  try {
    const store = open(directory, { dimensions })
    const expected = await describeStore(store, await fill(store))
    await store.close()
    const files = Object.fromEntries(
      readdirSync(directory)
        .sort()
        .map((name) => {
          const bytes = readFileSync(join(directory, name))
          return [name, { bytes: bytes.length, parts: partsOf(bytes) }]
        }),
    )
    const golden = JSON.stringify({ formatVersion, dimensions, files, expected })
    writeFileSync(target, gzipSync(golden, { level: 9 }))
    console.log(`${target}: ${Object.keys(files).length} files, ${expected.memories.length} memories`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

runAsProgram(import.meta.url, main)
