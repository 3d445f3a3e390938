// The workload is the one that the figures name, and the same for everybody.

import { expect, test } from 'vitest'
import { demoFile, describeEmbeddings, heldBack, openEmbeddings } from '../../bench/embeddings.mjs'
import { makeMemories, makeWorkload, rawBytes } from '../../bench/workload.mjs'

const memories = makeMemories(1000, 48)

test('a memory depends on its number alone: any range, any process, the same bytes', () => {
  const again = makeWorkload(48)
  for (const number of [999, 0, 500]) expect(again.memory(number)).toEqual(memories[number])
})

test('embeddings have length 1, contents 100 to 1,500 bytes and about 500 on average, metadata three keys', () => {
  for (const { embedding, content, metadata } of memories) {
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 5)
    expect(Buffer.byteLength(content)).toBeGreaterThanOrEqual(100)
    expect(Buffer.byteLength(content)).toBeLessThanOrEqual(1500)
    expect(Object.keys(metadata)).toHaveLength(3)
  }
  const mean = memories.reduce((sum, { content }) => sum + content.length, 0) / memories.length
  expect(mean).toBeGreaterThan(450)
  expect(mean).toBeLessThan(550)
})

test('a query lies near stored memories and is none of them', () => {
  const query = makeWorkload(48).query(7)
  const scores = memories.map(({ embedding }) => embedding.reduce((sum, value, d) => sum + value * (query[d] ?? 0), 0))
  const best = Math.max(...scores)
  expect(best).toBeGreaterThan(0.8)
  expect(best).toBeLessThan(0.9999)
})

test('raw bytes are those of id, embedding, content, metadata and two numbers', () => {
  const memory = { ...makeWorkload(4).memory(0), content: 'é' }
  const metadata = Buffer.byteLength(JSON.stringify(memory.metadata))
  expect(rawBytes(memory)).toBe('mem-0'.length + 16 + 2 + metadata + 16)
})

test('embeddings of a file are of length 1, and those that are asked for are never stored', () => {
  const { dimensions, embedding, query } = openEmbeddings(demoFile)
  const stored = describeEmbeddings(demoFile).rows - heldBack
  expect([dimensions, stored]).toEqual([512, 2200])
  expect(Math.hypot(...embedding(0))).toBeCloseTo(1, 5)
  const last = query(0)
  const closest = Math.max(
    ...Array.from({ length: stored }, (_, i) =>
      embedding(i).reduce((sum, value, d) => sum + value * (last[d] ?? 0), 0),
    ),
  )
  expect(closest).toBeLessThan(0.999)
})
