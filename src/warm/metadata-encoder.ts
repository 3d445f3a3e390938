// Metadata to JSON text, in one pass that checks and encodes.
//
// Why not JSON.stringify: it drops what is no JSON value (undefined, functions), writes null for NaN, runs `toJSON`
// and turns instances into something else, each without a word. Checking first and encoding afterwards would
// read every accessor twice. Measured, the one pass costs no more than JSON.stringify alone.

import { Failure, failure, outOfRange, wrongType } from '../errors'
import { addon } from '../native'
import type { JsonObject } from '../types'
import { describe, isPlainObject } from '../values'

const { metadataBytesMax, metadataDepthMax: depthMax } = addon.limits

/** What JSON cannot hold between quotes as it is; surrogates are left to JSON.stringify, which escapes lone ones. */
const needsEscape = /["\\\u0000-\u001f\ud800-\udfff]/
/** Up to here a loop over the units is faster than to start the expression. */
const shortUnits = 24

/**
 * Keys already quoted, with the quotes' colon: a store's memories share a handful, most often at the same places one
 * memory after another, which comparing with the place's last key finds in a nanosecond. Bounded, because some use
 * ids as keys.
 */
const quotedKeys = new Map<string, string>()
const quotedKeysMax = 1024
const quotedKeyUnitsMax = 64
const placesMax = 16
const keyAtPlace: string[] = new Array<string>(placesMax).fill('')
const quotedAtPlace: string[] = new Array<string>(placesMax).fill('"":')

function quoteKeyAt(place: number, key: string): string {
  if (place >= placesMax) return quoteKey(key)
  if (keyAtPlace[place] === key) return quotedAtPlace[place] as string
  const quoted = quoteKey(key)
  if (key.length > quotedKeyUnitsMax) return quoted
  keyAtPlace[place] = key
  quotedAtPlace[place] = quoted
  return quoted
}

function quoteKey(key: string): string {
  const known = quotedKeys.get(key)
  if (known !== undefined) return known
  const quoted = `${quote(key)}:`
  if (key.length <= quotedKeyUnitsMax) {
    if (quotedKeys.size >= quotedKeysMax) quotedKeys.clear()
    quotedKeys.set(key, quoted)
  }
  return quoted
}

function isPlainText(text: string): boolean {
  if (text.length > shortUnits) return !needsEscape.test(text)
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x20 || unit === 0x22 || unit === 0x5c || (unit & 0xf800) === 0xd800) return false
  }
  return true
}

function quote(text: string): string {
  return isPlainText(text) ? `"${text}"` : JSON.stringify(text)
}

function encodeNumber(value: number, key: string): string {
  if (!Number.isFinite(value)) throw outOfRange(`metadata must hold finite numbers, but ${describe(key)} is ${value}`)
  return value === 0 && Object.is(value, -0) ? '-0' : String(value)
}

/** Of no subclass, in any realm: an Array.prototype is the one prototype that is an array itself. */
function isPlainArray(value: readonly unknown[]): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Array.prototype || Array.isArray(prototype)
}

/** One encoding: the containers around the current value, and how many values were seen. */
class Walk {
  readonly #around: object[]
  #values = 0

  constructor(root: object) {
    this.#around = [root]
  }

  enter(container: object): void {
    this.#around.push(container)
    if (this.#around.length <= depthMax) return
    // Only here, where a cycle must arrive too: looking for one at every level would cost every memory.
    if (new Set(this.#around).size < this.#around.length) throw wrongType('metadata must not contain itself')
    throw outOfRange(`metadata must not be nested deeper than ${depthMax} levels`)
  }

  leave(): void {
    this.#around.pop()
  }

  /** Stops shared references that would expand without end: each value takes a byte and a separator at least. */
  count(values: number): void {
    this.#values += values
    if (this.#values * 2 > metadataBytesMax) throw tooLarge(this.#values * 2)
  }
}

function tooLarge(bytes: number): Error {
  return failure(Failure.TOO_LARGE, `metadata must be at most ${metadataBytesMax} bytes of JSON`, { bytes })
}

function encodeScalar(value: unknown, key: string): string {
  switch (typeof value) {
    case 'string':
      return quote(value)
    case 'number':
      return encodeNumber(value, key)
    case 'boolean':
      return value ? 'true' : 'false'
    default:
      if (value === null) return 'null'
      throw wrongType(`metadata must hold JSON values, but ${describe(key)} is ${describe(value)}`)
  }
}

function encodeValue(value: unknown, key: string, walk: Walk): string {
  return typeof value === 'object' && value !== null ? encodeContainer(value, key, walk) : encodeScalar(value, key)
}

function encodeContainer(value: object, key: string, walk: Walk): string {
  walk.enter(value)
  let text: string
  if (Array.isArray(value)) {
    if (!isPlainArray(value)) throw wrongType(`metadata must hold plain arrays, but ${describe(key)} is an instance`)
    text = encodeArray(value, key, walk)
  } else {
    if (!isPlainObject(value)) throw wrongType(`metadata must hold plain objects, but ${describe(key)} is an instance`)
    text = encodeObject(value as Record<string, unknown>, walk)
  }
  walk.leave()
  return text
}

function encodeArray(values: readonly unknown[], key: string, walk: Walk): string {
  const { length } = values
  walk.count(length)
  let text = '['
  for (let index = 0; index < length; index++) {
    if (index > 0) text += ','
    text += encodeValue(values[index], key, walk)
  }
  return `${text}]`
}

/** `around`: undefined for the root, which needs a walk only when it is not flat, as most metadata is. */
function encodeObject(object: Record<string, unknown>, around: Walk | undefined): string {
  const keys = Object.keys(object)
  let walk = around
  walk?.count(keys.length)
  let text = '{'
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] as string
    if (index > 0) text += ','
    text += quoteKeyAt(index, key)
    const value = object[key]
    if (typeof value === 'object' && value !== null) {
      if (walk === undefined) {
        walk = new Walk(object)
        walk.count(keys.length)
      }
      text += encodeContainer(value, key, walk)
    } else {
      text += encodeScalar(value, key)
    }
  }
  return `${text}}`
}

/**
 * Metadata as JSON text, `'{}'` when empty. Each own enumerable property is read once.
 *
 * TypeError ARGUMENT: not a plain object of JSON values, or one that contains itself. RangeError ARGUMENT: a number
 * that is not finite, nesting deeper than 200. TOO_LARGE: more than 16 MiB. What an accessor throws comes through.
 */
export function encodeMetadata(metadata: unknown): string {
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata) || !isPlainObject(metadata)) {
    throw wrongType(`metadata must be a plain object, not ${describe(metadata)}`)
  }
  const text = encodeObject(metadata as Record<string, unknown>, undefined)
  // A UTF-16 unit takes at most three bytes: only long texts need measuring.
  if (text.length * 3 > metadataBytesMax) {
    const bytes = Buffer.byteLength(text)
    if (bytes > metadataBytesMax) throw tooLarge(bytes)
  }
  return text
}

/** The inverse. Undefined stands for `{}`. CORRUPT: text that this file did not write. */
export function decodeMetadata(text: string | undefined): JsonObject {
  if (text === undefined) return {}
  try {
    const metadata: unknown = JSON.parse(text)
    if (typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)) return metadata as JsonObject
  } catch {
    // Reported below: what JSON.parse says of bytes that nobody wrote helps nobody.
  }
  throw failure(Failure.CORRUPT, 'the metadata of a memory is damaged')
}
