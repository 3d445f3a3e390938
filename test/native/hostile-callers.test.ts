// Goal: code of the caller that runs inside a call does no harm, whatever it does. Method: accessors, proxies and
// iterators that throw, write, close or pull buffers away, at every place where the store runs such code.

import { type MemoryInput, open, type Store } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, expectMisuse, expectUnchanged } from '../support/failures.js'
import { temporaryStore } from '../support/temporary.js'

const dimensions = 4
const own = new Error('mine')

function makeStore(): Store {
  const { store } = temporaryStore(open, { dimensions })
  store.put({ id: 'a', embedding: [1, 2, 3, 4], content: 'kept' })
  return store
}

const throwing = (key: string): never =>
  Object.defineProperty({ id: 'x' }, key, {
    enumerable: true,
    get() {
      throw own
    },
  }) as never

/** Every trap throws. */
const trapped = (target: object): never =>
  new Proxy(
    target,
    new Proxy(
      {},
      {
        get: () => () => {
          throw own
        },
      },
    ),
  ) as never

test('what an accessor throws comes through as it is, and nothing was done', async () => {
  const store = makeStore()
  const keys = [
    'id',
    'embedding',
    'content',
    'metadata',
    'confidence',
    'createdAt',
    'activation',
    'lastAccess',
    'recallCount',
  ]
  expectUnchanged(store, () => {
    for (const key of keys) {
      expect(() => store.put(throwing(key))).toThrow(own)
      expect(() => store.putMany([{ id: 'b' }, throwing(key)])).toThrow(own)
      expect(() => store.write([{ put: { id: 'b' } }, { put: throwing(key) }])).toThrow(own)
    }
    for (const key of ['content', 'metadata', 'confidence']) {
      const { id: _id, ...patch } = Object.getOwnPropertyDescriptors(throwing(key) as object) as Record<
        string,
        PropertyDescriptor
      >
      expect(() => store.update('a', Object.defineProperties({}, patch))).toThrow(own)
    }
    for (const metadata of [throwing('k'), { deep: throwing('k') }, { list: [throwing('k')] }]) {
      expect(() => store.put({ id: 'b', metadata })).toThrow(own)
    }
    expect(() => store.put({ id: 'b' }, throwing('ifSequence'))).toThrow()
    expect(() => store.searchSync([1, 2, 3, 4], throwing('limit'))).toThrow()
    expect(() => store.entries(throwing('since'))).toThrow()
  })
  await expect(store.search([1, 2, 3, 4], trapped({}))).rejects.toBe(own)
})

test('a proxy whose traps throw lets its error through; a revoked one a TypeError', () => {
  const store = makeStore()
  const revoked = Proxy.revocable({}, {})
  revoked.revoke()
  expectUnchanged(store, () => {
    for (const call of [
      () => store.put(trapped({})),
      () => store.putMany(trapped([])),
      () => store.getMany(trapped([])),
      () => store.update('a', trapped({})),
      () => store.write([{ put: trapped({}) }]),
      () => store.put({ id: 'b', metadata: trapped({}) }),
      () => store.put({ id: 'b', embedding: trapped([1, 2, 3, 4]) }),
      () => store.searchSync(trapped([1, 2, 3, 4])),
      () => store.delete('a', trapped({})),
      () => open('never', trapped({})),
    ]) {
      expect(call).toThrow(own)
    }
    for (const call of [
      () => store.put(revoked.proxy as MemoryInput),
      () => store.put({ id: 'b', metadata: revoked.proxy }),
    ]) {
      expect(call).toThrow(TypeError)
    }
  })
})

test('a proxy that lies about its length or elements is checked by what it gives', () => {
  const store = makeStore()
  const lying = (length: unknown, element: unknown) =>
    new Proxy([1, 2, 3, 4], {
      get: (target, key) =>
        key === 'length' ? length : typeof key === 'string' && key in target ? element : Reflect.get(target, key),
    })
  expectUnchanged(store, () => {
    expectMisuse(() => store.put({ id: 'b', embedding: lying(2 ** 32, 1) }), RangeError, 'DIMENSION')
    expectMisuse(() => store.put({ id: 'b', embedding: lying('4', 1) }), RangeError, 'DIMENSION')
    expectMisuse(() => store.put({ id: 'b', embedding: lying(4, '1') }), TypeError, 'ARGUMENT')
    expectMisuse(() => store.put({ id: 'b', embedding: lying(4, 1e300) }), RangeError, 'NOT_FINITE')
  })
  store.put({ id: 'b', embedding: lying(4, 7) })
  expect([...(store.get('b')?.embedding ?? [])]).toEqual([7, 7, 7, 7])
})

test('an accessor that uses the same store in the middle of a call mixes nothing up', () => {
  const store = makeStore()
  const nested = (level: number): MemoryInput => ({
    id: `level ${level}`,
    embedding: new Float32Array(dimensions).fill(level),
    content: `content ${level}`,
    get metadata() {
      store.get('a')
      store.update('a', { content: `seen by ${level}` })
      if (level < 6) store.put(nested(level + 1))
      store.searchSync([1, 1, 1, 1])
      return { level }
    },
    confidence: level / 10,
  })
  store.put(nested(1))
  store.write([{ put: nested(4) }])
  store.putMany([nested(5)])
  for (let level = 1; level <= 6; level++) {
    expect(store.get(`level ${level}`)).toMatchObject({
      embedding: new Float32Array(dimensions).fill(level),
      content: `content ${level}`,
      metadata: { level },
      confidence: level / 10,
    })
  }
})

test('a store closed by an accessor, an iterator or a trap in the middle of a call throws CLOSED', () => {
  const closers: ((store: Store, close: () => void) => unknown)[] = [
    (store, close) =>
      store.put({
        id: 'x',
        get content() {
          close()
          return 'c'
        },
      }),
    (store, close) =>
      store.putMany(
        (function* () {
          yield { id: 'x' }
          close()
          yield { id: 'y' }
        })(),
      ),
    (store, close) =>
      store.write([
        {
          put: {
            id: 'x',
            get metadata() {
              close()
              return {}
            },
          },
        },
      ]),
    (store, close) =>
      store.update('a', {
        get content() {
          close()
          return 'c'
        },
      }),
    (store, close) =>
      store.getMany(
        (function* () {
          yield 'a'
          close()
          yield 'a'
        })(),
      ),
    (store, close) =>
      store.delete('a', {
        get ifSequence() {
          close()
          return 1
        },
      }),
    (store, close) =>
      store.touch('a', {
        get activation() {
          close()
          return 1
        },
      }),
    (store, close) =>
      store.entries({
        get since() {
          close()
          return 0
        },
      }),
    (store, close) =>
      store.searchSync(
        new Proxy([1, 2, 3, 4], {
          get(target, key) {
            close()
            return Reflect.get(target, key)
          },
        }),
      ),
    (store, close) =>
      store.searchSync([1, 2, 3, 4], {
        get limit() {
          close()
          return 1
        },
      }),
  ]
  for (const call of closers) {
    const { store, again } = temporaryStore(open, { dimensions })
    store.put({ id: 'a', content: 'kept' })
    expect([call.toString(), codeOf(() => call(store, () => store.close()))]).toEqual([call.toString(), 'CLOSED'])
    const reopened = again()
    expect([...reopened.entries()].map(({ id, content }) => [id, content])).toEqual([['a', 'kept']])
  }
})

test('an extended Object.prototype changes nothing', () => {
  const store = makeStore()
  const prototype = Object.prototype as unknown as Record<string, unknown>
  prototype.polluted = 'x'
  onTestFinished(() => void delete prototype.polluted)
  store.put({ id: 'b', metadata: { k: 1 } }, {})
  store.update('b', { content: 'x' })
  delete prototype.polluted
  expect(store.get('b')).toMatchObject({ content: 'x', metadata: { k: 1 } })
  expect(Object.keys(store.get('b')?.metadata ?? {})).toEqual(['k'])
})
