// Half-precision numbers (IEEE 754 binary16) to and from float32, for the data file of the demo.
//
// Not here: anything the store needs; it keeps float32 bit for bit.

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** The binary16 pattern nearest to `value`, ties to even. Values beyond 65,504 become infinite. */
export function encodeFloat16(value) {
  float[0] = value
  const pattern = bits[0]
  const sign = (pattern >>> 16) & 0x8000
  const exponent = (pattern >>> 23) & 0xff
  const fraction = pattern & 0x7fffff
  if (exponent === 0xff) return sign | 0x7c00 | (fraction === 0 ? 0 : 0x200)
  const shift = exponent < 113 ? 126 - exponent : 13 // below 2^-14 the result is subnormal
  if (shift > 25) return sign
  const significand = exponent < 113 ? fraction | 0x800000 : ((exponent - 112) << 23) | fraction
  if (exponent >= 143) return sign | 0x7c00
  const kept = significand >>> shift
  const rest = significand & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  // A carry out of the fraction raises the exponent, which is the right result.
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0))
}

/** The number of a binary16 pattern. Exact. */
export function decodeFloat16(half) {
  const sign = (half & 0x8000) === 0 ? 1 : -1
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Decodes little-endian binary16 bytes. `bytes`: a Buffer of an even length. Returns a Float32Array. */
export function decodeFloat16Array(bytes) {
  const result = new Float32Array(bytes.length / 2)
  for (let index = 0; index < result.length; index++) result[index] = decodeFloat16(bytes.readUInt16LE(index * 2))
  return result
}
