// Texts as words of one list: whatever bytes go in come back, and no bytes that are read make more of it than CORRUPT.

import type { CodedError } from 'thermocline'
import { WordEncoder, WordList } from 'thermocline/tiers'
import { expect, test } from 'vitest'
import { makeRandom } from '../../bench/workload.mjs'
import { codeOf, shortCode } from '../support/failures.js'

const seed = 56_003
const pieces = [
  'word',
  'words',
  'a',
  '7',
  ' ',
  '  ',
  ', ',
  '.',
  '\n',
  '\0',
  'Grüße',
  '記憶',
  '\u{1f9e0}',
  'x'.repeat(255),
  'y'.repeat(700),
  '-'.repeat(300),
  '',
]

function makeBlocks(random: () => number): Buffer[][] {
  const pick = (most: number): number => Math.floor(random() * most)
  return Array.from({ length: 1 + pick(4) }, () =>
    Array.from({ length: pick(6) }, () => {
      const bytes = Array.from({ length: pick(12) }, () => Buffer.from(pieces[pick(pieces.length)] as string))
      if (pick(5) === 0) bytes.push(Buffer.from(Array.from({ length: pick(40) }, () => pick(256))))
      return Buffer.concat(bytes)
    }),
  )
}

function encode(blocks: readonly Buffer[][]): { list: Uint8Array; coded: Uint8Array[] } {
  const encoder = new WordEncoder(Buffer.concat(blocks.flat()))
  let end = 0
  for (const block of blocks) {
    const begin = end
    const ends = block.map(({ length }) => {
      end += length
      return end
    })
    encoder.add(begin, ends)
  }
  const list = encoder.list()
  if (list === undefined) throw new Error('no list')
  return { list, coded: blocks.map((_, at) => encoder.encode(at)) }
}

test('any texts come back to the last byte, wherever one ends and the next begins', () => {
  const random = makeRandom(seed)
  for (let round = 0; round < 400; round++) {
    const blocks = makeBlocks(random)
    const { list, coded } = encode(blocks)
    const words = new WordList(list, 0)
    for (const [at, block] of blocks.entries()) {
      const text = Buffer.concat(block)
      const found = words.decode(coded[at] as Uint8Array, text.length, 0)
      expect(text.equals(found), `seed ${seed}, round ${round}, block ${at}`).toBe(true)
    }
  }
})

test('more words than two bytes can number come back too', () => {
  const text = Buffer.from(Array.from({ length: 60_000 }, (_, at) => `w${at.toString(36)}`).join(' '))
  const { list, coded } = encode([[text, text]])
  const both = Buffer.concat([text, text])
  expect(both.equals(new WordList(list, 0).decode(coded[0] as Uint8Array, both.length, 0))).toBe(true)
  expect((coded[0] as Uint8Array).length).toBeGreaterThan(2 * 120_000)
})

test('first bytes that lead out of those that follow the same byte are CORRUPT', () => {
  const list = new WordList(Buffer.from([2, 0, 0, 0, 1, 1, 0x2d, 0x2b]), 0)
  expect(String(list.decode(Buffer.from([2, 0, 0, 0, 1, 0, 1]), 2, 0))).toBe('-+')
  // One of them follows 0 by the last one that is told, but two are asked for.
  expect(codeOf(() => list.decode(Buffer.from([2, 0, 0, 0, 0, 0, 1]), 2, 0))).toBe('CORRUPT')
})

test('damaged lists and blocks are CORRUPT or give as many bytes as were asked for', () => {
  const random = makeRandom(seed + 1)
  const outcomes = { corrupt: 0, decoded: 0 }
  for (let round = 0; round < 3000; round++) {
    const block = makeBlocks(random).flat()
    const { list, coded } = encode([block])
    const bytes = [list, coded[0] as Uint8Array]
    const damaged = bytes[round % 2] as Uint8Array
    if (random() < 0.3) bytes[round % 2] = damaged.subarray(0, Math.floor(random() * damaged.length))
    else damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256)
    const { length } = Buffer.concat(block)
    try {
      const found = new WordList(bytes[0] as Uint8Array, 0).decode(bytes[1] as Uint8Array, length, 0)
      expect(found.length).toBe(length)
      outcomes.decoded += 1
    } catch (error) {
      expect(shortCode(error as CodedError), `seed ${seed + 1}, round ${round}: ${String(error)}`).toBe('CORRUPT')
      outcomes.corrupt += 1
    }
  }
  expect(Math.min(outcomes.corrupt, outcomes.decoded)).toBeGreaterThan(300)
})
