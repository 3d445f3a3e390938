// search and searchSync, which give the same hits.

import type { Hit, Metric, SearchOptions, Store, Vector } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse, failureOf, rejectionOf, shortCode } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

const metrics: readonly Metric[] = ['cosine', 'dot', 'l2']

/** Both ways of searching, which must agree. */
async function searchBoth(store: Store, query: Vector, options?: SearchOptions): Promise<Hit[]> {
  const hits = store.searchSync(query, options)
  expect(await store.search(query, options)).toStrictEqual(hits)
  return hits
}

const named = (hits: Hit[]): [string, number][] => hits.map(({ memory, score }) => [memory.id, score])

export function searchContract(makeStore: StoreMaker): void {
  test.each([
    [
      'cosine',
      [
        ['same', 1],
        ['scaled', 1],
        ['diagonal', Math.SQRT1_2],
        ['across', 0],
        ['zero', 0],
        ['against', -1],
      ],
    ],
    [
      'dot',
      [
        ['scaled', 20],
        ['same', 2],
        ['diagonal', 2],
        ['across', 0],
        ['zero', 0],
        ['against', -2],
      ],
    ],
    [
      'l2',
      [
        ['same', -1],
        ['diagonal', -Math.SQRT2],
        ['zero', -2],
        ['across', -Math.sqrt(5)],
        ['against', -3],
        ['scaled', -8],
      ],
    ],
  ] as const)('%s scores as the contract says, best first', async (metric, expected) => {
    const { store } = temporaryStore(makeStore, { metric })
    store.put({ id: 'same', embedding: [1, 0, 0] })
    store.put({ id: 'scaled', embedding: [10, 0, 0] })
    store.put({ id: 'diagonal', embedding: [1, 1, 0] })
    store.put({ id: 'across', embedding: [0, 1, 0] })
    store.put({ id: 'zero', embedding: [0, 0, 0] })
    store.put({ id: 'against', embedding: [-1, 0, 0] })
    const hits = named(await searchBoth(store, [2, 0, 0]))
    expect(hits.map(([id]) => id)).toEqual(expected.map(([id]) => id))
    hits.forEach(([, score], index) => {
      expect(score).toBeCloseTo(expected[index]?.[1] ?? Number.NaN, 6)
    })
  })

  test('a memory at no distance scores 0, without a sign', async () => {
    const { store } = temporaryStore(makeStore, { metric: 'l2' })
    store.put({ id: 'a', embedding: [1, 2, 3] })
    expect(named(await searchBoth(store, [1, 2, 3]))).toStrictEqual([['a', 0]])
  })

  test('a hit holds the whole memory', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 2, 3], content: 'text', metadata: { k: 1 }, recallCount: 4 })
    const [hit] = await searchBoth(store, [1, 2, 3])
    expect(hit).toStrictEqual({ memory: store.get('a'), score: 1 })
  })

  test.each(metrics)('under %s hits of equal score come with the lower sequence first', async (metric) => {
    const { store } = temporaryStore(makeStore, { metric })
    for (let index = 0; index < 600; index++) store.put({ id: `m${index}`, embedding: [1, 2, 2] })
    store.put({ id: 'm3', embedding: [1, 2, 2] }) // last now
    const order = Array.from({ length: 600 }, (_, index) => `m${index}`).filter((id) => id !== 'm3')
    for (const limit of [1, 5, 10, 64, 65, 300, 599]) {
      const hits = await searchBoth(store, [1, 2, 2], { limit })
      expect(hits.map(({ memory }) => memory.id)).toEqual(order.slice(0, limit))
    }
    expect((await searchBoth(store, [1, 2, 2], { limit: 600 })).at(-1)?.memory.id).toBe('m3')
  })

  test('limit is 10 unless given, and may be more than there are', async () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 30; index++) store.put({ id: `m${index}`, embedding: [1, index, 0] })
    expect(await searchBoth(store, [1, 0, 0])).toHaveLength(10)
    expect(await searchBoth(store, [1, 0, 0], { limit: 1 })).toHaveLength(1)
    expect(await searchBoth(store, [1, 0, 0], { limit: Number.MAX_SAFE_INTEGER })).toHaveLength(30)
    for (const limit of [0, -1, 1.5, Number.NaN, Infinity]) {
      expectMisuse(() => store.searchSync([1, 0, 0], { limit }), RangeError, 'ARGUMENT')
    }
  })

  test.each(metrics)('minScore is inclusive under %s', async (metric) => {
    const { store } = temporaryStore(makeStore, { metric })
    for (let index = 0; index < 40; index++)
      store.put({ id: `m${index}`, embedding: [Math.cos(index), Math.sin(index), 0.3] })
    const all = await searchBoth(store, [0.3, 0.4, 0.5], { limit: 100 })
    for (const index of [0, 1, 17, 39]) {
      const minScore = all[index]?.score ?? Number.NaN
      expect(await searchBoth(store, [0.3, 0.4, 0.5], { limit: 100, minScore })).toStrictEqual(
        all.filter(({ score }) => score >= minScore),
      )
    }
    expect(await searchBoth(store, [0.3, 0.4, 0.5], { minScore: 1e9 })).toEqual([])
  })

  test('memories without embedding and deleted ones are never hits; replaced ones only as they are now', async () => {
    const { store } = temporaryStore(makeStore, { metric: 'dot' })
    store.put({ id: 'none' })
    store.put({ id: 'deleted', embedding: [9, 9, 9] })
    store.put({ id: 'replaced', embedding: [9, 9, 9] })
    store.put({ id: 'emptied', embedding: [9, 9, 9] })
    store.put({ id: 'updated', embedding: [1, 0, 0] })
    store.delete('deleted')
    store.put({ id: 'replaced', embedding: [-1, 0, 0] })
    store.put({ id: 'emptied' })
    store.update('updated', { content: 'now' })
    expect(named(await searchBoth(store, [1, 0, 0]))).toEqual([
      ['updated', 1],
      ['replaced', -1],
    ])
  })

  test('a search of an empty store finds nothing', async () => {
    const { store } = temporaryStore(makeStore)
    expect(await searchBoth(store, [1, 0, 0])).toEqual([])
  })

  test('zero vectors may be stored; a zero query is an error under cosine only', async () => {
    for (const metric of metrics) {
      const { store } = temporaryStore(makeStore, { metric })
      store.put({ id: 'zero', embedding: [0, -0, 0] })
      expect(Object.is(store.get('zero')?.embedding?.[1], -0)).toBe(true)
      if (metric === 'cosine') {
        expectMisuse(() => store.searchSync([0, -0, 0]), RangeError, 'ARGUMENT')
        expect(shortCode(await rejectionOf(store.search(new Float32Array(3))))).toBe('ARGUMENT')
        expect(named(await searchBoth(store, [1, 2, 3], { minScore: 0 }))).toEqual([['zero', 0]])
      } else expect((await searchBoth(store, [0, 0, 0]))[0]?.score).toBeCloseTo(0, 12)
    }
  })

  test('a cosine lies in [-1, 1], and is exactly 1 for a vector and itself', async () => {
    const { store } = temporaryStore(makeStore)
    for (const scale of [1e-18, 1e-6, 1, 1e6, 1e18]) {
      const embedding = new Float32Array([0.1 * scale, 0.7 * scale, -0.3 * scale])
      store.put({ id: 'a', embedding })
      store.put({ id: 'b', embedding: embedding.map((value) => -value) })
      expect(named(await searchBoth(store, embedding))).toEqual([
        ['a', 1],
        ['b', -1],
      ])
    }
  })

  test('queries are checked as embeddings are', async () => {
    const { store } = temporaryStore(makeStore)
    for (const [query, kind, code] of [
      [[1, 2], RangeError, 'DIMENSION'],
      [new Float32Array(4), RangeError, 'DIMENSION'],
      [[1, Number.NaN, 3], RangeError, 'NOT_FINITE'],
      [new Float32Array([1, 2, Infinity]), RangeError, 'NOT_FINITE'],
      [[1, 1e39, 3], RangeError, 'NOT_FINITE'],
      [[1, '2', 3], TypeError, 'ARGUMENT'],
      ['abc', TypeError, 'ARGUMENT'],
      [null, TypeError, 'ARGUMENT'],
      [new Float64Array(3), TypeError, 'ARGUMENT'],
    ] as [Vector, typeof RangeError, string][]) {
      expectMisuse(() => store.searchSync(query), kind, code)
      const error = await rejectionOf(store.search(query))
      expect([error.constructor.name, shortCode(error)]).toEqual([kind.name, code])
    }
  })

  test('the query is copied before search returns', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 0, 0] })
    const query = new Float32Array([1, 0, 0])
    const hits = store.search(query)
    query.fill(-1)
    expect((await hits)[0]?.score).toBe(1)
  })

  test('an aborted signal ends a search with an AbortError, its reason the cause', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', embedding: [1, 0, 0] })
    const reason = new Error('enough')
    const early = await rejectionOf(store.search([1, 0, 0], { signal: AbortSignal.abort(reason) }))
    const controller = new AbortController()
    const pending = store.search([1, 0, 0], { signal: controller.signal })
    controller.abort(reason)
    for (const error of [early, await rejectionOf(pending)]) {
      expect([error.name, shortCode(error), error.cause]).toEqual(['AbortError', 'ABORTED', reason])
    }
    const thrown = failureOf(() => store.searchSync([1, 0, 0], { signal: AbortSignal.abort() }))
    expect(thrown.name).toBe('AbortError')
    const unused = new AbortController()
    expect(await store.search([1, 0, 0], { signal: unused.signal, exact: true })).toHaveLength(1)
    unused.abort()
  })

  test('exact, recall and threads are options; the hits of a small store are the same with all of them', async () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 40; index++) store.put({ id: `m${index}`, embedding: [1, index, 3] })
    const hits = store.searchSync([1, 2, 3])
    const variants: SearchOptions[] = [
      { exact: true },
      ...[0, 0.5, 1].map((recall) => ({ recall })),
      ...[1, 16].map((threads) => ({ threads })),
    ]
    for (const options of variants) expect(await searchBoth(store, [1, 2, 3], options)).toStrictEqual(hits)
    for (const recall of [-0.1, 1.01, Number.NaN, Infinity]) {
      expectMisuse(() => store.searchSync([1, 2, 3], { recall }), RangeError, 'ARGUMENT')
    }
    for (const threads of [0, 1.5, 1025]) {
      expectMisuse(() => store.searchSync([1, 2, 3], { threads }), RangeError, 'ARGUMENT')
    }
    const wrong = [{ recall: '1' }, { threads: true }, { exact: 1 }] as unknown as SearchOptions[]
    for (const options of wrong) expectMisuse(() => store.searchSync([1, 2, 3], options), TypeError, 'ARGUMENT')
  })

  test('searchMany gives the hits of each query, in their order', async () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 40; index++) store.put({ id: `m${index}`, embedding: [1, index, 3] })
    const queries: Vector[] = [[1, 2, 3], new Float32Array([3, 2, 1]), [1, 2, 3]]
    const found = await store.searchMany(queries, { limit: 5 })
    expect(found).toStrictEqual(queries.map((query) => store.searchSync(query, { limit: 5 })))
    expect(await store.searchMany([])).toEqual([])
    expect(shortCode(await rejectionOf(store.searchMany([[1, 2, 3], [1]])))).toBe('DIMENSION')
    expect(shortCode(await rejectionOf(store.searchMany([[1, 2, Number.NaN]])))).toBe('NOT_FINITE')
    expect(await rejectionOf(store.searchMany([1, 2, 3] as unknown as Vector[]))).toBeInstanceOf(TypeError)
    expect(await rejectionOf(store.searchMany('no' as unknown as Vector[]))).toBeInstanceOf(TypeError)
    const holes = await rejectionOf(store.searchMany(new Array<Vector>(2 ** 32 - 1)))
    expect([holes.constructor.name, shortCode(holes)]).toEqual(['TypeError', 'ARGUMENT'])
    expect(shortCode(await rejectionOf(store.searchMany([[1, 2, 3]], { signal: AbortSignal.abort() })))).toBe('ABORTED')
    const pending = store.searchMany(queries)
    store.close()
    expect(shortCode(await rejectionOf(pending))).toBe('CLOSED')
  })

  test('a search is a snapshot: writes after the call change none of its hits', async () => {
    const { store } = temporaryStore(makeStore)
    for (let index = 0; index < 500; index++) store.put({ id: `m${index}`, embedding: [1, index, 0], content: 'old' })
    const expected = store.searchSync([1, 0, 0], { limit: 500 })
    const found = await store.search([1, 0, 0], { limit: 500 })
    for (let index = 0; index < 500; index++) store.put({ id: `m${index}`, embedding: [1, 0, index], content: 'new' })
    expect(found).toStrictEqual(expected)
    expect(found.every(({ memory }) => memory.content === 'old')).toBe(true)
  })
}
