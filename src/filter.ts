// Checks of a Filter and its translation into the text that the core compiles: JSON of the same shape, without what was
// omitted, and with a Condition at every path.
//
// Not here: what a filter means (docs/filters.md) and its evaluation, which is the core's. The checks are strict, since
// a condition that is dropped without a word shows memories that were to be left out: unknown keys, instances, and
// undefined at a path are errors. Each property is read once.

import { outOfRange, wrongType } from './errors'
import { addon } from './native'
import { describe, isPlainObject } from './values'

const { filterDepthMax, filterConditionsMax, filterBytesMax } = addon.limits

const filterKeys = new Set(['metadata', 'createdAt', 'lastAccess', 'confidence', 'id', 'and', 'or', 'not'])
const conditionKeys = new Set(['eq', 'ne', 'in', 'gt', 'gte', 'lt', 'lte', 'exists', 'prefix'])

/** A plain object as JSON. `encode`: text of a member's value, or undefined to leave it out. */
function encodeObject(
  object: unknown,
  what: string,
  encode: (key: string, value: unknown) => string | undefined,
): string {
  if (typeof object !== 'object' || object === null || !isPlainObject(object)) {
    throw wrongType(`${what} must be a plain object, not ${describe(object)}`)
  }
  let text = ''
  for (const key of Object.keys(object)) {
    const value = encode(key, (object as Record<string, unknown>)[key])
    if (value !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${value}`
  }
  return `{${text}}`
}

/** An array as JSON, holes given to `encode` as undefined. */
function encodeArray(array: unknown, what: string, encode: (value: unknown) => string): string {
  if (!Array.isArray(array)) throw wrongType(`${what} must be an array, not ${describe(array)}`)
  let text = ''
  for (let index = 0; index < array.length; index++) text += (index === 0 ? '' : ',') + encode(array[index])
  return `[${text}]`
}

function isScalar(value: unknown): value is string | number | boolean | null {
  return value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

/** One translation, bounded: a filter may share parts of itself, or contain itself. */
class Translation {
  #conditions = 0
  #values = 0
  #units = 0

  encodeFilter(filter: unknown, depth: number): string {
    if (depth > filterDepthMax) throw outOfRange(`a filter must not be nested deeper than ${filterDepthMax} levels`)
    this.#countCondition()
    return encodeObject(filter, 'a filter', (key, value) => this.#encodePart(key, value, depth))
  }

  #encodePart(key: string, value: unknown, depth: number): string | undefined {
    if (!filterKeys.has(key)) throw wrongType(`a filter has no key ${describe(key)}`)
    if (value === undefined) return undefined
    switch (key) {
      case 'metadata':
        return encodeObject(value, 'metadata of a filter', (path, condition) => this.#encodePath(path, condition))
      case 'not':
        return this.encodeFilter(value, depth + 1)
      case 'and':
      case 'or':
        return encodeArray(value, `${key} of a filter`, (each) => this.encodeFilter(each, depth + 1))
      default:
        return this.#encodeCondition(key, value)
    }
  }

  #encodePath(path: string, condition: unknown): string {
    this.#countUnits(path)
    if (!isScalar(condition)) return this.#encodeCondition(path, condition)
    this.#countCondition()
    return `{"eq":${this.#encodeScalar(path, condition)}}`
  }

  #encodeCondition(subject: string, condition: unknown): string {
    this.#countCondition()
    const what = `the condition on ${describe(subject)}`
    return encodeObject(condition, what, (key, value) => {
      if (!conditionKeys.has(key)) throw wrongType(`${what} has no key ${describe(key)}`)
      return value === undefined ? undefined : this.#encodeCheck(subject, key, value)
    })
  }

  #encodeCheck(subject: string, key: string, value: unknown): string {
    const what = `${key} of the condition on ${describe(subject)}`
    if (key === 'in') return encodeArray(value, what, (each) => this.#encodeScalar(subject, each))
    if (key === 'exists' && typeof value !== 'boolean') {
      throw wrongType(`${what} must be a boolean, not ${describe(value)}`)
    }
    if (key === 'prefix' && typeof value !== 'string') {
      throw wrongType(`${what} must be a string, not ${describe(value)}`)
    }
    return this.#encodeScalar(subject, value)
  }

  #encodeScalar(subject: string, value: unknown): string {
    if (!isScalar(value)) {
      throw wrongType(
        `values for ${describe(subject)} must be strings, numbers, booleans or null, not ${describe(value)}`,
      )
    }
    if (typeof value === 'number' && !Number.isFinite(value)) {
      throw outOfRange(`values for ${describe(subject)} must be finite, not ${value}`)
    }
    this.#values += 1
    if (this.#values * 2 > filterBytesMax) throw tooLong() // each takes a byte and a separator at least
    if (typeof value === 'string') this.#countUnits(value)
    return JSON.stringify(value)
  }

  /** Before it is encoded: a text longer than the engine can hold would be an error without a code. */
  #countUnits(text: string): void {
    this.#units += text.length
    if (this.#units > filterBytesMax) throw tooLong()
  }

  #countCondition(): void {
    this.#conditions += 1
    if (this.#conditions <= filterConditionsMax) return
    throw outOfRange(`a filter must have at most ${filterConditionsMax} conditions and filters within it`)
  }
}

function tooLong(): Error {
  return outOfRange(`a filter must be at most ${filterBytesMax} bytes of JSON`)
}

/**
 * A filter as the core takes it. TypeError ARGUMENT: not a filter, an unknown key, a value that is no scalar. RangeError
 * ARGUMENT: a number that is not finite, more nesting, conditions or bytes than a filter may have. What an accessor
 * throws comes through.
 */
export function encodeFilter(filter: unknown): string {
  const text = new Translation().encodeFilter(filter, 1)
  // A UTF-16 unit takes at most three bytes: only long texts need measuring.
  if (text.length * 3 > filterBytesMax && Buffer.byteLength(text) > filterBytesMax) throw tooLong()
  return text
}
