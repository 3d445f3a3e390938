// Memories whose every part is derived from a name or a number, so that a reader can tell whose part it holds.
//
// Two kinds. A derived memory follows from its id alone: content, embedding and metadata are pseudo-random, so no two
// are alike. A stamped memory follows from two numbers that it carries itself: `number` of the last write, and `base`
// of the last put, which alone sets embedding and createdAt. A torn read mixes parts of two writes and is found out
// without knowing which writes there were.
//
// Plain JavaScript, because worker threads load it without a transform.

const letters = 'abcdefghijklmnopqrstuvwxyz0123456789 ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const lettersOfTwoBytes = 'абвгдежзийклмнопрстуфхцчшщъыьэюя'
const numberMax = 2 ** 24 // what a 32-bit float holds exactly

/** Mulberry32: small, seeded, the same everywhere. Numbers in [0, 1). */
export function randomFrom(seed) {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** FNV-1a, 32 bits. */
export function hashOf(text) {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}

/** Text of exactly that many bytes of UTF-8; a quarter of the seeds gives letters of two bytes each. */
export function textOf(seed, bytes) {
  const random = randomFrom(seed)
  const wide = seed % 4 === 0
  const alphabet = wide ? lettersOfTwoBytes : letters
  let text = wide && bytes % 2 === 1 ? letters[Math.floor(random() * letters.length)] : ''
  for (let left = wide ? bytes >> 1 : bytes; left > 0; left--) text += alphabet[Math.floor(random() * alphabet.length)]
  return text
}

export function embeddingOf(seed, dimensions) {
  const random = randomFrom(seed ^ 0x5bd1e995)
  return Float32Array.from({ length: dimensions }, () => random() * 2 - 1)
}

/** The derived memory of an id. */
export function derivedMemory(id, contentBytes, dimensions) {
  const seed = hashOf(id)
  return {
    id,
    embedding: embeddingOf(seed, dimensions),
    content: textOf(seed, contentBytes),
    metadata: { owner: id, seed, mark: textOf(seed + 1, 12) },
  }
}

function isEqualVector(left, right) {
  if (left === null || left.length !== right.length) return false
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

/** What is wrong with a derived memory that was read, or undefined. `expected`: as put. */
export function derivedProblem(memory, expected) {
  if (memory === undefined) return `${expected.id} is lost`
  if (memory.id !== expected.id) return `${expected.id} came back as ${memory.id}`
  if (memory.content !== expected.content) return `content of ${expected.id} is not its own`
  if (!isEqualVector(memory.embedding, expected.embedding)) return `embedding of another memory in ${expected.id}`
  const { owner, seed, mark, ...others } = memory.metadata
  const own = expected.metadata
  if (owner !== own.owner || seed !== own.seed || mark !== own.mark || Object.keys(others).length > 0) {
    return `metadata of ${expected.id} is not its own`
  }
  return undefined
}

function stampedElement(base, at) {
  return at === 0 ? base / numberMax : ((base * (2 * at + 1)) % 65521) / 2 ** 16
}

function stampedContent(id, number, base) {
  return `${id}|${number}|${base}|${String.fromCharCode(97 + (number % 26)).repeat(number % 200)}`
}

function stampedMetadata(number, base) {
  return { number, base, double: number * 2, list: [number, base], text: `${number}-${base}` }
}

/** What an update sets so that the memory is that of (number, base) afterwards; `base` is that of its last put. */
export function stampedPatch(id, number, base) {
  return {
    content: stampedContent(id, number, base),
    metadata: stampedMetadata(number, base),
    confidence: (number % 1000) / 1000,
  }
}

/** The stamped memory of a put; `number` is its base too. */
export function stampedMemory(id, number, dimensions) {
  if (number >= numberMax) throw new RangeError(`${number} is above what a 32-bit float holds exactly`)
  const embedding = Float32Array.from({ length: dimensions }, (_, at) => stampedElement(number, at))
  return { id, embedding, createdAt: number, ...stampedPatch(id, number, number) }
}

/** What is torn in a stamped memory that was read, or undefined. */
export function stampedProblem(memory, id, dimensions) {
  const { number, base } = memory.metadata
  const torn = (what) => `torn: ${what} of ${id} is not that of write ${number} on put ${base}`
  if (memory.id !== id) return `${id} came back as ${memory.id}`
  const { double, list, text } = memory.metadata
  const isWhole = double === number * 2 && list.length === 2 && list[0] === number && list[1] === base
  if (!isWhole || text !== `${number}-${base}`) return torn('metadata')
  if (memory.content !== stampedContent(id, number, base)) return torn('content')
  if (memory.confidence !== (number % 1000) / 1000) return torn('confidence')
  if (memory.createdAt !== base) return torn('createdAt')
  const { embedding } = memory
  if (embedding === null || embedding.length !== dimensions) return torn('length of the embedding')
  for (let at = 0; at < dimensions; at++) {
    if (embedding[at] !== Math.fround(stampedElement(base, at))) return torn(`element ${at} of the embedding`)
  }
  return undefined
}
