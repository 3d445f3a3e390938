// Copies of memories, and their sizes: what the hot tier hands out must be the caller's own.

import type { JsonObject, JsonValue, Memory } from '../types'
import { makeSlab } from '../warm/slab'

let slab = new Float32Array(0)
let slabBuffer = slab.buffer
let slabOffset = 0

/** A copy into a slab. One whose buffer a caller transferred away has no room. */
function copyEmbedding(embedding: Float32Array): Float32Array {
  const { length } = embedding
  if (slabOffset + length > slab.length) {
    slab = makeSlab(length)
    slabBuffer = slab.buffer
    slabOffset = 0
  }
  slab.set(embedding, slabOffset)
  const copy = new Float32Array(slabBuffer, slabOffset * Float32Array.BYTES_PER_ELEMENT, length)
  slabOffset += length
  return copy
}

function copyJson(value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null) return value
  return Array.isArray(value) ? value.map(copyJson) : copyObject(value)
}

function copyObject(object: JsonObject): JsonObject {
  // Has the keys already, so that no value meets a setter, of `__proto__` or one that somebody gave to Object.prototype.
  const copy = { ...object }
  for (const key in copy) {
    const value = copy[key] as JsonValue
    if (typeof value === 'object' && value !== null && Object.hasOwn(copy, key)) copy[key] = copyJson(value)
  }
  return copy
}

/** A memory of the caller's own with these statistics. */
export function copyMemory(memory: Memory, activation: number, lastAccess: number, recallCount: number): Memory {
  const { embedding } = memory
  return {
    id: memory.id,
    embedding: embedding === null ? null : copyEmbedding(embedding),
    content: memory.content,
    metadata: copyObject(memory.metadata),
    confidence: memory.confidence,
    createdAt: memory.createdAt,
    sequence: memory.sequence,
    activation,
    lastAccess,
    recallCount,
  }
}

/** The same with an embedding of its own buffer, so that keeping it keeps nothing else alive. */
export function ownMemory(memory: Memory): Memory {
  const { embedding } = memory
  return { ...memory, embedding: embedding === null ? null : embedding.slice(), metadata: copyObject(memory.metadata) }
}

// What V8 takes, as measured (test/tiers/hot-budget.test.ts): rather too much than too little.
const objectBytes = 64
const valueBytes = 16
const stringBytes = 24
const listNumberBytes = 10 // lists of numbers hold them unboxed

function textBytes(text: string): number {
  return stringBytes + text.length * (isWide(text) ? 2 : 1)
}

function jsonBytes(value: JsonValue): number {
  if (typeof value === 'string') return textBytes(value)
  if (typeof value !== 'object' || value === null) return valueBytes
  if (Array.isArray(value) && value.every((element) => typeof element === 'number')) {
    return objectBytes + listNumberBytes * value.length
  }
  let bytes = objectBytes
  for (const key in value) bytes += valueBytes + jsonBytes((value as JsonObject)[key] as JsonValue)
  return bytes
}

/** Fixed cost of a decoded memory in an LRU: the object, the history of its activations, the cache's entry. */
const memoryBytes = 520
/** A typed array with an ArrayBuffer, without its numbers. */
const embeddingBytes = 208

/** About what a decoded memory takes in memory. Strings beyond Latin-1 take two bytes a unit. */
export function sizeOf({ id, embedding, content, metadata }: Memory): number {
  const text = content === null ? 0 : textBytes(content)
  const numbers = embedding === null ? 0 : embeddingBytes + embedding.byteLength
  return memoryBytes + textBytes(id) + text + jsonBytes(metadata) + numbers
}

function isWide(text: string): boolean {
  const { length } = text
  for (let at = 0; at < length; at++) if (text.charCodeAt(at) > 255) return true
  return false
}
