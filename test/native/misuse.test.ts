// Goal: no argument, however wrong, does harm. Method: every method is called with every wrong value at every place and
// with every pair of them; each call must throw a TypeError or RangeError with a code, or reject with one, and leave
// the store as it was.

import { type CodedError, isThermoclineError, open, type Store } from 'thermocline'
import { type ContentLog, type MemoryIndex, openWarmTier } from 'thermocline/warm'
import { expect, test } from 'vitest'
import { contentsOf } from '../support/failures.js'
import { temporaryDirectory, temporaryStore } from '../support/temporary.js'
import { badFilters, boundlessFilters } from '../support/wrong-filters.js'
import * as wrong from '../support/wrong-values.js'

const callsMin = 5000
const dimensions = 3
const wrongFilters = [...badFilters, ...boundlessFilters()]

/** Per method, the wrong values of each argument and one that is right. */
const methods: Record<string, { bad: unknown[]; good: unknown }[]> = {
  put: [
    { bad: wrong.badMemories, good: { id: 'a' } },
    { bad: wrong.badConditions, good: undefined },
  ],
  putMany: [
    { bad: [undefined, ...wrong.notIterable, ...wrong.badMemories.map((memory) => [memory])], good: [{ id: 'a' }] },
    { bad: [...wrong.badOptions, ...wrong.withKey('batchSize', [...wrong.badNumbers, 0])], good: undefined },
  ],
  get: [{ bad: wrong.badIds, good: 'a' }],
  getMany: [{ bad: [undefined, ...wrong.notIterable, ...wrong.badIds.map((id) => [id])], good: ['a'] }],
  view: [{ bad: wrong.badIds, good: 'a' }],
  has: [{ bad: wrong.badIds, good: 'a' }],
  update: [
    { bad: wrong.badIds, good: 'a' },
    { bad: wrong.badPatches, good: {} },
    { bad: wrong.badConditions, good: undefined },
  ],
  delete: [
    { bad: wrong.badIds, good: 'a' },
    { bad: wrong.badConditions, good: undefined },
  ],
  write: [
    {
      bad: [
        undefined,
        ...wrong.strange.filter((value) => !Array.isArray(value)),
        ...wrong.badOperations.map((operation) => [operation]),
      ],
      good: [],
    },
  ],
  touch: [
    { bad: wrong.badIds, good: 'a' },
    { bad: [...wrong.badOptions, ...wrong.withKey('activation', [...wrong.badNumbers, -1])], good: undefined },
  ],
  search: [
    { bad: wrong.badQueries, good: [1, 0, 0] },
    { bad: [...wrong.badSearch, ...wrong.withKey('filter', wrongFilters)], good: undefined },
  ],
  searchMany: [
    {
      bad: [
        undefined,
        ...wrong.strange.filter((value) => !Array.isArray(value)),
        ...wrong.badQueries.map((query) => [query]),
      ],
      good: [[1, 0, 0]],
    },
    { bad: [...wrong.badSearch, ...wrong.withKey('filter', wrongFilters)], good: undefined },
  ],
  searchSync: [
    { bad: wrong.badQueries, good: [1, 0, 0] },
    { bad: [...wrong.badSearch, ...wrong.withKey('filter', wrongFilters)], good: undefined },
  ],
  entries: [
    { bad: [...wrong.badOptions, ...wrong.badSince, ...wrong.withKey('where', wrongFilters)], good: undefined },
  ],
  changes: [
    {
      bad: [
        ...wrong.badOptions,
        ...wrong.badSince,
        ...wrong.withKey('follow', wrong.notBoolean),
        ...wrong.withKey('signal', wrong.strange),
      ],
      good: undefined,
    },
  ],
  backup: [
    { bad: [undefined, ...wrong.strange.filter((value) => typeof value !== 'string'), '', 'a\0b'], good: 'somewhere' },
  ],
  locate: [{ bad: wrong.badIds, good: 'a' }],
}

/** Argument lists in which at least one argument is wrong: each place alone, and pairs thinned out evenly. */
function* argumentLists(places: { bad: unknown[]; good: unknown }[]): Generator<unknown[]> {
  for (const [place, { bad }] of places.entries()) {
    for (const value of bad) yield places.map((other, at) => (at === place ? value : other.good))
  }
  const [first, second] = places
  if (first === undefined || second === undefined) return
  let count = 0
  for (const one of first.bad)
    for (const other of second.bad)
      if (count++ % 17 === 0) yield [one, other, ...places.slice(2).map(({ good }) => good)]
}

const codes = ['ARGUMENT', 'NOT_FINITE', 'DIMENSION', 'KEY_SIZE', 'TOO_LARGE'].map((code) => `THERMOCLINE_${code}`)

function checkMisuse(name: string, error: unknown): void {
  const coded = error as CodedError
  const misuse =
    isThermoclineError(error) &&
    (error instanceof TypeError || error instanceof RangeError) &&
    codes.includes(coded.code)
  if (misuse || (isThermoclineError(error) && coded.code === 'THERMOCLINE_NOT_SUPPORTED')) return
  // A revoked proxy and the like throw by themselves.
  throw new Error(`${name} gave ${String(error)}`, { cause: error })
}

async function callWrongly(store: Store, name: string, values: unknown[]): Promise<void> {
  let result: unknown
  try {
    result = (store as unknown as Record<string, (...values: unknown[]) => unknown>)[name]?.(...values)
  } catch (error) {
    return checkMisuse(name, error)
  }
  if (!(result instanceof Promise)) throw new Error(`${name} returned for ${values.map(print).join(', ')}`)
  await result.then(
    () => expect.unreachable(`${name} resolved for ${values.map(print).join(', ')}`),
    (error: unknown) => checkMisuse(name, error),
  )
}

function print(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}

function makeStore(): Store {
  const { store } = temporaryStore(open, { dimensions })
  store.put({ id: 'a', embedding: [1, 2, 3], content: 'kept', metadata: { k: 1 } })
  store.put({ id: 'b' })
  return store
}

let calls = 0

test.each(Object.keys(methods))(
  '%s with a wrong argument is a coded misuse that leaves the store unchanged',
  async (name) => {
    const store = makeStore()
    const before = contentsOf(store)
    for (const values of argumentLists(methods[name] ?? [])) {
      await callWrongly(store, name, values)
      calls += 1
    }
    expect(contentsOf(store)).toStrictEqual(before)
    expect(await store.verify()).toEqual({ ok: true, memories: 2, problems: [] })
  },
)

test(`those were at least ${callsMin} calls, and no method was left out`, () => {
  expect(calls).toBeGreaterThanOrEqual(callsMin)
  // Of WarmTier, for what is built on it: their arguments were checked there.
  const internal = ['peek', 'peekIfNewest', 'writeIf']
  const unasked = ['constructor', 'close', 'size', 'sequence', 'stats', 'flush', 'verify', 'compact', ...internal]
  const store = makeStore()
  const there = Object.getOwnPropertyNames(Object.getPrototypeOf(store)).filter((name) => !unasked.includes(name))
  expect(Object.keys(methods).sort()).toEqual(there.sort())
})

test('open with a wrong argument is a coded misuse and creates nothing', () => {
  const parent = temporaryDirectory()
  const bad = [
    ...wrong.strange.filter((value) => typeof value !== 'string').map((path) => [path, { dimensions }]),
    ...[undefined, '', 'a\0b'].map((path) => [path, { dimensions }]),
    ...[
      ...wrong.badOptions,
      ...wrong.withKey('dimensions', [...wrong.badNumbers, 0, 4097, 1.5, -1]),
      ...wrong.withKey('metric', [...wrong.strange, 'Cosine']),
      ...wrong.withKey('durability', wrong.strange),
      ...wrong.withKey('create', wrong.notBoolean),
      ...wrong.withKey('readOnly', wrong.notBoolean),
      ...wrong.withKey('expectedRecords', [...wrong.badNumbers, -1, 0.5]),
      ...wrong.withKey('lockTimeout', [...wrong.badNumbers, -1]),
      ...wrong.withKey('allowNetworkFileSystem', wrong.notBoolean),
      undefined,
      {},
    ].map((options) => [`${parent}/store`, options]),
  ] as [string, object][]
  for (const [path, options] of bad) {
    for (const make of [open, openWarmTier]) {
      try {
        make(path, options)
      } catch (error) {
        checkMisuse('open', error)
        continue
      }
      expect.unreachable(`open returned for ${print(path)}, ${print(options)}`)
    }
  }
  expect(() => open(`${parent}/store`, { create: false })).toThrow(
    expect.objectContaining({ code: 'THERMOCLINE_NOT_FOUND' }),
  )
})

test('methods of another object, or of none, throw a TypeError and not more', () => {
  const store = makeStore()
  const tier = store as unknown as { index: MemoryIndex; log: ContentLog }
  for (const receiver of [undefined, null, {}, Object.create(Object.getPrototypeOf(store)), 5]) {
    for (const [object, names] of [
      [store, ['put', 'get', 'close', 'stats', 'entries']],
      [tier.index, ['has', 'locate']],
      [tier.log, ['records', 'read']],
    ] as [object, string[]][]) {
      for (const name of names) {
        const method = (object as Record<string, (...values: unknown[]) => unknown>)[name]
        expect(() => method?.call(receiver, 'a', 1)).toThrow(TypeError)
      }
    }
  }
  expect(store.size).toBe(2)
})
