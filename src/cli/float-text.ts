// 32-bit floats as the fewest decimal digits that read back to the same bits.
//
// JSON.stringify spells the double that a float widens to, with seventeen digits where nine always do: files almost
// twice as long, and twice as long to read. Digits are set byte by byte because making a string of each number takes
// five times as long, and an export is little else.

import { addon } from '../native'

/** Powers of ten, all exact as doubles (as are those up to 22). */
const powersOfTen = Array.from({ length: 20 }, (_, exponent) => 10 ** exponent)
const digitsMin = 6
/** Nine digits are enough for any float. One more is for magnitudes whose first digit the exponent does not tell. */
const triesMax = 4
/** What nine digits hold. */
const digitsBound = 1e9
/** As `-1.1754943508222875e-38` and a comma, with room to spare. */
const bytesPerFloatMax = 32

const minus = 45
const point = 46
const comma = 44
const zero = 48
const opening = 91
const closing = 93

const exponents = 256
const exponentBias = 127
const mantissaBits = 23

/**
 * By exponent of a float: how many decimals give it `digitsMin` digits, or one digit more. 255 where this file leaves
 * it to the language: denormals, and magnitudes that call for an exponent.
 */
const decimalsByExponent = Uint8Array.from({ length: exponents }, (_, exponent) => {
  const decimals = digitsMin - 1 - Math.floor((exponent - exponentBias) * Math.log10(2))
  const isPlain = exponent > 0 && decimals + triesMax <= powersOfTen.length && decimals > digitsMin - 11
  return isPlain ? Math.max(0, decimals) : 255
})

/** Room for any embedding. */
const bytes = Buffer.allocUnsafe(addon.limits.dimensionsMax * bytesPerFloatMax + 2)
let end = 0

function writeText(text: string): void {
  end += bytes.write(text, end, 'latin1')
}

/** Writes `digits` / 10 ** `decimals`, without zeros at its end. */
function writeDecimal(digits: number, decimals: number): void {
  let rest = digits
  let left = decimals
  while (left > 0 && rest % 10 === 0) {
    rest = (rest / 10) | 0
    left -= 1
  }
  let length = 1
  for (let bound = 10; rest >= bound; bound *= 10) length += 1
  // A digit before the point, and as many as there are decimals after it.
  length = Math.max(length, left + 1)
  const start = end
  end += left > 0 ? length + 1 : length
  for (let at = end - 1; at >= start; at--) {
    if (left > 0 && at === end - 1 - left) {
      bytes[at] = point
      continue
    }
    const next = (rest / 10) | 0
    bytes[at] = zero + rest - next * 10
    rest = next
  }
}

/**
 * An integer divided by a power of ten, both exact, is the double nearest to that decimal number: the very one that a
 * JSON reader makes of its digits. So the comparison here is what the reader will do.
 */
function writeFloat(float: number, exponent: number): void {
  if (float < 0 || Object.is(float, -0)) bytes[end++] = minus
  const magnitude = Math.abs(float)
  const decimalsMin = decimalsByExponent[exponent] as number
  for (let decimals = decimalsMin; decimals < decimalsMin + triesMax && decimalsMin < 255; decimals++) {
    const power = powersOfTen[decimals] as number
    const scaled = magnitude * power + 0.5
    if (scaled >= digitsBound) break
    const digits = scaled | 0
    if (Math.fround(digits / power) === magnitude) {
      writeDecimal(digits, decimals)
      return
    }
  }
  writeText(String(magnitude))
}

/** An embedding, no longer than a store can have them, as a JSON array that gives the same bits when its numbers are rounded to 32-bit floats. */
export function formatFloats(floats: Float32Array): string {
  const words = new Uint32Array(floats.buffer, floats.byteOffset, floats.length)
  end = 0
  bytes[end++] = opening
  for (let at = 0; at < floats.length; at++) {
    if (at > 0) bytes[end++] = comma
    writeFloat(floats[at] as number, ((words[at] as number) >>> mantissaBits) & (exponents - 1))
  }
  bytes[end++] = closing
  return bytes.toString('latin1', 0, end)
}
