// Checks of vectors (embeddings and queries), and their conversion into Float32Arrays.
//
// Not here: finiteness of Float32Arrays, which the core checks twenty times faster while it copies them.

import { types } from 'node:util'
import { Failure, failure, wrongType } from '../errors'
import { describe } from '../options'
import type { Vector } from '../types'

const poolElements = 16 * 1024

let pool = new Float32Array(0)
let poolOffset = 0

/**
 * A fresh Float32Array out of a shared pool. Pooled because a new ArrayBuffer costs more than the conversion it
 * serves; never handed out twice, because reading the elements of an exotic array can run code that converts
 * another one.
 */
function allocateVector(length: number): Float32Array {
  if (poolOffset + length > pool.length) {
    pool = new Float32Array(Math.max(poolElements, length))
    poolOffset = 0
  }
  const vector = new Float32Array(pool.buffer, poolOffset * Float32Array.BYTES_PER_ELEMENT, length)
  poolOffset += length
  return vector
}

/** The engine's own, which no property of an array or its class can shadow. */
const lengthOf = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Float32Array.prototype), 'length')
  ?.get as () => number
const byteLengthOf = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength')?.get as () => number

/** By what only an ArrayBuffer has, in any realm and whatever its prototype: half the cost of asking `node:util`. */
function isShared(buffer: ArrayBufferLike): boolean {
  try {
    byteLengthOf.call(buffer)
    return false
  } catch {
    return true
  }
}

function checkLength(length: number, dimensions: number, what: string): void {
  if (length === dimensions) return
  throw failure(Failure.DIMENSION, `${what} must have ${dimensions} elements, not ${length}`, {
    expected: dimensions,
    actual: length,
  })
}

/**
 * A vector as a Float32Array of `dimensions` elements: the given one where it can be used as it is, else a copy.
 * The caller hands it to the addon before any other code can run.
 *
 * A detached array, and one whose buffer was resized away, has length 0 and fails as such.
 */
export function encodeVector(vector: unknown, dimensions: number, what: string): Float32Array {
  if (types.isFloat32Array(vector)) {
    checkLength(lengthOf.call(vector), dimensions, what)
    // Another thread may write to a shared one between the core's check and its copy.
    return isShared(vector.buffer) ? copyVector(vector) : vector
  }
  if (!Array.isArray(vector)) {
    throw wrongType(`${what} must be a Float32Array or an array of numbers, not ${describe(vector)}`)
  }
  return encodeArray(vector, dimensions, what)
}

function encodeArray(vector: readonly unknown[], dimensions: number, what: string): Float32Array {
  checkLength(vector.length, dimensions, what)
  const encoded = allocateVector(dimensions)
  for (let index = 0; index < dimensions; index++) {
    const element = vector[index]
    if (typeof element !== 'number') {
      throw wrongType(`${what} must hold numbers, but element ${index} is ${describe(element)}`)
    }
    encoded[index] = element
    // Looked at after rounding: a finite double beyond the range of a float becomes infinite.
    if (!Number.isFinite(encoded[index])) {
      throw failure(Failure.NOT_FINITE, `${what} must hold finite 32-bit floats, but element ${index} is ${element}`, {
        index,
      })
    }
  }
  return encoded
}

/** A copy that no other code can reach. */
export function copyVector(vector: Float32Array): Float32Array {
  const copy = new Float32Array(vector.length)
  copy.set(vector)
  return copy
}

/** A copy of what may be a vector; anything else as it is, for a check that comes later. */
export function ownVector(vector: Vector): Vector {
  // A detached one has length 0 and cannot be copied.
  if (types.isFloat32Array(vector)) return vector.length === 0 ? vector : copyVector(vector)
  return Array.isArray(vector) ? Array.from(vector as readonly number[]) : vector
}

/** True when no element differs from zero. Cost: one comparison for any vector that is not mostly zeros. */
export function isZeroVector(vector: Float32Array): boolean {
  for (let index = 0; index < vector.length; index++) if (vector[index] !== 0) return false
  return true
}
