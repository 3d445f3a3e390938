// Filters, which mean the same in entries, search and searchSync (docs/filters.md).

import type { Filter, JsonObject, Store } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse, expectUnchanged, rejectionOf, shortCode } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'
import { badFilters, boundlessFilters } from '../support/wrong-filters.js'

const query = [1, 2, 3]

/** Ids that match, in the order of writing; all three ways must agree. */
async function matching(store: Store, filter: Filter): Promise<string[]> {
  const ids = [...store.entries({ where: filter })].map(({ id }) => id)
  const sorted = [...ids].sort()
  const found = store.searchSync(query, { filter, limit: 1000 })
  expect(found.map(({ memory }) => memory.id).sort()).toEqual(sorted)
  expect(await store.search(query, { filter, limit: 1000 })).toStrictEqual(found)
  return ids
}

/** Whether a filter matches a memory of that metadata. */
async function matchesMetadata(makeStore: StoreMaker, filter: Filter, metadata: JsonObject): Promise<boolean> {
  const { store } = temporaryStore(makeStore)
  store.put({ id: 'a', embedding: query, metadata })
  return (await matching(store, filter)).length === 1
}

export function filterContract(makeStore: StoreMaker): void {
  test.each<[Filter, string[]]>([
    [{}, ['ada', 'bob', 'eve']],
    [{ metadata: { city: 'Rome' } }, ['ada', 'bob']],
    [{ metadata: { city: 'Rome', age: 40 } }, ['bob']],
    [{ metadata: { age: { gte: 30, lt: 40 } } }, ['ada']],
    [{ metadata: { age: { in: [50, 40, '30'] } } }, ['bob']],
    [{ metadata: { 'work.title': { prefix: 'chief' } } }, ['eve']],
    [{ metadata: { tags: 'x' } }, ['ada', 'eve']],
    [{ metadata: { city: { ne: 'Rome' } } }, ['eve']],
    [{ metadata: { city: { exists: false } } }, ['eve']],
    [{ metadata: { boss: null } }, ['bob']],
    [{ createdAt: { gt: 100, lte: 200 } }, ['bob']],
    [{ confidence: { lt: 1 } }, ['eve']],
    [{ lastAccess: { gte: 5000 } }, ['eve']],
    [{ id: { in: ['eve', 'ada', 'nobody'] } }, ['ada', 'eve']],
    [{ id: { gt: 'ada' }, metadata: { tags: { exists: true } } }, ['bob', 'eve']],
    [{ or: [{ id: { eq: 'eve' } }, { metadata: { age: 40 } }] }, ['bob', 'eve']],
    [{ not: { metadata: { tags: 'x' } } }, ['bob']],
    [{ and: [{ metadata: { city: 'Rome' } }, { not: { id: { eq: 'ada' } } }] }, ['bob']],
    [{ or: [] }, []],
    [{ and: [] }, ['ada', 'bob', 'eve']],
    [{ metadata: { city: 'Rome' }, createdAt: undefined, not: undefined }, ['ada', 'bob']],
    [{ metadata: { age: { gte: 30, lt: undefined } } }, ['ada', 'bob']],
  ])('%j means %j', async (filter, expected) => {
    const { store } = temporaryStore(makeStore)
    const embedding = query
    store.put({ id: 'ada', embedding, createdAt: 100, metadata: { city: 'Rome', age: 30, tags: ['x', 'y'] } })
    store.put({ id: 'bob', embedding, createdAt: 200, metadata: { city: 'Rome', age: 40, tags: [], boss: null } })
    const work = { title: 'chief of staff' }
    store.put({
      id: 'eve',
      embedding,
      createdAt: 300,
      confidence: 0.5,
      lastAccess: 5000,
      metadata: { work, tags: ['x'] },
    })
    expect(await matching(store, filter)).toEqual(expected)
  })

  // Each edge that docs/filters.md names, on a memory of its own.
  test.each<[Filter, JsonObject, boolean]>([
    [{ metadata: { a: { gt: 5 } } }, { a: '7' }, false],
    [{ metadata: { a: { eq: 0 } } }, { a: -0 }, true],
    [{ metadata: { a: { eq: 1 } } }, { a: true }, false],
    [{ metadata: { a: { gt: false } } }, { a: true }, true],
    [{ metadata: { a: { lte: null } } }, { a: null }, true],
    [{ metadata: { a: { lt: '\uff5e' } } }, { a: '\u{1f600}' }, true],
    [{ metadata: { a: { prefix: 'Z' } } }, { a: 'z' }, false],
    [{ metadata: { a: { ne: 1 } } }, {}, true],
    [{ metadata: { a: { ne: 1, exists: true } } }, {}, false],
    [{ metadata: { a: { ne: 1 } } }, { a: [] }, true],
    [{ metadata: { a: { exists: true } } }, { a: [] }, true],
    [{ metadata: { a: { exists: true } } }, { a: null }, true],
    [{ metadata: { a: null } }, {}, false],
    [{ metadata: { a: {} } }, {}, true],
    [{ metadata: { a: { in: [] } } }, { a: 1 }, false],
    [{ metadata: { a: { gt: 3, lt: 5 } } }, { a: [1, 10] }, false],
    [{ metadata: { a: { gt: 3, lt: 5 } } }, { a: [1, [4]] }, true],
    [{ and: [{ metadata: { a: { gt: 3 } } }, { metadata: { a: { lt: 5 } } }] }, { a: [1, 10] }, true],
    [{ metadata: { a: { ne: 'x' } } }, { a: ['x', 'y'] }, true],
    [{ not: { metadata: { a: 'x' } } }, { a: ['x', 'y'] }, false],
    [{ metadata: { a: { ne: 1 } } }, { a: { b: 1 } }, true],
    [{ metadata: { 'a.b': 1 } }, { 'a.b': 1 }, true],
    [{ metadata: { 'a.b': 1 } }, { a: { b: 2 }, 'a.b': 1 }, true],
    [{ metadata: { 'a.b': 2 } }, { a: { b: 2 }, 'a.b': 1 }, true],
    [{ metadata: { 'a.name': 'x' } }, { a: [{ name: 'y' }, { name: ['x'] }] }, true],
    [{ metadata: { 'a.name': { ne: 'x' } } }, { a: [{ name: 'x' }, {}] }, false],
    [{ metadata: { 'a.0': 'x' } }, { a: ['x'] }, false],
    [{ metadata: { '': 1, 'a.': 2 } }, { '': 1, a: { '': 2 } }, true],
    [{ metadata: { constructor: { exists: true } } }, { a: 1 }, false],
    [{ metadata: JSON.parse('{"__proto__": 1}') }, {}, false],
    [{ metadata: JSON.parse('{"__proto__": 1}') }, JSON.parse('{"__proto__": 1}') as JsonObject, true],
    [{ metadata: { '__proto__.toString': { exists: true } } }, { a: 1 }, false],
    [{ metadata: { 'a\ud800': { prefix: '\ud83d' } } }, { 'a\ud800': '\u{1f600}' }, true],
  ])('%j of metadata %j: %j', async (filter, metadata, expected) => {
    expect(await matchesMetadata(makeStore, filter, metadata)).toBe(expected)
    expect(await matchesMetadata(makeStore, { not: filter }, metadata)).toBe(!expected)
  })

  test('lastAccess is taken as it is when the memory is looked at', () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', createdAt: 1, lastAccess: 1 })
    const filter: Filter = { lastAccess: { gt: 1 } }
    expect([...store.entries({ where: filter })]).toEqual([])
    const iterator = store.entries({ where: filter })
    store.touch('a')
    expect([...iterator].map(({ id }) => id)).toEqual(['a'])
  })

  test('a filtered search returns as many hits as there are, up to its limit, best first', async () => {
    const { store } = temporaryStore(makeStore, { metric: 'dot' })
    for (let at = 0; at < 2000; at++) store.put({ id: `m${at}`, embedding: [at, 0, 0], metadata: { every: at % 100 } })
    for (const limit of [1, 5, 20, 500]) {
      const filter: Filter = { metadata: { every: 7 } }
      const hits = store.searchSync([1, 0, 0], { filter, limit })
      const expected = Array.from({ length: Math.min(limit, 20) }, (_, index) => `m${1907 - 100 * index}`)
      expect(hits.map(({ memory }) => memory.id)).toEqual(expected)
      expect(await store.search([1, 0, 0], { filter, limit })).toStrictEqual(hits)
      const half = store.searchSync([1, 0, 0], { filter, limit, minScore: 1000 })
      expect(half.map(({ memory }) => memory.id)).toEqual(expected.filter((id) => Number(id.slice(1)) >= 1000))
    }
  })

  test('where and since both hold, and the iteration is a snapshot', () => {
    const { store } = temporaryStore(makeStore)
    for (let at = 0; at < 400; at++) store.put({ id: `m${at}`, metadata: { odd: at % 2 === 1 } })
    const iterator = store.entries({ since: 390, where: { metadata: { odd: true } } })
    store.update('m391', { metadata: { odd: false } })
    store.delete('m393')
    store.put({ id: 'm390', metadata: { odd: true } })
    expect([...iterator].map(({ id }) => id)).toEqual(['m391', 'm393', 'm395', 'm397', 'm399'])
    const now = [...store.entries({ since: 390, where: { metadata: { odd: true } } })].map(({ id }) => id)
    expect(now).toEqual(['m395', 'm397', 'm399', 'm390'])
  })

  test('a filter belongs to its call: changing it afterwards changes nothing', async () => {
    const { store } = temporaryStore(makeStore)
    for (const id of ['a', 'b']) store.put({ id, embedding: query })
    const filter: Filter = { id: { in: ['a'] } }
    const iterator = store.entries({ where: filter })
    const hits = store.search(query, { filter })
    filter.id = { eq: 'b' }
    expect([...iterator].map(({ id }) => id)).toEqual(['a'])
    expect((await hits).map(({ memory }) => memory.id)).toEqual(['a'])
  })

  test('what is no filter is a TypeError in every place, whatever is wrong about it', async () => {
    const { store } = temporaryStore(makeStore)
    for (const filter of badFilters as Filter[]) {
      expectUnchanged(store, () => {
        expectMisuse(() => store.entries({ where: filter }), TypeError, 'ARGUMENT')
        expectMisuse(() => store.searchSync(query, { filter }), TypeError, 'ARGUMENT')
      })
      const error = await rejectionOf(store.search(query, { filter }))
      expect([error.constructor.name, shortCode(error)]).toEqual(['TypeError', 'ARGUMENT'])
    }
  })

  test('numbers that are not finite and filters without bounds are RangeErrors', () => {
    const { store } = temporaryStore(makeStore)
    for (const filter of boundlessFilters() as Filter[]) {
      expectMisuse(() => store.entries({ where: filter }), RangeError, 'ARGUMENT')
      expectMisuse(() => store.searchSync(query, { filter }), RangeError, 'ARGUMENT')
    }
  })

  test('as large a filter as is allowed works', async () => {
    const { store } = temporaryStore(makeStore)
    for (let at = 0; at < 3; at++) store.put({ id: `m${at}`, embedding: query, metadata: { k998: at } })
    const metadata = Object.fromEntries(Array.from({ length: 999 }, (_, at) => [`k${at}`, { ne: 5 }]))
    expect(await matching(store, { metadata })).toHaveLength(3)
    const ids = Array.from({ length: 100_000 }, (_, at) => `m${at * 2}`)
    expect(await matching(store, { id: { in: ids } })).toEqual(['m0', 'm2'])
    let deep: Filter = { id: { eq: 'm1' } }
    for (let level = 1; level < 100; level++) deep = level % 2 === 0 ? { or: [deep] } : { and: [deep] }
    expect(await matching(store, deep)).toEqual(['m1'])
    const short: Filter = { confidence: { in: new Array(2 ** 23).fill(0) } }
    expectMisuse(() => store.entries({ where: short }), RangeError, 'ARGUMENT')
  })
}
