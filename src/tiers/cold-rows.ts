// Embeddings in cold files: rows of numbers to bytes and back, in planes.
//
// A plane holds the first byte of every number, the next one the second, and so on: the bytes that carry sign and
// exponent are alike in all embeddings and compress, the others are noise and are stored as they are.
//
// `f32` is exact: its bits are turned by three. The first plane then has the low six bits of the exponent and the high two
// of the mantissa, which follow from each other: among numbers that thin out as they grow, those of a large exponent lie
// in the lower part of its range. The last plane has the sign and the high two bits of the exponent, which are the same in
// all numbers between 2^-63 and 2 and so cost nothing.

import type { ColdEmbeddings } from './types'

/** Encodings by the number that files carry. */
export const coldEncodings: readonly ColdEmbeddings[] = ['f32', 'f16', 'int8']

const float = new Float32Array(1)
const floatBits = new Uint32Array(float.buffer)

/** The nearest half-precision number, ties to even; beyond its range the largest finite one. */
export function toHalf(value: number): number {
  float[0] = value
  const bits = floatBits[0] as number
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude >= 0x477fe000) return sign | 0x7bff // 65504 and above
  if (magnitude >= 0x38800000) {
    // Adding half of the last place, less one when it is even already, rounds and carries into the exponent.
    const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1)
    return sign | ((rounded - 0x38000000) >>> 13)
  }
  // Below the smallest normal number: multiples of 2^-24.
  const scaled = Math.abs(value) * 2 ** 24
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  return sign | (floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0))
}

let halfNumbers: Float32Array | undefined

/** The number that sixteen bits stand for. */
export function fromHalf(half: number): number {
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
  return half & 0x8000 ? -magnitude : magnitude
}

const int8Max = 127

function splitPlanes(bytes: Uint8Array, width: number): Uint8Array[] {
  const count = bytes.length / width
  const planes: Uint8Array[] = []
  for (let plane = 0; plane < width; plane++) {
    const part = new Uint8Array(count)
    for (let at = 0, from = plane; at < count; at++, from += width) part[at] = bytes[from] as number
    planes.push(part)
  }
  return planes
}

function joinPlanes(planes: readonly Uint8Array[], bytes: Uint8Array): void {
  const width = planes.length
  planes.forEach((part, plane) => {
    for (let at = 0, to = plane; at < part.length; at++, to += width) bytes[to] = part[at] as number
  })
}

function bytesOf(array: Float32Array | Uint32Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

const turn = 3

/** The bits of each number, the highest three moved to the lowest places. */
function turnBits(rows: Float32Array): Uint32Array {
  const turned = Uint32Array.from(new Uint32Array(rows.buffer, rows.byteOffset, rows.length))
  for (let at = 0; at < turned.length; at++) {
    const bits = turned[at] as number
    turned[at] = (bits << turn) | (bits >>> (32 - turn))
  }
  return turned
}

/** Undoes `turnBits` in place. */
function turnBack(rows: Float32Array): void {
  const turned = new Uint32Array(rows.buffer, rows.byteOffset, rows.length)
  for (let at = 0; at < turned.length; at++) {
    const bits = turned[at] as number
    turned[at] = (bits >>> turn) | (bits << (32 - turn))
  }
}

/** How many planes a block of that encoding has, and the bytes of each for so many rows. */
export function planeSizes(encoding: ColdEmbeddings, rows: number, dimensions: number): number[] {
  const count = rows * dimensions
  if (encoding === 'f32') return [count, count, count, count]
  if (encoding === 'f16') return [count, count]
  return [rows * Float32Array.BYTES_PER_ELEMENT, count]
}

/** Planes of rows that lie one after another. */
export function encodeRows(encoding: ColdEmbeddings, rows: Float32Array, dimensions: number): Uint8Array[] {
  if (encoding === 'f32') return splitPlanes(bytesOf(turnBits(rows)), 4)
  if (encoding === 'f16') return splitPlanes(bytesOf(Uint16Array.from(rows, toHalf)), 2)
  return encodeInt8(rows, dimensions)
}

/** Of each row one scale, by which its largest element is 127. */
function encodeInt8(rows: Float32Array, dimensions: number): Uint8Array[] {
  const scales = new Float32Array(rows.length / dimensions)
  const codes = new Int8Array(rows.length)
  for (let row = 0; row < scales.length; row++) {
    const begin = row * dimensions
    let largest = 0
    for (let at = begin; at < begin + dimensions; at++) largest = Math.max(largest, Math.abs(rows[at] as number))
    scales[row] = largest / int8Max
    if (largest === 0) continue
    for (let at = begin; at < begin + dimensions; at++) {
      codes[at] = Math.round(((rows[at] as number) / largest) * int8Max)
    }
  }
  return [bytesOf(scales), new Uint8Array(codes.buffer)]
}

/** What `encodeRows` was given, as far as the encoding keeps it. */
export function decodeRows(encoding: ColdEmbeddings, planes: readonly Uint8Array[], dimensions: number): Float32Array {
  const [first, second] = planes as [Uint8Array, Uint8Array]
  if (encoding === 'f32') {
    const rows = new Float32Array(first.length)
    joinPlanes(planes, bytesOf(rows))
    turnBack(rows)
    return rows
  }
  if (encoding === 'f16') {
    const halves = new Uint16Array(first.length)
    joinPlanes(planes, bytesOf(halves))
    // A search undoes every row: to look a number up is faster than to work it out.
    halfNumbers ??= Float32Array.from({ length: 2 ** 16 }, (_, half) => fromHalf(half))
    const rows = new Float32Array(halves.length)
    for (let at = 0; at < rows.length; at++) rows[at] = halfNumbers[halves[at] as number] as number
    return rows
  }
  const scales = new Float32Array(first.length / 4)
  bytesOf(scales).set(first)
  const rows = new Float32Array(second.length)
  for (let at = 0; at < rows.length; at++) {
    const code = ((second[at] as number) << 24) >> 24
    rows[at] = code * (scales[Math.floor(at / dimensions)] as number)
  }
  return rows
}
