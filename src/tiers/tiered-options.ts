// Checks of what `openTiered`, `recall`, `forget` and `maintain` take. Every check throws before anything is done.

import { outOfRange, wrongType } from '../errors'
import { encodeFilter } from '../filter'
import { checkInteger, checkNumber, describe } from '../options'
import type { Condition, Filter, OpenOptions, Scalar, Vector } from '../types'
import { isPlainObject } from '../values'
import { checkId } from '../warm/memory-id'
import { ownVector } from '../warm/vector'
import { checkUserId } from './catalogue'
import { coldCodecs } from './cold-codec'
import { entriesMax } from './cold-format'
import { coldEncodings } from './cold-rows'
import type { ColdTierOptions } from './cold-tier'
import { makePolicy, type Policy } from './policy'
import type { Cue, MaintainOptions, RankWeights, TieredOptions, TimeCue } from './types'

const mebibyte = 1024 * 1024
const hotBytesDefault = 32 * mebibyte
const coldCacheBytesDefault = 64 * mebibyte
const segmentMemoriesDefault = 8192
const moverIntervalMsDefault = 60_000
const moverPerSecondDefault = 2000
const limitDefault = 10
// More than any store has memories, and a ranking may ask for many times as many without leaving the integers.
const limitMax = 2 ** 31 - 1

type Bag = Record<string, unknown>

function readBag(value: unknown, what: string, keys: readonly string[]): Bag {
  if (value === undefined) return {}
  if (typeof value !== 'object' || value === null || !isPlainObject(value)) {
    throw wrongType(`${what} must be a plain object, not ${describe(value)}`)
  }
  for (const key of Object.keys(value)) if (!keys.includes(key)) throw wrongType(`${what} has no key ${describe(key)}`)
  return { ...value }
}

function readChoice<Choice extends string>(value: unknown, what: string, choices: readonly Choice[]): Choice {
  if (value === undefined) return choices[0] as Choice
  const found = choices.find((choice) => choice === value)
  if (found === undefined) throw wrongType(`${what} must be one of ${choices.join(', ')}, not ${describe(value)}`)
  return found
}

function readOptional(value: unknown, what: string, fallback: number, min: number, max: number): number {
  // Infinity means "no bound" where a bound is asked for.
  if (value === undefined || (value === Infinity && fallback === Infinity)) return fallback
  return checkNumber(value, what, min, max)
}

const policyKeys = [
  'hotActivation',
  'demoteActivation',
  'hotIdleMs',
  'warmIdleMs',
  'trend',
  'halfLifeMs',
  'warmBytes',
] as const

function readPolicy(value: unknown): Policy {
  const bag = readBag(value, 'policy', policyKeys)
  for (const key of policyKeys) {
    const given = bag[key]
    if (given === undefined || given === Infinity || (key === 'halfLifeMs' && typeof given === 'function')) continue
    checkNumber(given, `policy.${key}`, key === 'trend' ? -Number.MAX_VALUE : 0, Number.MAX_VALUE)
  }
  return makePolicy(bag)
}

/** What a tiered store is opened with. */
export interface CheckedTieredOptions {
  /** For the warm store. */
  readonly open: OpenOptions
  readonly hotBytes: number
  readonly cold: ColdTierOptions
  readonly policy: Policy
  readonly mover: { readonly intervalMs: number; readonly memoriesPerSecond: number } | false
  readonly embed: ((text: string) => Vector | Promise<Vector>) | undefined
}

function readCold(value: unknown, isSynced: boolean): ColdTierOptions {
  const bag = readBag(value, 'cold', ['embeddings', 'codec', 'segmentMemories', 'cacheBytes', 'onStep'])
  const { segmentMemories, cacheBytes } = bag
  return {
    embeddings: readChoice(bag.embeddings, 'cold.embeddings', coldEncodings),
    codec: readChoice(bag.codec, 'cold.codec', coldCodecs),
    segmentMemories:
      segmentMemories === undefined
        ? segmentMemoriesDefault
        : checkInteger(segmentMemories, 'cold.segmentMemories', 1, entriesMax),
    cacheBytes: cacheBytes === undefined ? coldCacheBytesDefault : checkInteger(cacheBytes, 'cold.cacheBytes', 0),
    isSynced,
    onStep: bag.onStep as ColdTierOptions['onStep'], // of tests, undocumented
  }
}

function readMover(value: unknown): CheckedTieredOptions['mover'] {
  if (value === false) return false
  const bag = readBag(value, 'mover', ['intervalMs', 'memoriesPerSecond'])
  return {
    intervalMs: readOptional(bag.intervalMs, 'mover.intervalMs', moverIntervalMsDefault, 1, 2 ** 31 - 1),
    memoriesPerSecond: readOptional(
      bag.memoriesPerSecond,
      'mover.memoriesPerSecond',
      moverPerSecondDefault,
      1,
      Number.MAX_SAFE_INTEGER,
    ),
  }
}

/** TieredOptions with every default; the part for the warm store is checked when that is opened. */
export function readTieredOptions(options: unknown): CheckedTieredOptions {
  if (options !== undefined && (typeof options !== 'object' || options === null || Array.isArray(options))) {
    throw wrongType(`TieredOptions must be an object, not ${describe(options)}`)
  }
  const { hot, cold, policy, mover, embed, ...open } = (options ?? {}) as TieredOptions
  if (embed !== undefined && typeof embed !== 'function') {
    throw wrongType(`embed must be a function, not ${describe(embed)}`)
  }
  const { bytes } = readBag(hot, 'hot', ['bytes'])
  return {
    open,
    hotBytes: bytes === undefined ? hotBytesDefault : checkInteger(bytes, 'hot.bytes', 0),
    cold: readCold(cold, open.durability !== 'none'),
    policy: readPolicy(policy),
    mover: readMover(mover),
    embed,
  }
}

function timeConditions(cue: unknown, what: string): Condition | undefined {
  if (cue === undefined) return undefined
  const { before, after, between } = readBag(cue, what, ['before', 'after', 'between']) as TimeCue
  const condition: Condition = {}
  const check = (time: unknown, name: string): number => {
    return checkNumber(time, `${what}.${name}`, -Number.MAX_VALUE, Number.MAX_VALUE)
  }
  if (before !== undefined) condition.lt = check(before, 'before')
  if (after !== undefined) condition.gt = check(after, 'after')
  if (between !== undefined) {
    if (!Array.isArray(between) || between.length !== 2) throw wrongType(`${what}.between must be two times`)
    condition.gte = check(between[0], 'between')
    condition.lte = check(between[1], 'between')
  }
  return condition
}

const cueKeys = [
  'embedding',
  'text',
  'like',
  'id',
  'createdAt',
  'lastAccess',
  'confidence',
  'metadata',
  'filter',
  'limit',
  'minScore',
  'weights',
  'reinforce',
]

/** A filter that is checked and nobody else's. */
function ownFilter(filter: unknown): Filter {
  return JSON.parse(encodeFilter(filter)) as Filter
}

/** A cue, its parts that filter made one filter; a copy, because the caller may change its own while it waits. */
export interface CheckedCue {
  readonly embedding: Vector | undefined
  readonly text: string | undefined
  readonly like: string | undefined
  readonly id: string | undefined
  readonly filter: Filter | undefined
  readonly limit: number
  readonly minScore: number | undefined
  readonly weights: RankWeights | undefined
  readonly reinforce: boolean
}

function readWeights(value: unknown): RankWeights | undefined {
  if (value === undefined) return undefined
  const bag = readBag(value, 'weights', ['similarity', 'recency', 'activation'])
  for (const [key, weight] of Object.entries(bag)) {
    if (weight !== undefined) checkNumber(weight, `weights.${key}`, 0, Number.MAX_VALUE)
  }
  return bag as RankWeights
}

export function readCue(cue: unknown): CheckedCue {
  if (cue === undefined) throw wrongType('a cue must be a plain object, not undefined')
  const bag = readBag(cue, 'a cue', cueKeys) as Cue
  const { embedding, text, like, id, confidence, metadata, filter, limit, minScore, reinforce } = bag
  if ([embedding, text, like].filter((each) => each !== undefined).length > 1) {
    throw wrongType('a cue has at most one of embedding, text and like')
  }
  if (text !== undefined && typeof text !== 'string') throw wrongType(`text must be a string, not ${describe(text)}`)
  if (reinforce !== undefined && typeof reinforce !== 'boolean') {
    throw wrongType(`reinforce must be a boolean, not ${describe(reinforce)}`)
  }
  const weights = readWeights(bag.weights)
  const isRanked = embedding !== undefined || text !== undefined || like !== undefined
  if (minScore !== undefined && !isRanked) throw wrongType('minScore needs embedding, text or like')
  const filters: Filter[] = []
  const createdAt = timeConditions(bag.createdAt, 'createdAt')
  const lastAccess = timeConditions(bag.lastAccess, 'lastAccess')
  if (createdAt !== undefined) filters.push({ createdAt })
  if (lastAccess !== undefined) filters.push({ lastAccess })
  if (typeof confidence === 'number') filters.push({ confidence: { gte: checkNumber(confidence, 'confidence', 0, 1) } })
  else if (confidence !== undefined) filters.push({ confidence })
  if (metadata !== undefined) filters.push({ metadata: metadata as { [path: string]: Scalar | Condition } })
  if (filter !== undefined) filters.push(filter)
  if (like !== undefined) checkId(like)
  if (id !== undefined) checkId(id)
  // One id that is ranked is found as all others are, so that it has a score and has to reach `minScore`.
  if (id !== undefined && isRanked) filters.push({ id: { eq: id } })
  return {
    embedding: embedding === undefined ? undefined : ownVector(embedding),
    text,
    like,
    id: isRanked ? undefined : id,
    filter: filters.length === 0 ? undefined : ownFilter(filters.length === 1 ? filters[0] : { and: filters }),
    limit: limit === undefined ? limitDefault : Math.min(checkInteger(limit, 'limit', 1), limitMax),
    minScore:
      minScore === undefined ? undefined : checkNumber(minScore, 'minScore', -Number.MAX_VALUE, Number.MAX_VALUE),
    weights,
    reinforce: reinforce ?? true,
  }
}

/** ForgetPolicy, checked; `ids` made an array. */
export interface CheckedForget {
  readonly ids: readonly string[] | undefined
  readonly where: Filter | undefined
  readonly olderThanMs: number | undefined
  readonly belowActivation: number | undefined
  readonly keepCount: number | undefined
  readonly keepBytes: number | undefined
}

export function readForget(what: unknown): CheckedForget {
  const none = { where: undefined, olderThanMs: undefined, belowActivation: undefined, keepCount: undefined }
  if (typeof what === 'string') return { ids: [checkUserId(what)], ...none, keepBytes: undefined }
  const parts = ['olderThanMs', 'belowActivation', 'keepCount', 'keepBytes'] as const
  const bag = readBag(what, 'a policy of forgetting', ['ids', 'where', ...parts])
  const numbers: Record<string, number | undefined> = {}
  for (const key of parts) {
    if (bag[key] !== undefined) numbers[key] = checkNumber(bag[key], key, 0, Number.MAX_VALUE)
  }
  if (bag.ids === undefined && Object.keys(numbers).length === 0) {
    throw wrongType('say what to forget: ids, olderThanMs, belowActivation, keepCount or keepBytes')
  }
  if (bag.ids !== undefined && bag.where !== undefined) throw outOfRange('ids and where exclude each other')
  return {
    ids: bag.ids === undefined ? undefined : [...readIds(bag.ids, 'ids')].map(checkUserId),
    where: bag.where === undefined ? undefined : ownFilter(bag.where),
    olderThanMs: numbers.olderThanMs,
    belowActivation: numbers.belowActivation,
    keepCount: numbers.keepCount,
    keepBytes: numbers.keepBytes,
  }
}

export function readIds(ids: unknown, what: string): Iterable<string> {
  const iterable = ids as Iterable<string> | null | undefined
  if (typeof ids === 'string' || typeof iterable?.[Symbol.iterator] !== 'function') {
    throw wrongType(`${what} must be iterable, not ${describe(ids)}`)
  }
  return iterable
}

/** MaintainOptions, checked. */
export interface CheckedMaintain {
  readonly limit: number
  readonly demote: readonly string[] | undefined
  readonly compactCold: boolean
  readonly signal: AbortSignal | undefined
}

export function readMaintain(options: unknown): CheckedMaintain {
  const bag = readBag(options, 'MaintainOptions', ['limit', 'demote', 'compactCold', 'signal']) as MaintainOptions
  const { limit, demote, compactCold, signal } = bag
  if (compactCold !== undefined && typeof compactCold !== 'boolean') throw wrongType('compactCold must be a boolean')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw wrongType('signal must be an AbortSignal')
  return {
    limit: limit === undefined || limit === Infinity ? Infinity : checkInteger(limit, 'limit', 0),
    demote: demote === undefined ? undefined : [...readIds(demote, 'demote')].map(checkUserId),
    compactCold: compactCold ?? false,
    signal,
  }
}
