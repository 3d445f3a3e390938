// Goal: the second reader keeps the rules of docs/format.md section 6, those too that no healthy store shows.
// Method: store directories built byte by byte, as killed writers, power cuts and later versions would leave them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ReadStore, readStore } from '../support/format-reader.js'
import { SegmentBuilder, writeStore } from '../support/store-builder.js'

const dimensions = 2

describe('the reader of a store directory', () => {
  let directory: string
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'thermocline-rules-'))
  })
  afterEach(() => rmSync(directory, { recursive: true, force: true }))

  const segment = (number: number): SegmentBuilder => new SegmentBuilder(number, dimensions)
  const contents = (store: ReadStore): Record<string, string | null> =>
    Object.fromEntries([...store.memories].map(([id, { content }]) => [id, content]))

  test('counts the newest record of an id, and a deleted id as absent', () => {
    const one = segment(1)
    const epoch = one.frame(null, 1, [])
    const first = one.frame(
      epoch,
      1,
      [
        { id: 'a', content: '1' },
        { id: 'b', content: '2', slot: 1 },
      ],
      { memories: 2 },
    )
    one.frame(
      first,
      3,
      [
        { id: 'b', kind: 'delete' },
        { id: 'a', kind: 'update', content: '3', slot: 2 },
      ],
      { memories: 1 },
    )
    writeStore(directory, dimensions, [one])
    const store = readStore(directory)
    expect(store.problems).toEqual([])
    expect(contents(store)).toEqual({ a: '3' })
    expect(store.changes.map(({ kind }) => kind)).toEqual(['put', 'put', 'delete', 'update'])
  })

  // 1: [epoch] <- [a] <- [orphan]      2: empty      3: [b], names [a]
  test('drops the orphan of a killed writer when the next segment names a frame before it', () => {
    const [one, two, three] = [segment(1), segment(2), segment(3)]
    const epoch = one.frame(null, 1, [])
    const a = one.frame(epoch, 1, [{ id: 'a', content: '1' }], { memories: 1 })
    one.frame(a, 2, [{ id: 'orphan', content: 'never committed', slot: 1 }], { memories: 2 })
    three.frame(a, 2, [{ id: 'b', content: '2' }], { memories: 2 })
    writeStore(directory, dimensions, [one, two, three])
    const store = readStore(directory)
    expect(store.problems).toEqual([])
    expect(store.orphans).toBe(1)
    expect(contents(store)).toEqual({ a: '1', b: '2' })
  })

  // 1: [orphan]      2: [a], names nothing
  test('drops an orphan that was the first frame ever', () => {
    const [one, two] = [segment(1), segment(2)]
    one.frame(null, 1, [{ id: 'orphan' }], { memories: 1 })
    two.frame(null, 1, [{ id: 'a', content: '1' }], { memories: 1 })
    writeStore(directory, dimensions, [one, two])
    const store = readStore(directory)
    expect(store.problems).toEqual([])
    expect(contents(store)).toEqual({ a: '1' })
  })

  test('reports an open log that ends before the watermark', () => {
    const one = segment(1)
    const epoch = one.frame(null, 1, [])
    const end = one.log.length
    one.frame(epoch, 1, [{ id: 'a' }], { memories: 1 })
    const watermark = (1n << 32n) | BigInt(one.log.length / 8)
    writeStore(directory, dimensions, [one], { watermark })
    expect(readStore(directory).problems).toEqual([])
    one.log[end + 130] = 0xff
    writeStore(directory, dimensions, [one], { watermark })
    expect(readStore(directory).problems).toEqual([
      { file: '1.log', offset: end, what: 'frames end before the watermark' },
    ])
  })

  test('ends an open log at leftovers that name another frame', () => {
    const one = segment(1)
    const epoch = one.frame(null, 1, [])
    const a = one.frame(epoch, 1, [{ id: 'a', content: '1' }], { memories: 1 })
    one.frame(epoch, 2, [{ id: 'leftover', slot: 1 }], { memories: 2 })
    one.frame(a, 2, [{ id: 'unreached', slot: 2 }], { memories: 2 })
    writeStore(directory, dimensions, [one])
    const store = readStore(directory)
    expect(store.problems).toEqual([])
    expect(contents(store)).toEqual({ a: '1' })
  })

  test('ends an open log at each cut, with every whole frame before it', () => {
    const one = segment(1)
    const ends = [one.log.length]
    let last = one.frame(null, 1, [])
    ends.push(one.log.length)
    for (let i = 1; i <= 3; i += 1) {
      last = one.frame(last, i, [{ id: `m${i}`, content: 'x'.repeat(i), slot: i }], { memories: i })
      ends.push(one.log.length)
    }
    const whole = one.log
    for (let size = 4096; size <= whole.length; size += 4) {
      one.log = whole.subarray(0, size)
      writeStore(directory, dimensions, [one])
      const store = readStore(directory)
      expect(store.problems).toEqual([])
      expect(store.frames.length).toBe(ends.filter((end) => end <= size).length - 1)
    }
  })

  test('reads nothing beyond log_end, and reports a log that ends before it', () => {
    const one = segment(1)
    const epoch = one.frame(null, 1, [])
    one.logEnd = one.log.length
    one.frame(epoch, 1, [{ id: 'beyond' }], { memories: 1 })
    writeStore(directory, dimensions, [one])
    expect(readStore(directory)).toMatchObject({ problems: [], memories: new Map() })
    one.logEnd = one.log.length + 8
    writeStore(directory, dimensions, [one])
    expect(readStore(directory).problems).toEqual([
      { file: '1.log', offset: one.log.length, what: 'frames end before log_end' },
    ])
  })

  test('goes in list order, not by number, and follows a replaced segment', () => {
    // 1 and 2 were rewritten into 4; 3 names the last frame of 2, which is gone.
    const [four, three] = [segment(4), segment(3)]
    four.frame(null, 5, [{ id: 'a', content: 'old' }])
    three.frame({ position: (2n << 32n) | 600n, headerCrc: 7 }, 9, [{ id: 'a', content: 'new' }])
    const replaced = [{ first: 1, last: 2, by: 4 }]
    writeStore(directory, dimensions, [four, three], { replaced })
    const store = readStore(directory)
    expect(store.problems).toEqual([])
    expect(contents(store)).toEqual({ a: 'new' })
    writeStore(directory, dimensions, [four, three])
    expect(contents(readStore(directory))).toEqual({ a: 'old' })
  })

  test('takes an embedding from the newest image when its block was lost, and reports one that has none', () => {
    const one = segment(1)
    const epoch = one.frame(null, 1, [])
    const put = one.frame(
      epoch,
      1,
      [
        { id: 'a', embedding: [1, 2], slot: 3 },
        { id: 'b', embedding: [3, 4], slot: 4 },
      ],
      { memories: 2 },
    )
    one.frame(put, 0, [], { images: [{ segment: 1, slot: 3, embedding: [1, 2] }] })
    one.blocks.fill(0, 65536)
    writeStore(directory, dimensions, [one])
    const store = readStore(directory)
    expect(store.memories.get('a')?.embedding).toEqual(new Float32Array([1, 2]))
    expect(store.memories.get('b')?.embedding).toBeNull()
    expect(store.problems.map(({ id }) => id)).toEqual(['b'])
  })

  test('skips extensions that it does not know, and refuses critical ones', () => {
    const entry = (flags: number): Buffer => Buffer.from([9, 0, flags, 0, 3, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0])
    const build = (record: number, meta: number): void => {
      const one = segment(1)
      one.frame(null, 1, [{ id: 'a', content: '1', tlv: entry(record) }], { memories: 1 })
      writeStore(directory, dimensions, [one], { tlv: entry(meta) })
    }
    build(0, 0)
    expect(readStore(directory).problems).toEqual([])
    build(1, 0)
    expect(readStore(directory).problems[0]?.what).toBe('record: extensions')
    build(0, 1)
    expect(() => readStore(directory)).toThrow('extensions')
  })
})
