// ContentLog: every record in commit order, and reading at a place.

import type { LogOffset, SegmentNumber } from 'thermocline'
import { type LogRecord, openWarmTier, type WarmTier } from 'thermocline/warm'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, expectMisuse, failureOf, shortCode } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const seed = 0x10f
const wildReads = 4000

function makeTier(directory = temporaryDirectory()): WarmTier {
  const tier = openWarmTier(directory, { dimensions: 2, durability: 'none' })
  onTestFinished(() => tier.close())
  return tier
}

function writeSome(tier: WarmTier): void {
  tier.put({ id: 'a', content: 'one', embedding: [1, 2] })
  tier.update('a', { content: 'two' })
  tier.put({ id: 'b' })
  tier.delete('a')
  tier.put({ id: 'a', content: 'three', embedding: [3, 4] })
}

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

test('records are every write, in order, each behind the one before it', () => {
  const tier = makeTier()
  writeSome(tier)
  const records = [...tier.log.records()]
  expect(records.map(({ sequence, kind, id }) => `${sequence} ${kind} ${id}`)).toEqual([
    '1 put a',
    '2 update a',
    '3 put b',
    '4 delete a',
    '5 put a',
  ])
  records.slice(1).forEach((record, index) => {
    const before = records[index] as LogRecord
    expect(record.offset).toBeGreaterThanOrEqual(before.offset + before.length)
  })
  for (let since = 0; since <= 5; since++) expect([...tier.log.records({ since })]).toEqual(records.slice(since))
})

test('records cross segments without a gap, and no two share a byte', () => {
  const tier = makeTier()
  tier.putMany(Array.from({ length: 3000 }, (_, at) => ({ id: `m${at}`, content: 'x'.repeat(at % 97) })))
  const records = [...tier.log.records()]
  expect(records.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 3000 }, (_, at) => at + 1))
  expect(new Set(records.map(({ segment }) => segment)).size).toBeGreaterThan(1)
  records.slice(1).forEach((record, index) => {
    const before = records[index] as LogRecord
    if (record.segment === before.segment) expect(record.offset).toBeGreaterThanOrEqual(before.offset + before.length)
  })
})

test('the newest record of an id lies where locate says', () => {
  const tier = makeTier()
  writeSome(tier)
  const last = [...tier.log.records()].at(-1) as LogRecord
  expect(tier.locate('a')).toMatchObject({ segment: last.segment, logOffset: last.offset, logLength: last.length })
})

test('read gives the memory of any put or update, newest or not; that of a delete is CORRUPT', () => {
  const tier = makeTier()
  writeSome(tier)
  const contents = [...tier.log.records()].map(({ segment, offset, kind }) => {
    if (kind === 'delete') return codeOf(() => tier.log.read(segment, offset))
    const memory = tier.log.read(segment, offset)
    return [memory.id, memory.content, memory.embedding && [...memory.embedding], memory.sequence]
  })
  expect(contents).toEqual([
    ['a', 'one', [1, 2], 1],
    ['a', 'two', [1, 2], 2],
    ['b', null, null, 3],
    'CORRUPT',
    ['a', 'three', [3, 4], 5],
  ])
  const place = tier.locate('a')
  expect(tier.log.read(place?.segment as SegmentNumber, place?.logOffset as LogOffset)).toStrictEqual(tier.get('a'))
})

test(`read at a place that no record begins at is refused and never crashes (seed ${seed})`, () => {
  const tier = makeTier()
  tier.putMany(
    Array.from({ length: 400 }, (_, at) => ({ id: `m${at}`, content: 'text'.repeat(at % 9), embedding: [at, 1] })),
  )
  const places = new Set([...tier.log.records()].map(({ segment, offset }) => `${segment}/${offset}`))
  const random = randomFrom(seed)
  const end = tier.log.tail.offset
  let refused = 0
  for (let round = 0; round < wildReads; round++) {
    const segment = round % 8 === 0 ? Math.floor(random() * 2 ** 33) : 1 + Math.floor(random() * 3)
    const offset = round % 16 === 0 ? Math.floor(random() * 2 ** 53) : Math.floor(random() * (end + 100_000))
    if (places.has(`${segment}/${offset}`)) continue
    const error = failureOf(() => tier.log.read(segment as SegmentNumber, offset as LogOffset))
    expect(['CORRUPT', 'ARGUMENT']).toContain(shortCode(error))
    refused += 1
  }
  expect(refused).toBeGreaterThan(wildReads / 2)
  expect(tier.size).toBe(400)
})

test('the tail stands behind the last record and moves with every write', () => {
  const tier = makeTier()
  expect(tier.log.tail.sequence).toBe(0)
  for (let at = 1; at <= 20; at++) {
    const before = tier.log.tail
    tier.put({ id: 'a' })
    const record = [...tier.log.records({ since: at - 1 })][0] as LogRecord
    expect(record.offset).toBeGreaterThanOrEqual(before.offset)
    expect(tier.log.tail).toEqual({ segment: record.segment, offset: record.offset + record.length, sequence: at })
  }
  const quiet = tier.log.tail
  tier.touch('a')
  tier.delete('absent')
  expect(tier.log.tail).toEqual(quiet)
})

test('records that come while iterating are included', () => {
  const tier = makeTier()
  tier.put({ id: 'm0' })
  const seen: string[] = []
  for (const { id } of tier.log.records()) {
    seen.push(id)
    if (seen.length < 600) tier.put({ id: `m${seen.length}` })
  }
  expect(seen).toEqual(Array.from({ length: 600 }, (_, at) => `m${at}`))
})

test('the log survives closing and opening, byte for byte in its places', () => {
  const directory = temporaryDirectory()
  const tier = makeTier(directory)
  writeSome(tier)
  const records = [...tier.log.records()]
  tier.close()
  const reopened = makeTier(directory)
  expect([...reopened.log.records()]).toEqual(records)
})

test('misuse is refused, since above the present is CHANGES_GONE, a closed log throws CLOSED', () => {
  const tier = makeTier()
  const { log } = tier
  tier.put({ id: 'a' })
  expectMisuse(() => log.records({ since: -1 }), RangeError, 'ARGUMENT')
  expectMisuse(() => log.records({ from: 1 } as never), TypeError, 'ARGUMENT')
  expectMisuse(() => log.read('1' as never, 0 as LogOffset), TypeError, 'ARGUMENT')
  expectMisuse(() => log.read(1 as SegmentNumber, 0.5 as LogOffset), RangeError, 'ARGUMENT')
  expectMisuse(() => log.read(-1 as SegmentNumber, 0 as LogOffset), RangeError, 'ARGUMENT')
  expect(codeOf(() => [...log.records({ since: 2 })])).toBe('CHANGES_GONE')
  const open = log.records()
  tier.close()
  expect(codeOf(() => open.next())).toBe('CLOSED')
  expect(codeOf(() => log.tail)).toBe('CLOSED')
  expect(codeOf(() => [...log.records()])).toBe('CLOSED')
  expect(codeOf(() => log.read(1 as SegmentNumber, 4096 as LogOffset))).toBe('CLOSED')
})
