// putMany and write: many operations, each batch at one moment.

import type { Change, MemoryInput, Operation, Store } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse, expectUnchanged, failureOf, shortCode } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

const input = (index: number): MemoryInput => ({ id: `m${index}`, embedding: [index, 1, 2], content: `text ${index}` })
const inputs = (count: number): MemoryInput[] => Array.from({ length: count }, (_, index) => input(index))

async function changesOf(store: Store): Promise<Change[]> {
  const changes: Change[] = []
  for await (const change of store.changes()) changes.push(change)
  return changes
}

export function putManyContract(makeStore: StoreMaker): void {
  test.each([1, 7, 255, 256, undefined])(
    'putMany with batchSize %s gives each item one consecutive sequence, in order',
    async (batchSize) => {
      const { store } = temporaryStore(makeStore)
      store.put({ id: 'before' })
      expect(store.putMany(inputs(600), { batchSize })).toEqual({ count: 600, lastSequence: 601 })
      const changes = (await changesOf(store)).slice(1)
      expect(changes.map(({ id }) => id)).toEqual(inputs(600).map(({ id }) => id))
      expect(changes.map(({ sequence }) => sequence)).toEqual(Array.from({ length: 600 }, (_, index) => index + 2))
      expect(changes.every(({ kind }) => kind === 'put')).toBe(true)
      expect([...store.entries({ since: 1 })].map(({ content }) => content)).toEqual(inputs(600).map((m) => m.content))
    },
  )

  test('each internal batch is one commit of at most batchSize memories', () => {
    const { store } = temporaryStore(makeStore)
    const before = store.stats().batches
    store.putMany(inputs(20), { batchSize: 7 })
    expect(store.stats().batches - before).toBe(3)
    store.putMany(inputs(600))
    expect(store.stats().batches - before).toBe(6)
  })

  test('a batch of large memories is cut at 1 MiB, and a memory beyond it is a batch of its own', () => {
    const { store } = temporaryStore(makeStore)
    const before = store.stats().batches
    const large = 'x'.repeat(400_000)
    store.putMany([0, 1, 2, 3].map((index) => ({ id: `l${index}`, content: large })))
    expect(store.stats().batches - before).toBe(2)
    store.putMany([{ id: 'huge', content: large.repeat(5) }, { id: 'small' }])
    expect(store.stats().batches - before).toBe(4)
    expect(store.get('huge')?.content).toHaveLength(2_000_000)
  })

  test('putMany of nothing writes nothing and tells the last sequence of the store', () => {
    const { store } = temporaryStore(makeStore)
    expect(store.putMany([])).toEqual({ count: 0, lastSequence: 0 })
    store.put({ id: 'a' })
    expect(expectUnchanged(store, () => store.putMany(new Set()))).toEqual({ count: 0, lastSequence: 1 })
  })

  test('the same id twice: the last wins, in one batch and across batches', () => {
    const { store } = temporaryStore(makeStore)
    const twice = ['first', 'second', 'third'].map((content) => ({ id: 'a', content }))
    for (const batchSize of [256, 2, 1]) {
      expect(store.putMany(twice, { batchSize }).count).toBe(3)
      expect(store.get('a')?.content).toBe('third')
      expect([...store.entries()]).toHaveLength(1)
      expect(store.size).toBe(1)
    }
  })

  test('on an error earlier batches stay, the failing one leaves nothing, details say count and index', async () => {
    for (const [batchSize, bad, count] of [
      [10, 25, 20],
      [10, 20, 20],
      [10, 29, 20],
      [10, 0, 0],
      [1, 3, 3],
      [256, 255, 0],
      [256, 256, 256],
    ] as const) {
      const { store } = temporaryStore(makeStore)
      const items: MemoryInput[] = inputs(300)
      items[bad] = { id: 'bad', embedding: [1, Number.NaN, 3] }
      const error = failureOf(() => store.putMany(items, { batchSize }))
      expect([shortCode(error), error.details.count, error.details.index]).toEqual(['NOT_FINITE', count, bad])
      expect([store.size, store.sequence]).toEqual([count, count])
      expect([...store.entries()].map(({ id }) => id)).toEqual(items.slice(0, count).map(({ id }) => id))
      expect(store.put({ id: 'next' })).toBe(count + 1)
      expect((await changesOf(store)).length).toBe(count + 1)
    }
  })

  test.each([
    ['a wrong key', { id: 'x', foo: 1 }, TypeError, 'ARGUMENT'],
    ['no object', 7, TypeError, 'ARGUMENT'],
    [
      'a float array that is not finite',
      { id: 'x', embedding: new Float32Array([1, 2, Infinity]) },
      RangeError,
      'NOT_FINITE',
    ],
    ['an empty id', { id: '' }, RangeError, 'KEY_SIZE'],
    ['a short embedding', { id: 'x', embedding: [1] }, RangeError, 'DIMENSION'],
  ] as const)('putMany tells the index of %s', (_name, bad, kind, code) => {
    const { store } = temporaryStore(makeStore)
    const error = expectUnchanged(store, () =>
      expectMisuse(() => store.putMany([input(0), input(1), bad as MemoryInput]), kind, code),
    )
    expect(error.details).toEqual({ count: 0, index: 2 })
  })

  test('an array that says a length of its own is taken by the elements that it has', () => {
    const { store } = temporaryStore(makeStore)
    const short = Object.defineProperty(new Float32Array([1, 2]), 'length', { value: 3 })
    const long = Object.defineProperty(new Float32Array([1, 2, 3, 4]), 'length', { value: 3 })
    for (const embedding of [short, long]) {
      const items = [input(0), { id: 'x', embedding }, input(1)]
      for (const write of [() => store.putMany(items), () => store.put({ id: 'x', embedding })]) {
        expectUnchanged(store, () => expectMisuse(write, RangeError, 'DIMENSION'))
      }
    }
  })

  test("an iterator's own error comes through as it is, after which earlier batches are there", () => {
    const { store } = temporaryStore(makeStore)
    const own = Object.assign(new Error('mine'), { code: 'MINE' })
    const thrown: unknown[] = []
    for (const value of [own, 'a string', undefined]) {
      try {
        store.putMany(
          (function* () {
            yield* inputs(5)
            throw value
          })(),
          { batchSize: 2 },
        )
      } catch (error) {
        thrown.push(error)
      }
    }
    expect(thrown).toEqual([own, 'a string', undefined])
    expect(thrown[0]).toBe(own)
    expect(own).not.toHaveProperty('details')
    expect([...store.entries()].map(({ id }) => id)).toEqual(['m0', 'm1', 'm2', 'm3'])
  })

  test('an item that fails ends the iterator through its return', () => {
    const { store } = temporaryStore(makeStore)
    let returned = false
    const items = (function* () {
      try {
        yield { id: '' }
      } finally {
        returned = true
      }
    })()
    expect(() => store.putMany(items)).toThrow(RangeError)
    expect(returned).toBe(true)
  })

  test('an iterator may use the store between two items, also to write in batches itself', () => {
    const { store } = temporaryStore(makeStore)
    const items = function* (path: string): Generator<MemoryInput> {
      for (let index = 0; index < 3; index++) {
        const id = `${path}/${index}`
        yield { id }
        store.put({ id: `single ${id}` })
        if (path.length < 8) store.putMany(items(id))
        expect(store.has(id)).toBe(false) // its batch is not committed yet
      }
    }
    expect(store.putMany(items('root')).count).toBe(3)
    const inner = 3 + 9 + 27 // items of each depth, and as many single puts
    expect(store.size).toBe(2 * inner)
    for (const id of ['root/2', 'root/0/1', 'root/2/2/2']) expect(store.has(id)).toBe(true)
  })

  test('an array of one embedding reused for every item writes each as it was when it was yielded', () => {
    const { store } = temporaryStore(makeStore)
    const embedding = new Float32Array(3)
    store.putMany(
      (function* () {
        for (let index = 0; index < 50; index++) yield { id: `m${index}`, embedding: embedding.fill(index) }
      })(),
    )
    for (let index = 0; index < 50; index++) {
      expect(store.get(`m${index}`)?.embedding).toEqual(new Float32Array(3).fill(index))
    }
  })

  test('write does all its operations at one moment, in order', async () => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'old', content: 'x' })
    const before = store.stats().batches
    expect(
      store.write([
        { put: { id: 'a', content: '1' } },
        { update: 'a', patch: { content: '2' } },
        { delete: 'old' },
        { put: { id: 'b', embedding: [1, 2, 3] } },
        { delete: 'b' },
        { put: { id: 'b', content: 'again' } },
      ]),
    ).toEqual({ lastSequence: 7 })
    expect(store.stats().batches - before).toBe(1)
    expect(store.get('a')).toMatchObject({ content: '2', sequence: 3 })
    expect(store.get('b')).toMatchObject({ content: 'again', embedding: null, sequence: 7 })
    expect([store.has('old'), store.size]).toEqual([false, 2])
    const kinds = (await changesOf(store)).slice(1).map(({ kind, id }) => `${kind} ${id}`)
    expect(kinds).toEqual(['put a', 'update a', 'delete old', 'put b', 'delete b', 'put b'])
  })

  test('write of an absent update or delete takes no sequence for it', () => {
    const { store } = temporaryStore(makeStore)
    expect(store.write([])).toEqual({ lastSequence: 0 })
    expect(store.write([{ delete: 'no' }, { update: 'no', patch: {} }])).toEqual({ lastSequence: 0 })
    expect(store.write([{ delete: 'no' }, { put: { id: 'a' } }, { update: 'no', patch: {} }])).toEqual({
      lastSequence: 1,
    })
    expect([store.sequence, store.size]).toEqual([1, 1])
  })

  test.each([
    ['a bad put', { put: { id: 'x', embedding: [1] } }],
    ['a put that is not finite', { put: { id: 'x', embedding: new Float32Array([1, 2, Number.NaN]) } }],
    ['a bad patch', { update: 'a', patch: { id: 'x' } }],
    ['an update without patch', { update: 'a' }],
    ['a bad id', { delete: '' }],
    ['two operations in one', { put: { id: 'x' }, delete: 'a' }],
    ['an unknown operation', { remove: 'a' }],
    ['no object', null],
  ])('write with %s does nothing at all and tells its index', (_name, bad) => {
    const { store } = temporaryStore(makeStore)
    store.put({ id: 'a', content: 'kept' })
    const operations = [{ put: { id: 'b' } }, { delete: 'a' }, bad as unknown as Operation, { put: { id: 'c' } }]
    const error = expectUnchanged(store, () => failureOf(() => store.write(operations)))
    expect(error.details.index).toBe(2)
    expect(store.write([{ put: { id: 'next' } }])).toEqual({ lastSequence: 2 })
    expect([...store.entries()].map(({ id }) => id)).toEqual(['a', 'next'])
  })

  test('write takes thousands of operations at one moment', () => {
    const { store } = temporaryStore(makeStore)
    const operations = inputs(3000).map((memory): Operation => ({ put: memory }))
    expect(store.write(operations)).toEqual({ lastSequence: 3000 })
    expect([store.size, store.stats().batches]).toEqual([3000, 1])
    expect(store.get('m2999')?.content).toBe('text 2999')
  })
}
