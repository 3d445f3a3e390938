// Checks of the option objects, and their translation into what the addon takes.
//
// Not here: memories and patches (`warm/memory-input.ts`). Every check throws before anything is done.
// A value that is undefined counts as omitted; an unknown key is a TypeError, because a misspelt option that is
// silently ignored is the worst kind of default.

import { abortError, Failure, failure, notSupported, outOfRange, wrongType } from './errors'
import { addon, type NativeOpenOptions } from './native'
import type { Durability, Metric } from './types'

/** Metrics in the order of the addon's numbers. */
export const metrics: readonly Metric[] = ['cosine', 'dot', 'l2']
const durabilities: readonly Durability[] = ['none', 'flush', 'commit']

const lockTimeoutMsDefault = 5000
const lockTimeoutMsMax = 2 ** 31 - 1
const batchRecordsMax = 256
const limitDefault = 10
// The addon's count of hits is 32 bits wide; no store has more memories than that.
const limitMax = 2 ** 31 - 1

type Bag = Record<string, unknown>

/** Names a value in a message, without printing what may be huge. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return value.length > 40 ? 'a long string' : JSON.stringify(value)
  if (typeof value === 'undefined') return 'undefined'
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
}

/** Reads each key of an option object once. Undefined stands for an empty one. */
function readBag(options: unknown, what: string, keys: readonly string[]): Bag {
  const bag: Bag = {}
  if (options === undefined) return bag
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw wrongType(`${what} must be an object, not ${describe(options)}`)
  }
  for (const key of Object.keys(options)) {
    if (!keys.includes(key)) throw wrongType(`${what} has no key ${describe(key)}`)
  }
  // By name and not by the keys found, so that options may be inherited or come from accessors.
  for (const key of keys) bag[key] = (options as Bag)[key]
  return bag
}

function readBoolean(value: unknown, what: string, fallback: boolean): boolean {
  if (value === undefined) return fallback
  if (typeof value !== 'boolean') throw wrongType(`${what} must be a boolean, not ${describe(value)}`)
  return value
}

/** A finite number within bounds, both inclusive. */
export function checkNumber(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== 'number') throw wrongType(`${what} must be a number, not ${describe(value)}`)
  // Written so that NaN fails; the infinities fail against finite bounds.
  if (!(value >= min && value <= max))
    throw outOfRange(`${what} must be a finite number${boundText(min, max)}, not ${value}`)
  return value
}

/** An integer within bounds, both inclusive. */
export function checkInteger(value: unknown, what: string, min: number, max: number = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number') throw wrongType(`${what} must be a number, not ${describe(value)}`)
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw outOfRange(`${what} must be an integer${boundText(min, max)}, not ${value}`)
  }
  return value
}

function boundText(min: number, max: number): string {
  const lower = min > -Number.MAX_VALUE ? ` of at least ${min}` : ''
  return max < Number.MAX_SAFE_INTEGER ? `${lower} and at most ${max}` : lower
}

function readChoice(value: unknown, what: string, choices: readonly string[], fallback: number): number {
  if (value === undefined) return fallback
  const index = typeof value === 'string' ? choices.indexOf(value) : -1
  if (index < 0) throw wrongType(`${what} must be one of ${choices.join(', ')}, not ${describe(value)}`)
  return index
}

function readDimensions(value: unknown): number {
  if (value === undefined) return 0
  if (typeof value !== 'number') throw wrongType(`dimensions must be a number, not ${describe(value)}`)
  const max = addon.limits.dimensionsMax
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw failure(Failure.DIMENSION, `dimensions must be an integer from 1 to ${max}, not ${value}`, {
      dimensions: value,
    })
  }
  return value
}

function readSignal(value: unknown, what: string): AbortSignal | undefined {
  if (value === undefined) return undefined
  const signal = value as Partial<AbortSignal> | null
  if (
    typeof signal !== 'object' ||
    signal === null ||
    typeof signal.aborted !== 'boolean' ||
    typeof signal.addEventListener !== 'function' ||
    typeof signal.removeEventListener !== 'function'
  ) {
    throw wrongType(`${what} must be an AbortSignal, not ${describe(value)}`)
  }
  return value as AbortSignal
}

/** A path as a string that the file system can take. */
export function checkPath(path: unknown, what: string): string {
  if (typeof path !== 'string') throw wrongType(`${what} must be a string, not ${describe(path)}`)
  if (path === '' || path.includes('\0')) throw wrongType(`${what} must not be empty or contain a zero byte`)
  return path
}

const openKeys = [
  'dimensions',
  'metric',
  'durability',
  'create',
  'readOnly',
  'expectedRecords',
  'lockTimeout',
  'allowNetworkFileSystem',
]

/** OpenOptions as the addon takes them. */
export function readOpenOptions(options: unknown): NativeOpenOptions {
  const bag = readBag(options, 'OpenOptions', openKeys)
  const { expectedRecords, lockTimeout } = bag
  return {
    dimensions: readDimensions(bag.dimensions),
    metric: readChoice(bag.metric, 'metric', metrics, -1),
    durability: readChoice(bag.durability, 'durability', durabilities, durabilities.indexOf('flush')),
    create: readBoolean(bag.create, 'create', true),
    readOnly: readBoolean(bag.readOnly, 'readOnly', false),
    expectedRecords: expectedRecords === undefined ? 0 : checkInteger(expectedRecords, 'expectedRecords', 0),
    lockTimeout:
      lockTimeout === undefined ? lockTimeoutMsDefault : checkNumber(lockTimeout, 'lockTimeout', 0, lockTimeoutMsMax),
    allowNetworkFileSystem: readBoolean(bag.allowNetworkFileSystem, 'allowNetworkFileSystem', false),
  }
}

const conditionKeys = ['ifSequence']

/** `ifSequence` of ConditionOptions, or -1 for any. */
export function readIfSequence(options: unknown): number {
  if (options === undefined) return -1
  const { ifSequence } = readBag(options, 'options', conditionKeys)
  return ifSequence === undefined ? -1 : checkInteger(ifSequence, 'ifSequence', 0)
}

/** Memories per commit of `putMany`. */
export function readBatchSize(options: unknown): number {
  const { batchSize } = readBag(options, 'options', ['batchSize'])
  return batchSize === undefined ? batchRecordsMax : checkInteger(batchSize, 'batchSize', 1, batchRecordsMax)
}

/** The new activation of `touch`, or NaN for unchanged. */
export function readActivation(options: unknown): number {
  const { activation } = readBag(options, 'options', ['activation'])
  return activation === undefined ? NaN : checkNumber(activation, 'activation', 0, Number.MAX_VALUE)
}

export interface CheckedSearchOptions {
  readonly limit: number
  /** NaN: none */
  readonly minScore: number
  readonly signal: AbortSignal | undefined
}

const searchKeys = ['limit', 'minScore', 'filter', 'exact', 'signal']

/** SearchOptions; throws NOT_SUPPORTED for a filter and ABORTED for a signal that is aborted already. */
export function readSearchOptions(options: unknown): CheckedSearchOptions {
  const { limit, minScore, filter, exact, signal: signalGiven } = readBag(options, 'SearchOptions', searchKeys)
  const checked = {
    limit: limit === undefined ? limitDefault : Math.min(checkInteger(limit, 'limit', 1), limitMax),
    minScore: minScore === undefined ? NaN : checkNumber(minScore, 'minScore', -Number.MAX_VALUE, Number.MAX_VALUE),
    signal: readSignal(signalGiven, 'signal'),
  }
  readBoolean(exact, 'exact', false)
  if (filter !== undefined) throw notSupported('a filter')
  if (checked.signal?.aborted === true) throw abortError(checked.signal)
  return checked
}

/** `since` of EntriesOptions; throws NOT_SUPPORTED for `where`. */
export function readEntriesOptions(options: unknown): number {
  const { since, where } = readBag(options, 'options', ['since', 'where'])
  if (where !== undefined) throw notSupported('where')
  return readSince(since)
}

export interface CheckedChangesOptions {
  readonly since: number
  readonly follow: boolean
  readonly signal: AbortSignal | undefined
}

export function readChangesOptions(options: unknown): CheckedChangesOptions {
  const { since, follow, signal } = readBag(options, 'options', ['since', 'follow', 'signal'])
  return {
    since: readSince(since),
    follow: readBoolean(follow, 'follow', false),
    signal: readSignal(signal, 'signal'),
  }
}

/** `since` of the options of `ContentLog.records`. */
export function readLogOptions(options: unknown): number {
  return readSince(readBag(options, 'options', ['since']).since)
}

function readSince(since: unknown): number {
  return since === undefined ? 0 : checkInteger(since, 'since', 0)
}
