// Goal: metadata whose bytes were damaged on disk is CORRUPT to a filter exactly when JSON.parse cannot read it, and what
// can still be read is compared as JSON.parse reads it. Method: the metadata of many memories is overwritten in the log
// by texts of the same length, mutated from good ones, and each record is sealed again, so that the checksum of a record
// does not hide the damage; each is asked filters that read all of it.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type CodedError,
  type Filter,
  type JsonObject,
  type JsonValue,
  type Location,
  type Memory,
  open,
} from 'thermocline'
import { expect, test } from 'vitest'
import { codeOf } from '../support/failures.js'
import { matches } from '../support/filter-oracle.js'
import { sealRecord } from '../support/format-reader.js'
import { temporaryDirectory } from '../support/temporary.js'

const isNightly = process.env.THERMOCLINE_NIGHTLY === '1'
const seed = Number(process.env.THERMOCLINE_SEED ?? 0xda3a)
const memories = isNightly ? 30_000 : 4_000

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

const good = [
  '{"a":{"b":[1,{"c":null},[2,[3]]]},"d":-0.5e-3}',
  '{"a":1,"b":"\\ud83d\\ude00","c":[true,false,null]}',
  '{"a":"x\\u0041\\n","b":{"c":{"a":[[],{}]}}}     ',
  '{ "a" : [ 1 , 22 , 333 ] , "b" : { } , "c" : 1.5E+3 }',
  '{"a":12345678901234567890,"b":1e400,"c":5e-324,"\\u0062":0}',
  '{"a":-0,"b":"c","c":true,"d":null,"e":"","f":0.1}',
  '{"b":"a","2":false,"a":"d","1":{},"c":12345678901234567890}',
  '{"b":"a","a":"some words that are long","a":1e21,"__proto__":7}',
]
// Without the zero byte and beyond ASCII, so that a text has as many bytes as units.
const bytes = '{}[]":,\\ \t\n0123456789+-.eEtrufalsn\u0001abcud'

function mutate(text: string, random: () => number): string {
  const units = [...text]
  const pick = (count: number): number => Math.floor(random() * count)
  for (let changes = 1 + pick(3); changes > 0; changes--) {
    const at = pick(units.length)
    if (random() < 0.6) units[at] = bytes.charAt(pick(bytes.length))
    // The same length, other places: brackets and commas stay as many as they were.
    else units.splice(pick(units.length), 0, ...units.splice(at, 1))
  }
  return units.join('')
}

// Each looks for a path that no text has, so none is decided before the end of a text.
const nowhere = { metadata: { 'no.such.path': { exists: true } } }
const filters: Filter[] = [
  nowhere,
  { or: [{ metadata: { 'a.b': { gt: 0 } } }, { metadata: { 'b.c': { exists: true } } }, nowhere] },
  { not: { metadata: { 'b.c.a': { exists: true }, 'a.b.c': { ne: null } }, not: nowhere } },
  {
    or: [
      { metadata: { a: { in: [1, 22, 'xA\n', Number('12345678901234567890')] } } },
      { metadata: { c: { gt: 1 } } },
      nowhere,
    ],
  },
]

/** The object that a text is; undefined: none. */
function parse(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as JsonValue
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

function countMembers(value: JsonValue): number {
  if (typeof value !== 'object' || value === null) return 0
  const values: JsonValue[] = Object.values(value)
  return values.reduce((sum: number, each) => sum + countMembers(each), Array.isArray(value) ? 0 : values.length)
}

/** Whether some key stands twice in an object: JSON.parse keeps the last, a filter looks at each. No writer makes such. */
function hasKeyTwice(text: string, parsed: JsonObject): boolean {
  const colons = text.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1
  return colons > countMembers(parsed)
}

/** Writes memories, closes the store and overwrites the metadata of each in the log. The new texts, by id. */
function makeDamagedStore(directory: string): Map<string, string> {
  const random = randomFrom(seed)
  const store = open(directory, { dimensions: 1, durability: 'none' })
  const texts = new Map<string, string>()
  const places: { path: string; segment: number; from: number; damaged: string }[] = []
  for (let at = 0; at < memories; at++) {
    const id = `m${at}`
    // Padding makes the stored text as long as the good one, which is written over it first.
    const text = good[at % good.length] as string
    store.put({ id, embedding: [1], metadata: { pad: 'x'.repeat(text.length - '{"pad":""}'.length) }, createdAt: 1 })
    const { segment, logOffset } = store.locate(id) as Location
    const damaged = random() < 0.1 ? text : mutate(text, random)
    texts.set(id, damaged)
    places.push({ path: join(directory, `${segment}.log`), segment, from: logOffset, damaged })
  }
  store.close()
  const logs = new Map<string, Buffer>()
  const meta = readFileSync(join(directory, 'meta'))
  for (const { path, segment, from, damaged } of places) {
    const log = logs.get(path) ?? readFileSync(path)
    logs.set(path, log)
    const offset = log.indexOf('{"pad":"', from)
    expect(offset).toBeGreaterThan(from)
    log.write(damaged, offset, 'latin1')
    sealRecord(meta, segment, log, from)
  }
  for (const [path, log] of logs) writeFileSync(path, log)
  return texts
}

test(`damaged metadata is CORRUPT to a filter exactly when JSON.parse cannot read it (seed ${seed})`, () => {
  const directory = join(temporaryDirectory(), 'store')
  const texts = makeDamagedStore(directory)
  const store = open(directory)
  const idAt = new Map<string, string>()
  for (const id of texts.keys()) {
    const { segment, logOffset } = store.locate(id) as Location
    idAt.set(`${segment}/${logOffset}`, id)
  }
  const counts = { corrupt: 0, matched: 0, not: 0, twice: 0 }
  for (const where of filters) {
    const corrupt = new Set<string>()
    const matched = new Set<string>()
    const iterator = store.entries({ where })
    for (let done = false; !done; ) {
      try {
        const next = iterator.next()
        done = next.done === true
        if (!next.done) matched.add(next.value.id)
      } catch (error) {
        const { code, details } = error as CodedError
        expect(code).toBe('THERMOCLINE_CORRUPT')
        corrupt.add(idAt.get(`${details.segment}/${details.offset}`) ?? 'nowhere')
      }
    }
    for (const [id, text] of texts) {
      const parsed = parse(text)
      const twice = parsed !== undefined && hasKeyTwice(text, parsed)
      const means = parsed !== undefined && matches({ metadata: parsed } as Memory, where)
      const found = corrupt.has(id) ? 'corrupt' : matched.has(id) ? 'matched' : 'not'
      const expected = parsed === undefined ? 'corrupt' : means ? 'matched' : 'not'
      counts[twice ? 'twice' : found] += 1
      if (twice) expect([text, found]).not.toEqual([text, 'corrupt'])
      else expect([text, found]).toEqual([text, expected])
    }
    expect(corrupt.has('nowhere')).toBe(false)
    expect(codeOf(() => store.searchSync([1], { filter: where }))).toBe('CORRUPT')
    // What the columns decide does not look at the metadata.
    expect([...store.entries({ where: { ...where, createdAt: { lt: 0 } } })]).toEqual([])
  }
  console.log(`damaged metadata: ${JSON.stringify(counts)}`)
  for (const kind of ['corrupt', 'matched', 'not'] as const) expect(counts[kind]).toBeGreaterThan(memories / 20)
  store.close()
})

// Most texts come more than once in a row of keys, so that both ways of decoding are compared: by JSON.parse and, once
// their keys are known, from values that were cut natively.
test(`get returns what JSON.parse makes of damaged metadata, key for key, or CORRUPT (seed ${seed})`, () => {
  const directory = join(temporaryDirectory(), 'store')
  const texts = makeDamagedStore(directory)
  const store = open(directory)
  for (const [id, text] of texts) {
    const parsed = parse(text)
    if (parsed === undefined) {
      expect([text, codeOf(() => store.get(id))]).toEqual([text, 'CORRUPT'])
      continue
    }
    for (let times = 0; times < 2; times++) {
      const metadata = store.get(id)?.metadata
      expect(metadata).toStrictEqual(parsed)
      expect(JSON.stringify(metadata)).toBe(JSON.stringify(parsed))
    }
  }
  store.close()
})
