// The workload of every row: ids `mem-<i>`, clustered unit embeddings, content of 100 to 1,500 bytes (mean near 500),
// metadata of three keys. From a fixed seed, so that every run and every peer gets the same bytes.

const clusters = 100

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

/** `n` memories with Float32Array embeddings of `dimensions`. */
export function makeMemories(n, dimensions, seed = 1) {
  const random = makeRandom(seed)
  const centres = Array.from({ length: clusters }, () =>
    normalise(Float32Array.from({ length: dimensions }, () => random() - 0.5)),
  )
  const words = Array.from({ length: 500 }, () => Math.floor(random() * 36 ** 5).toString(36))
  return Array.from({ length: n }, (_, i) => {
    const centre = centres[i % clusters]
    const embedding = new Float32Array(dimensions)
    for (let d = 0; d < dimensions; d += 1) embedding[d] = centre[d] + (random() - 0.5) * 0.05
    // The square of a uniform number leans towards short contents: mean near 500 of 100..1500.
    const length = 100 + Math.floor(1400 * random() ** 2.5)
    let content = ''
    while (content.length < length) content += `${words[Math.floor(random() * words.length)]} `
    return {
      id: `mem-${i}`,
      embedding: normalise(embedding),
      content: content.slice(0, length),
      metadata: { source: `chat-${i % 50}`, turn: i, pinned: i % 7 === 0 },
      createdAt: 1_700_000_000_000 + i,
    }
  })
}
