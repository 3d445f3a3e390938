// The slow twin of filters: docs/filters.md again, over decoded memories, in as few words as possible.
//
// Not here: checks of the filter. Values are compared by JavaScript itself.

import type { Condition, Filter, JsonValue, Memory, Scalar } from 'thermocline'

/** What an array holds, arrays in it looked through. */
const flatten = (value: JsonValue): JsonValue[] => (Array.isArray(value) ? value.flatMap(flatten) : [value])

/** All that a path leads to; an array stands for itself, so that its key is seen to exist. */
function follow(from: JsonValue, path: string): JsonValue[] {
  return flatten(from).flatMap((object) => {
    if (typeof object !== 'object' || object === null) return []
    return Object.entries(object as Record<string, JsonValue>).flatMap(([key, value]) => [
      ...(key === path ? [value] : []),
      ...(path.startsWith(`${key}.`) ? follow(value, path.slice(key.length + 1)) : []),
    ])
  })
}

const kindOf = (value: JsonValue): string => (value === null ? 'null' : typeof value)

function fulfils(value: JsonValue | undefined, condition: Condition): boolean {
  const { eq, ne, gt, gte, lt, lte, prefix } = condition
  const ordered = (operand: Scalar | undefined, holds: (a: never, b: never) => boolean): boolean =>
    operand === undefined ||
    (value !== undefined && kindOf(value) === kindOf(operand) && holds(value as never, operand as never))
  return (
    (eq === undefined || value === eq) &&
    (ne === undefined || value !== ne) &&
    (condition.in === undefined || condition.in.some((each) => each === value)) &&
    ordered(gt, (a, b) => a > b) &&
    ordered(gte, (a, b) => a >= b) &&
    ordered(lt, (a, b) => a < b) &&
    ordered(lte, (a, b) => a <= b) &&
    (prefix === undefined || (typeof value === 'string' && value.startsWith(prefix)))
  )
}

/** `found`: what a path led to, or the one value of a field. */
function holds(found: JsonValue[], condition: Condition): boolean {
  if (condition.exists !== undefined && condition.exists !== found.length > 0) return false
  const values = found.flatMap(flatten)
  return values.length === 0 ? fulfils(undefined, condition) : values.some((value) => fulfils(value, condition))
}

const isScalar = (value: Scalar | Condition): value is Scalar => typeof value !== 'object' || value === null

/** Whether a memory is meant. */
export function matches(memory: Memory, filter: Filter): boolean {
  const { metadata = {}, and = [], or, not } = filter
  return (
    Object.entries(metadata).every(([path, given]) =>
      holds(follow(memory.metadata, path), isScalar(given) ? { eq: given } : given),
    ) &&
    (['createdAt', 'lastAccess', 'confidence', 'id'] as const).every((field) => {
      const condition = filter[field]
      return condition === undefined || holds([memory[field]], condition)
    }) &&
    and.every((each) => matches(memory, each)) &&
    (or === undefined || or.some((each) => matches(memory, each))) &&
    (not === undefined || !matches(memory, not))
  )
}
