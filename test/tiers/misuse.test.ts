// Goal: a tiered store and spaces take wrong values, the caller's own code and a directory that cannot be made as a
// Store does: coded, before anything is done. Method: every wrong value at every place of what they have beyond a Store;
// then the claims one by one.

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type CodedError,
  isThermoclineError,
  type MemoryStore,
  openSpaces,
  openTiered,
  type TieredOptions,
} from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, contentsOf, rejectionOf, shortCode } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'
import { badFilters } from '../support/wrong-filters.js'
import * as wrong from '../support/wrong-values.js'

const own = '\u{10ffff}thermocline/cold'
const mine = new Error('mine')

function open(options: TieredOptions = {}, directory = temporaryDirectory()): MemoryStore & { directory: string } {
  const store = openTiered(directory, { dimensions: 3, durability: 'none', mover: false, ...options })
  onTestFinished(() => store.close())
  return Object.assign(store, { directory })
}

async function filled(options?: TieredOptions): Promise<MemoryStore & { directory: string }> {
  const store = open(options)
  for (let at = 0; at < 6; at++) store.put({ id: `m${at}`, embedding: [at, 1, 0], content: `${at}` })
  await store.maintain({ demote: ['m0', 'm1', 'm2'] })
  return store
}

const times = wrong.badNumbers.flatMap((time) => [{ before: time }, { after: time }, { between: [0, time] }])
const detached = new Float32Array(3)
structuredClone(detached, { transfer: [detached.buffer] })
const notObject = wrong.strange.filter((value) => typeof value !== 'object' || value === null || Array.isArray(value))
const notIterable = wrong.notIterable.filter((value) => value !== undefined)
const badIdLists = [...notIterable, 'm4', ...wrong.badIds.map((id) => ['m4', id]), ['m4', own]]
const bad: Record<string, unknown[][]> = {
  recall: [
    undefined,
    ...notObject,
    { unknown: 1 },
    { embedding: [1, 0, 0], like: 'm0' },
    { id: 'm4', minScore: 0.5 },
    { text: 'there is no embed' },
    ...wrong.withKey('embedding', [...wrong.badQueries, detached]),
    ...wrong.withKey('like', wrong.badIds),
    ...wrong.withKey('id', wrong.badIds),
    ...wrong.withKey('text', wrong.strange),
    ...wrong.withKey('filter', badFilters),
    ...wrong.withKey('limit', [...wrong.badNumbers, 0, -1, 1.5]),
    ...wrong.withKey('reinforce', wrong.notBoolean),
    ...wrong.withKey('weights', [...notObject, { other: 1 }, { recency: -1 }, { similarity: Number.NaN }]),
    ...[...notObject, ...times].flatMap((createdAt) => [{ createdAt }, { lastAccess: createdAt }]),
  ].map((cue) => [cue]),
  forget: [
    undefined,
    ...wrong.badIds,
    own,
    {},
    { where: {} },
    { unknown: 1 },
    ...wrong.withKey('ids', badIdLists),
    ...badFilters.filter((where) => where !== undefined).map((where) => ({ where, olderThanMs: 1e12 })),
    ...['olderThanMs', 'belowActivation', 'keepCount', 'keepBytes'].flatMap((key) =>
      wrong.withKey(key, [...wrong.badNumbers, -1]),
    ),
  ].map((what) => [what]),
  maintain: [
    ...notObject,
    { unknown: 1 },
    ...wrong.withKey('demote', badIdLists),
    ...wrong.withKey('limit', [...wrong.badNumbers.filter((value) => value !== Infinity), -1, 0.5]),
    ...wrong.withKey('compactCold', wrong.notBoolean),
    ...wrong.withKey('signal', wrong.strange),
  ].map((options) => [options]),
  compact: [...notObject, { unknown: 1 }, ...wrong.withKey('signal', wrong.strange)].map((options) => [options]),
  supersede: [
    ...wrong.badIds.map((id) => [id, { id: 'n' }]),
    [own, { id: 'n' }],
    ['m4', { id: own }],
    ...wrong.badMemories.map((memory) => ['m4', memory]),
  ],
  replaceMany: [...[undefined, ...badIdLists].map((ids) => [ids, { id: 'n' }]), [['m4'], { id: own }]],
  reinforce: [
    ...wrong.badIds.map((id) => [id]),
    ...[...wrong.badNumbers, -1].filter((amount) => amount !== undefined).map((amount) => ['m4', amount]),
  ],
  tierOf: wrong.badIds.map((id) => [id]),
  activationOf: wrong.badIds.map((id) => [id]),
  on: [
    ...[undefined, ...wrong.strange, 'error', 'newListener'].map((event) => [event, () => undefined]),
    ...[undefined, ...wrong.strange.filter((value) => typeof value !== 'function')].map((listener) => [
      'migrated',
      listener,
    ]),
  ],
  searchMany: [[[Array(2)]], [5], [undefined], [[[1, 0, 0], Array(1)]]],
}

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    const result = call()
    if (!(result instanceof Promise)) return undefined
    return await result.then(
      () => undefined,
      (error: unknown) => error,
    )
  } catch (error) {
    return error
  }
}

/** Resolves with the calls that did not fail as a misuse does. */
async function tolerated(store: MemoryStore, name: string, lists: unknown[][]): Promise<string[]> {
  const found: string[] = []
  for (const values of lists) {
    const method = (store as unknown as Record<string, (...values: unknown[]) => unknown>)[name]
    const error = await errorOf(() => method?.apply(store, values))
    const isMisuse = isThermoclineError(error) && (error instanceof TypeError || error instanceof RangeError)
    // Of a promise that was given away, nobody is told what became of it.
    if (!isMisuse) found.push(`${name}(${values.map(describe).join(', ')}) gave ${String(error)}`)
  }
  return found
}

function describe(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return Object.prototype.toString.call(value)
  }
}

test.each(Object.keys(bad))('%s with a wrong argument is a coded misuse that changes nothing', async (name) => {
  const store = await filled()
  const before = contentsOf(store)
  expect(await tolerated(store, name, bad[name] ?? [])).toEqual([])
  expect(contentsOf(store)).toStrictEqual(before)
})

test('after close every method fails with CLOSED, whatever it is given', async () => {
  const store = await filled()
  store.close()
  for (const name of Object.keys(bad)) {
    const method = (store as unknown as Record<string, () => unknown>)[name]
    expect(shortCode((await errorOf(() => method?.call(store))) as CodedError)).toBe('CLOSED')
  }
})

test('a query, a cue and a filter are those of the call, whatever the caller makes of them while it waits', async () => {
  const store = await filled()
  const expected = store.searchSync([1, 0, 0], { filter: { id: { ne: 'm5' } } }).map(({ memory: { id } }) => id)
  for (const query of [new Float32Array([1, 0, 0]), [1, 0, 0]]) {
    const filter = { id: { ne: 'm5' } }
    const options = { filter }
    const found = [
      store.search(query, options),
      store.searchMany([query], options).then(([hits = []]) => hits),
      store.recall({ embedding: query, filter, reinforce: false }),
    ]
    query.fill(-7)
    filter.id.ne = 'm4'
    for (const each of found) expect((await each).map(({ memory: { id } }) => id)).toEqual(expected)
  }
  const options = { where: { id: { eq: 'm1' } } }
  const entries = store.entries(options)
  options.where.id.eq = 'm4'
  expect([...entries].map(({ id }) => id)).toEqual(['m1'])
})

test('a recall may ask for more than there is, however much that is and whatever it ranks by', async () => {
  const store = await filled()
  for (const limit of [store.size, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
    for (const weights of [undefined, { similarity: 1, recency: 1 }]) {
      for (const cue of [{ embedding: [1, 0, 0] }, { like: 'm1' }, {}]) {
        const found = await store.recall({ ...cue, limit, weights, reinforce: false })
        expect(found).toHaveLength((await store.recall({ ...cue, limit: 1000, weights, reinforce: false })).length)
      }
    }
  }
})

test('a cue of an id and an embedding has a score, and must reach the least one', async () => {
  const store = await filled()
  const look = { id: 'm0', embedding: [0, 1, 0], reinforce: false }
  expect((await store.recall(look)).map(({ memory: { id }, score }) => [id, score])).toEqual([['m0', 1]])
  expect(await store.recall({ ...look, embedding: [1, 0, 0], minScore: 0.5 })).toEqual([])
  expect(await store.recall({ id: 'm0', filter: { confidence: { lt: 0.5 } }, reinforce: false })).toEqual([])
})

test('what a listener or a half-life throws undoes no write, and comes as an uncaught exception', async () => {
  const store = open({
    policy: {
      halfLifeMs: () => {
        throw mine
      },
    },
  })
  const others = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const thrown: unknown[] = []
  process.on('uncaughtException', (error) => thrown.push(error))
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException')
    for (const other of others) process.on('uncaughtException', other)
  })
  expect([store.put({ id: 'a' }), store.get('a')?.id]).toEqual([1, 'a'])
  const throwing = open()
  const told: string[] = []
  throwing.on('forgotten', () => {
    throw mine
  })
  throwing.on('forgotten', ({ id }) => told.push(id))
  throwing.putMany([{ id: 'a' }, { id: 'b' }])
  await throwing.forget({ ids: ['a', 'b'] })
  expect([told, throwing.size]).toEqual([['a', 'b'], 0])
  await new Promise((resolve) => setImmediate(resolve))
  expect(thrown).toEqual([mine, mine, mine, mine])
})

test('steps of changes that are asked for at once come in order, moves between them or not', async () => {
  const store = open()
  const ids = Array.from({ length: 40 }, (_, at) => `m${at}`)
  for (const [at, id] of ids.entries()) {
    store.put({ id, content: 'x' })
    if (at % 3 === 2) await store.maintain({ demote: ids.slice(at - 2, at) })
  }
  const changes = store.changes()
  const steps = await Promise.all(ids.map(() => changes[Symbol.asyncIterator]().next()))
  expect(steps.map(({ value }) => (value as { id: string }).id)).toEqual(ids)
})

test('changes since any sequence, also one in the middle of a move, tell writes only', async () => {
  const store = open()
  const ids = Array.from({ length: 120 }, (_, at) => `m${at}`)
  store.putMany(ids.map((id) => ({ id })))
  const last = store.sequence
  await store.maintain({ demote: ids })
  await store.recall({ filter: { id: { ne: 'm7' } }, limit: 119 })
  const moved = store.sequence
  store.write([{ put: { id: 'a' } }, { put: { id: 'b' } }])
  for (let since = last; since <= moved; since++) {
    const told: string[] = []
    for await (const { id } of store.changes({ since })) told.push(id)
    expect(told, `since ${since} of ${moved}`).toEqual(['a', 'b'])
  }
})

test('read-only, nothing is moved and no directory made', async () => {
  const writer = open()
  writer.put({ id: 'a' })
  writer.close()
  const reader = open({ readOnly: true }, writer.directory)
  for (const call of [() => reader.maintain(), () => reader.maintain({ demote: [] }), () => reader.compact()]) {
    expect(shortCode(await rejectionOf(call()))).toBe('READ_ONLY')
  }
  expect(readdirSync(writer.directory)).toEqual(['warm'])
})

test('a directory that cannot be made is a coded error, also where the system says ENOENT for ever', () => {
  const parent = temporaryDirectory()
  writeFileSync(join(parent, 'file'), '')
  const options = { dimensions: 2 }
  for (const make of [openTiered, openSpaces]) {
    expect(codeOf(() => make('/proc/absent/a', options))).toBe('IO')
    expect(codeOf(() => make(join(parent, 'x'.repeat(300)), options))).toBe('IO')
    expect(codeOf(() => make(join(parent, 'file'), options))).toBe('NOT_A_STORE')
    expect(codeOf(() => make(join(parent, 'file', 'a'), options))).toBe('NOT_A_STORE')
  }
  openSpaces(join(parent, 'a', 'b', 'c'), options).close()
  openTiered(join(parent, 'd', 'e', 'f'), options).close()
})

test('openSpaces with a wrong option is a coded misuse and makes nothing', () => {
  const root = join(temporaryDirectory(), 'spaces')
  const options = [
    ...notObject,
    { unknown: 1 },
    ...wrong.withKey('dimensions', [...wrong.badNumbers, 0, 4097]),
    ...wrong.withKey('openMax', [...wrong.badNumbers, 0, 1.5]),
    ...wrong.withKey('bytesMax', [...wrong.badNumbers, -1]),
    ...wrong.withKey('hot', [...notObject, { bytes: -1 }]),
    ...wrong.withKey('metric', wrong.strange),
  ]
  for (const each of options) expect(() => codeOf(() => openSpaces(root, each as never)), describe(each)).not.toThrow()
  expect(existsSync(root)).toBe(false)
})

test('a search over spaces checks all that it is given, and keeps its own copy of it', async () => {
  const spaces = openSpaces(temporaryDirectory(), { dimensions: 2, durability: 'none', mover: false })
  onTestFinished(() => spaces.close())
  const wrongOptions = [...notObject, { spaces: 5 }, { spaces: 'ada' }, { spaces: ['../x'] }, { limit: 0 }, { foo: 1 }]
  for (const each of wrongOptions) {
    expect(shortCode(await rejectionOf(spaces.search([1, 0], each as never)))).toBe('ARGUMENT')
  }
  for (const name of ['ada', 'bob']) spaces.space(name).put({ id: name, embedding: [1, 0] })
  const query = [1, 0]
  const found = spaces.search(query)
  query.fill(0)
  expect((await found).map(({ space, score }) => [space, score])).toEqual([
    ['ada', 1],
    ['bob', 1],
  ])
})

test('the close of a space is that of a store, and asking again opens it', async () => {
  const spaces = openSpaces(temporaryDirectory(), { dimensions: 2, durability: 'none', mover: false })
  onTestFinished(() => spaces.close())
  const ada = spaces.space('ada')
  ada.close()
  expect(spaces.list()).toEqual([]) // a space that was never used is not made to be closed
  const again = spaces.space('ada')
  again.put({ id: 'a', embedding: [1, 0] })
  expect(codeOf(() => ada.get('a'))).toBe('CLOSED')
  expect(shortCode(await rejectionOf(ada.search([1, 0])))).toBe('CLOSED')
  const found = again.search([1, 0])
  await again[Symbol.asyncDispose]()
  expect((await found).length).toBe(1)
  again.close()
  expect([codeOf(() => again.size), spaces.stats().open, spaces.space('ada').size]).toEqual(['CLOSED', 0, 1])
})
