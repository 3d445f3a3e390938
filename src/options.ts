// Checks of the option objects, and their translation into what the addon takes.
//
// Not here: memories and patches (`warm/memory-input.ts`). Every check throws before anything is done.
// A value that is undefined counts as omitted; an unknown key is a TypeError, because a misspelt option that is
// silently ignored is the worst kind of default.

import { abortError, Failure, failure, outOfRange, wrongType } from './errors'
import { encodeFilter } from './filter'
import { addon, type NativeOpenOptions } from './native'
import type { Durability, Metric } from './types'
import { describe } from './values'

export { describe }

/** Metrics in the order of the addon's numbers. */
export const metrics: readonly Metric[] = ['cosine', 'dot', 'l2']
/** Durabilities in the order of the addon's numbers. */
export const durabilities: readonly Durability[] = ['none', 'flush', 'commit']

const lockTimeoutMsDefault = 5000
const lockTimeoutMsMax = 2 ** 31 - 1
// An index for so many takes 180 MB. A hint must not fill a disk, nor keep a store from being made.
const expectedRecordsMax = 2 ** 22
const batchRecordsMax = 256
const limitDefault = 10
// The addon's count of hits is 32 bits wide; no store has more memories than that.
const limitMax = 2 ** 31 - 1
const threadsMax = 1024

type Bag = Record<string, unknown>

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
  'autoCompact',
  'indexed',
]

/** Metadata paths as JSON text, which carries any key as filters do. Empty: none. */
function readIndexed(value: unknown): string {
  if (value === undefined) return ''
  if (!Array.isArray(value)) throw wrongType(`indexed must be an array of strings, not ${describe(value)}`)
  const paths = Array.from(value as unknown[])
  for (const path of paths) {
    if (typeof path !== 'string') throw wrongType(`indexed must hold strings, not ${describe(path)}`)
  }
  const { indexedPathsMax } = addon.limits
  if (paths.length > indexedPathsMax) {
    throw outOfRange(`indexed must name at most ${indexedPathsMax} paths, not ${paths.length}`)
  }
  return paths.length === 0 ? '' : JSON.stringify(paths)
}

const autoCompactKeys = ['deadShare', 'deadBytes']
const deadShareDefault = 0.5
const deadBytesDefault = 256 * 1024 * 1024

/** `autoCompact` as the addon takes it: a share of NaN stands for not given, one below 0 for never. */
function readAutoCompact(value: unknown): { deadShare: number; deadBytes: number } {
  if (value === undefined) return { deadShare: NaN, deadBytes: 0 }
  if (value === false) return { deadShare: -1, deadBytes: 0 }
  const { deadShare, deadBytes } = readBag(value, 'autoCompact', autoCompactKeys)
  return {
    deadShare: deadShare === undefined ? deadShareDefault : checkNumber(deadShare, 'deadShare', 0, 1),
    deadBytes: deadBytes === undefined ? deadBytesDefault : checkInteger(deadBytes, 'deadBytes', 0),
  }
}

const compactKeys = ['signal']

/** The signal of CompactOptions; throws ABORTED for one that is aborted already. */
export function readCompactSignal(options: unknown): AbortSignal | undefined {
  const signal = readSignal(readBag(options, 'CompactOptions', compactKeys).signal, 'signal')
  if (signal?.aborted === true) throw abortError(signal)
  return signal
}

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
    expectedRecords:
      expectedRecords === undefined
        ? 0
        : Math.min(checkInteger(expectedRecords, 'expectedRecords', 0), expectedRecordsMax),
    lockTimeout:
      lockTimeout === undefined ? lockTimeoutMsDefault : checkNumber(lockTimeout, 'lockTimeout', 0, lockTimeoutMsMax),
    allowNetworkFileSystem: readBoolean(bag.allowNetworkFileSystem, 'allowNetworkFileSystem', false),
    indexed: readIndexed(bag.indexed),
    ...readAutoCompact(bag.autoCompact),
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
  return batchSize === undefined ? batchRecordsMax : Math.min(checkInteger(batchSize, 'batchSize', 1), batchRecordsMax)
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
  readonly exact: boolean
  /** NaN: not given */
  readonly recall: number
  /** 0: not given */
  readonly threads: number
  /** As the core takes it. */
  readonly filter: string | undefined
  readonly signal: AbortSignal | undefined
}

const searchKeys = ['limit', 'minScore', 'filter', 'exact', 'recall', 'threads', 'signal']

/** SearchOptions; throws ABORTED for a signal that is aborted already. */
export function readSearchOptions(options: unknown): CheckedSearchOptions {
  const bag = readBag(options, 'SearchOptions', searchKeys)
  const { limit, minScore, filter, recall, threads, signal: signalGiven } = bag
  const checked = {
    limit: limit === undefined ? limitDefault : Math.min(checkInteger(limit, 'limit', 1), limitMax),
    minScore: minScore === undefined ? NaN : checkNumber(minScore, 'minScore', -Number.MAX_VALUE, Number.MAX_VALUE),
    exact: readBoolean(bag.exact, 'exact', false),
    recall: recall === undefined ? NaN : checkNumber(recall, 'recall', 0, 1),
    threads: threads === undefined ? 0 : checkInteger(threads, 'threads', 1, threadsMax),
    filter: filter === undefined ? undefined : encodeFilter(filter),
    signal: readSignal(signalGiven, 'signal'),
  }
  if (checked.signal?.aborted === true) throw abortError(checked.signal)
  return checked
}

export interface CheckedEntriesOptions {
  readonly since: number
  /** As the core takes it. */
  readonly where: string | undefined
}

export function readEntriesOptions(options: unknown): CheckedEntriesOptions {
  const { since, where } = readBag(options, 'options', ['since', 'where'])
  return { since: readSince(since), where: where === undefined ? undefined : encodeFilter(where) }
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
