// T17: both sides of each limit that no other test has whole. Ids, contents, metadata and its depth: value-contract.ts;
// sizes of records and frames: misuse_test.cc, frame_test.cc; filters: filter_test.cc.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const operationsMax = 1_048_576

test('dimensions from 1 to 4,096 are kept bit for bit and searched; 0 and 4,097 leave nothing behind', () => {
  const directory = temporaryDirectory()
  for (const dimensions of [1, 4096]) {
    const store = open(join(directory, String(dimensions)), { dimensions })
    const embedding = Float32Array.from({ length: dimensions }, (_, at) => Math.fround(Math.sin(at + 1)))
    store.put({ id: 'a', embedding })
    store.put({ id: 'b', embedding: embedding.map((value) => -value) })
    expect(store.get('a')?.embedding).toEqual(embedding)
    expect(store.searchSync(embedding).map((hit) => hit.memory.id)).toEqual(['a', 'b'])
    expectMisuse(() => store.put({ id: 'c', embedding: new Float32Array(dimensions + 1) }), RangeError, 'DIMENSION')
    expectMisuse(() => store.put({ id: 'c', embedding: new Float32Array(dimensions - 1) }), RangeError, 'DIMENSION')
    store.close()
  }
  for (const dimensions of [0, 4097]) {
    const path = join(directory, String(dimensions))
    expectMisuse(() => open(path, { dimensions }), RangeError, 'DIMENSION')
    expect(existsSync(path)).toBe(false)
  }
})

test('a write takes 1,048,576 operations and not one more', () => {
  const store = open(join(temporaryDirectory(), 'store'), { dimensions: 1, durability: 'none' })
  const operations = new Array<{ delete: string } | { put: { id: string } }>(operationsMax).fill({ delete: 'absent' })
  operations[0] = { put: { id: 'first' } }
  operations[operationsMax - 1] = { put: { id: 'last' } }
  expect(store.write(operations).lastSequence).toBe(2)
  expectMisuse(() => store.write([{ put: { id: 'one more' } }, ...operations]), RangeError, 'TOO_LARGE')
  expect([store.size, store.sequence, store.has('one more')]).toEqual([2, 2, false])
  store.close()
})

test('batches of putMany hold 1 to 256 memories, however many are asked for', () => {
  const store = open(join(temporaryDirectory(), 'store'), { dimensions: 1, durability: 'none' })
  const memories = Array.from({ length: 257 }, (_, number) => ({ id: `m${number}` }))
  for (const [batchSize, batches] of [[1, 257] as const, [256, 2] as const, [10_000, 2] as const]) {
    const before = store.stats().batches
    expect(store.putMany(memories, { batchSize }).count).toBe(257)
    expect(store.stats().batches - before).toBe(batches)
  }
  expectMisuse(() => store.putMany(memories, { batchSize: 0 }), RangeError, 'ARGUMENT')
  store.close()
})

test('64 metadata paths can be indexed, 65 cannot', () => {
  const path = join(temporaryDirectory(), 'store')
  const paths = Array.from({ length: 65 }, (_, number) => `p${number}`)
  expectMisuse(() => open(path, { dimensions: 1, indexed: paths }), RangeError, 'ARGUMENT')
  const store = open(path, { dimensions: 1, indexed: paths.slice(0, 64) })
  store.put({ id: 'a', metadata: { p63: 1 } })
  expect([...store.entries({ where: { metadata: { p63: 1 } } })].map(({ id }) => id)).toEqual(['a'])
  store.close()
})
