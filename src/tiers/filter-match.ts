// Whether a decoded memory is meant by a filter: docs/filters.md for memories in cold, which the core does not see.
//
// A filter is compiled once from the text that `encodeFilter` made, so its checks are those of the core's filters.
// `test/tiers/filter-match.test.ts` compares it with the core.

import { encodeFilter } from '../filter'
import type { Condition, Filter, JsonObject, JsonValue, Memory, Scalar } from '../types'

/** A part of a memory that is compared without its texts. */
export type Facts = Pick<Memory, 'id' | 'createdAt' | 'lastAccess' | 'confidence'>
/** `metadata`: asked for only when the answer needs it. */
type Matcher = (facts: Facts, metadata: () => JsonObject) => boolean
type Check = (value: JsonValue | undefined) => boolean

/** An encoded filter: every path has a Condition. */
type Encoded = Omit<Filter, 'metadata'> & { metadata?: Record<string, Condition> }

const kind = (value: JsonValue | undefined): string => (value === null ? 'null' : typeof value)

function compileOrder(operand: Scalar, holds: (a: never, b: never) => boolean): Check {
  const wanted = kind(operand)
  return (value) => kind(value) === wanted && holds(value as never, operand as never)
}

function compileChecks(condition: Condition): Check[] {
  const { eq, ne, in: among, gt, gte, lt, lte, prefix } = condition
  const checks: Check[] = []
  if (eq !== undefined) checks.push((value) => value === eq)
  if (ne !== undefined) checks.push((value) => value !== ne)
  if (among !== undefined) {
    // Of a Set, -0 and 0 are one too.
    const set = new Set<unknown>(among)
    checks.push((value) => value !== undefined && set.has(value))
  }
  if (gt !== undefined) checks.push(compileOrder(gt, (a, b) => a > b))
  if (gte !== undefined) checks.push(compileOrder(gte, (a, b) => a >= b))
  if (lt !== undefined) checks.push(compileOrder(lt, (a, b) => a < b))
  if (lte !== undefined) checks.push(compileOrder(lte, (a, b) => a <= b))
  if (prefix !== undefined) checks.push((value) => typeof value === 'string' && value.startsWith(prefix))
  return checks
}

/** Every value in arrays of arrays. */
function* valuesIn(found: JsonValue): Generator<JsonValue> {
  if (!Array.isArray(found)) yield found
  else for (const each of found) yield* valuesIn(each)
}

/** What a path leads to, arrays on the way looked through; an array at its end stands for itself. */
function* follow(from: JsonValue, path: string): Generator<JsonValue> {
  for (const object of valuesIn(from)) {
    if (typeof object !== 'object' || object === null) continue
    if (Object.hasOwn(object, path)) yield (object as JsonObject)[path] as JsonValue
    for (let dot = path.indexOf('.'); dot >= 0; dot = path.indexOf('.', dot + 1)) {
      const key = path.slice(0, dot)
      if (Object.hasOwn(object, key)) yield* follow((object as JsonObject)[key] as JsonValue, path.slice(dot + 1))
    }
  }
}

function compileCondition(condition: Condition): (found: Iterable<JsonValue>) => boolean {
  const checks = compileChecks(condition)
  const fulfils = (value: JsonValue | undefined): boolean => checks.every((check) => check(value))
  const { exists } = condition
  return (found) => {
    let isThere = false
    let hasValue = false
    let isFulfilled = false
    for (const each of found) {
      isThere = true
      for (const value of valuesIn(each)) {
        hasValue = true
        isFulfilled ||= fulfils(value)
      }
    }
    if (exists !== undefined && exists !== isThere) return false
    // No value fulfils `ne` alone, which an undefined one does too.
    return hasValue ? isFulfilled : fulfils(undefined)
  }
}

function compile(filter: Encoded): Matcher {
  const all: Matcher[] = []
  for (const field of ['createdAt', 'lastAccess', 'confidence', 'id'] as const) {
    const condition = filter[field]
    if (condition === undefined) continue
    const holds = compileCondition(condition)
    all.push((facts) => holds([facts[field]]))
  }
  const { metadata = {}, and, or, not } = filter
  for (const [path, condition] of Object.entries(metadata)) {
    const holds = compileCondition(condition)
    all.push((_facts, read) => holds(follow(read(), path)))
  }
  if (and !== undefined) all.push(...and.map((each) => compile(each as Encoded)))
  if (or !== undefined) {
    const some = or.map((each) => compile(each as Encoded))
    all.push((facts, read) => some.some((each) => each(facts, read)))
  }
  if (not !== undefined) {
    const inner = compile(not as Encoded)
    all.push((facts, read) => !inner(facts, read))
  }
  return (facts, read) => all.every((each) => each(facts, read))
}

/** Checks and compiles a filter. Errors: ARGUMENT. */
export function compileFilter(filter: Filter): Matcher {
  return compile(JSON.parse(encodeFilter(filter)) as Encoded)
}

export type { Matcher }
