// The workload of every row: ids `mem-<i>`, clustered unit embeddings, content of 100 to 1,500 bytes (mean near 500),
// metadata of three keys. Each memory is made from a fixed seed and its number alone, so every run, every peer and
// every process gets the same bytes, and any range can be made by itself.

import { openEmbeddings } from './embeddings.mjs'

const clusters = 100
const vocabulary = 500
const spread = 0.05 // of each coordinate about its cluster's centre, before normalising

/** Mulberry32, a 32-bit generator by Tommy Ettinger: small, and the same everywhere. */
export function makeRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

function normalise(vector) {
  let square = 0
  for (const value of vector) square += value * value
  const scale = 1 / Math.sqrt(square)
  for (let i = 0; i < vector.length; i += 1) vector[i] *= scale
  return vector
}

/** Numbers of neighbouring memories share no state: a multiplicative hash spreads them over the seeds. */
function seedOf(seed, number) {
  return (Math.imul(number + 1, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b)) >>> 0
}

/** A maker of memories: `memory(i)`, and `query(i)`, which is of the same clusters but never stored. */
export function makeWorkload(dimensions, seed = 1) {
  const random = makeRandom(seed)
  const centres = Array.from({ length: clusters }, () =>
    normalise(Float32Array.from({ length: dimensions }, () => random() - 0.5)),
  )
  const words = Array.from({ length: vocabulary }, () => `${Math.floor(random() * 36 ** 5).toString(36)} `)

  function embeddingOf(number, next) {
    const centre = centres[number % clusters]
    const embedding = new Float32Array(dimensions)
    for (let d = 0; d < dimensions; d += 1) embedding[d] = centre[d] + (next() - 0.5) * spread
    return normalise(embedding)
  }

  function contentOf(next) {
    // A power of a uniform number leans towards short contents: mean near 500 of 100..1500.
    const length = 100 + Math.floor(1400 * next() ** 2.5)
    let content = ''
    while (content.length < length) content += words[Math.floor(next() * vocabulary)]
    // Through a buffer, so that the string is flat: a rope would be flattened inside somebody's clock.
    return Buffer.from(content.slice(0, length), 'latin1').toString('latin1')
  }

  return {
    memory(number) {
      const next = makeRandom(seedOf(seed, number))
      return {
        id: `mem-${number}`,
        embedding: embeddingOf(number, next),
        content: contentOf(next),
        metadata: { source: `chat-${number % 50}`, turn: number, pinned: number % 7 === 0 },
        confidence: 1 - (number % 100) / 200,
        createdAt: 1_700_000_000_000 + number,
      }
    },
    query: (number) => embeddingOf(number, makeRandom(seedOf(seed + 1, number))),
  }
}

/** The workload of a run: with the embeddings of a file in place of made ones when it names one. */
export function openWorkload({ dimensions, embeddings }) {
  const workload = makeWorkload(dimensions)
  if (embeddings === undefined) return workload
  const real = openEmbeddings(embeddings)
  return {
    memory: (number) => ({ ...workload.memory(number), embedding: real.embedding(number) }),
    query: real.query,
  }
}

/** The first `n` memories. */
export function makeMemories(n, dimensions) {
  return [...streamMemories(makeWorkload(dimensions), 0, n)]
}

/** Memories `begin` to `end`, one after another. */
export function* streamMemories(workload, begin, end) {
  for (let number = begin; number < end; number += 1) yield workload.memory(number)
}

/** Bytes that a memory needs by itself: id, embedding, content and metadata as UTF-8, two numbers. */
export function rawBytes({ id, embedding, content, metadata }) {
  return (
    Buffer.byteLength(id) +
    embedding.byteLength +
    Buffer.byteLength(content) +
    Buffer.byteLength(JSON.stringify(metadata)) +
    16
  )
}
