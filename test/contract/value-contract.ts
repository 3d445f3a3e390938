// Which ids, contents, metadata, embeddings and numbers are taken, and that they come back as they were given.

import fc from 'fast-check'
import type { JsonObject, JsonValue, MemoryInput, Store } from 'thermocline'
import { expect, test } from 'vitest'
import { expectMisuse, expectUnchanged } from '../support/failures.js'
import { type StoreMaker, temporaryStore } from '../support/temporary.js'

const seed = 0x51ab
const idBytesMax = 511
const contentBytesMax = 64 * 1024 * 1024
const metadataBytesMax = 16 * 1024 * 1024
const depthMax = 200

/** Equal as JSON values: own keys in any order, `-0` other than `0`. */
function sameJson(a: JsonValue, b: JsonValue): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return Object.is(a, b)
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(
    (key) => Object.hasOwn(b, key) && sameJson((a as JsonObject)[key] ?? null, (b as JsonObject)[key] ?? null),
  )
}

function rejectsAll(store: Store, inputs: unknown[], kind: typeof TypeError | typeof RangeError, code: string): void {
  expectUnchanged(store, () => {
    for (const input of inputs) expectMisuse(() => store.put(input as MemoryInput), kind, code)
  })
}

export function valueContract(makeStore: StoreMaker): void {
  test('ids have 1 to 511 bytes of UTF-8, whatever the characters', () => {
    const { store } = temporaryStore(makeStore)
    for (const character of ['a', 'é', '水', '🌊']) {
      const bytes = Buffer.byteLength(character)
      const longest = character.repeat(Math.floor(idBytesMax / bytes)) + 'a'.repeat(idBytesMax % bytes)
      expect(Buffer.byteLength(longest)).toBe(idBytesMax)
      for (const id of [character, longest]) {
        store.put({ id, content: id })
        expect(store.get(id)).toMatchObject({ id, content: id })
      }
      const tooLong = character + longest
      rejectsAll(store, [{ id: tooLong }, { id: `${longest}a` }, { id: '' }], RangeError, 'KEY_SIZE')
      for (const read of ['get', 'view', 'has', 'locate', 'delete', 'touch'] as const) {
        expectMisuse(() => store[read](tooLong), RangeError, 'KEY_SIZE')
        expectMisuse(() => store[read](''), RangeError, 'KEY_SIZE')
      }
    }
    expect([...store.entries()]).toHaveLength(8)
  })

  test('a lone surrogate is an error in an id and in a content', () => {
    const { store } = temporaryStore(makeStore)
    const broken = ['\ud800', 'a\udfff', '\ud83c', 'x\ud83cx', '\udf0a\ud83c', `${'long '.repeat(5000)}\ud800`]
    rejectsAll(
      store,
      broken.map((content) => ({ id: 'a', content })),
      TypeError,
      'ARGUMENT',
    )
    rejectsAll(
      store,
      broken.slice(0, 5).map((id) => ({ id })),
      TypeError,
      'ARGUMENT',
    )
    for (const id of broken.slice(0, 5)) expectMisuse(() => store.get(id), TypeError, 'ARGUMENT')
  })

  test('ids that look alike are different memories', () => {
    const { store } = temporaryStore(makeStore)
    const ids = [
      'a',
      'A',
      'a\0',
      'a\0\0',
      '\0',
      ' a',
      'a ',
      '\u00e9',
      'e\u0301',
      '\ufeffa',
      '__proto__',
      'constructor',
      '1',
      '01',
    ]
    store.putMany(ids.map((id) => ({ id, content: `of ${JSON.stringify(id)}` })))
    expect(store.size).toBe(ids.length)
    for (const id of ids) expect(store.get(id)).toMatchObject({ id, content: `of ${JSON.stringify(id)}` })
  })

  test(`any well-formed id and content comes back (seed ${seed})`, () => {
    const { store } = temporaryStore(makeStore)
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.string())
    const id = text.filter((value) => value !== '' && Buffer.byteLength(value) <= idBytesMax)
    fc.assert(
      fc.property(id, text, (anId, content) => {
        store.put({ id: anId, content })
        const memory = store.get(anId)
        expect([memory?.id, memory?.content, store.view(anId)?.content]).toEqual([anId, content, content])
      }),
      { seed, numRuns: 400 },
    )
    expect(new Map([...store.entries()].map((memory) => [memory.id, 1])).size).toBe(store.size)
  })

  test('content null and content empty are different, also after an update and after opening again', () => {
    const { store, again } = temporaryStore(makeStore)
    store.put({ id: 'none', content: null })
    store.put({ id: 'empty', content: '' })
    store.put({ id: 'to none', content: 'x' })
    store.put({ id: 'to empty', content: 'x' })
    store.update('to none', { content: null })
    store.update('to empty', { content: '' })
    store.close()
    const reopened = again()
    const contents = ['none', 'empty', 'to none', 'to empty'].map((id) => reopened.get(id)?.content)
    expect(contents).toEqual([null, '', null, ''])
  })

  test('content may have 64 MiB of UTF-8, and not one byte more', () => {
    const { store } = temporaryStore(makeStore)
    const most = 'x'.repeat(contentBytesMax)
    store.put({ id: 'ascii', content: most })
    expect(store.get('ascii')?.content === most).toBe(true)
    store.delete('ascii')
    const wide = 'é'.repeat(contentBytesMax / 2)
    rejectsAll(
      store,
      [
        { id: 'a', content: `${most}x` },
        { id: 'a', content: `${wide}x` },
      ],
      RangeError,
      'TOO_LARGE',
    )
    store.put({ id: 'a', content: 'small' })
    expectUnchanged(store, () =>
      expectMisuse(() => store.update('a', { content: `${wide}x` }), RangeError, 'TOO_LARGE'),
    )
    expect(store.update('a', { content: wide })).toBe(true)
    expect(store.get('a')?.content === wide).toBe(true)
  })

  test('metadata may have 16 MiB of JSON, and not one byte more', () => {
    const { store } = temporaryStore(makeStore)
    const room = metadataBytesMax - Buffer.byteLength('{"k":""}')
    store.put({ id: 'a', metadata: { k: 'x'.repeat(room) } })
    expect(store.get('a')?.metadata.k).toHaveLength(room)
    const tooLarge = [{ k: 'x'.repeat(room + 1) }, { k: 'é'.repeat(room / 2 + 1) }, { k: '\0'.repeat(room / 6 + 1) }]
    rejectsAll(
      store,
      tooLarge.map((metadata) => ({ id: 'b', metadata })),
      RangeError,
      'TOO_LARGE',
    )
  })

  test(`any JSON object comes back as metadata (seed ${seed})`, () => {
    const { store, again } = temporaryStore(makeStore)
    const object = fc
      .jsonValue({ maxDepth: 5, stringUnit: 'binary' })
      .map((value): JsonObject => ({ value: value as JsonValue }))
    const keyed = fc.dictionary(fc.oneof(fc.string({ unit: 'binary' }), fc.constant('__proto__')), fc.jsonValue(), {
      noNullPrototype: true,
    })
    const kept: JsonObject[] = []
    fc.assert(
      fc.property(fc.oneof(object, keyed as fc.Arbitrary<JsonObject>), (metadata) => {
        store.put({ id: `m${kept.length}`, metadata })
        expect(sameJson(store.get(`m${kept.length}`)?.metadata ?? {}, metadata)).toBe(true)
        kept.push(metadata)
      }),
      { seed, numRuns: 400 },
    )
    store.close()
    const reopened = again()
    kept.forEach((metadata, index) => {
      expect(sameJson(reopened.view(`m${index}`)?.metadata ?? {}, metadata)).toBe(true)
    })
  })

  test('an own __proto__ key is data: it comes back as a key and reaches no prototype', () => {
    const { store } = temporaryStore(makeStore)
    const metadata = JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}')
    store.put({ id: 'a', metadata })
    const read = store.get('a')?.metadata ?? {}
    expect(Object.keys(read)).toEqual(['__proto__', 'constructor'])
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })

  test('metadata is kept at 200 levels and refused at 201', () => {
    const { store } = temporaryStore(makeStore)
    const nested = (levels: number): JsonObject => {
      let value: JsonObject = { leaf: 1 }
      for (let level = 1; level < levels; level++) value = level % 2 === 0 ? { value } : { list: [value] }
      return value
    }
    const levels = (value: JsonValue): number =>
      typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(levels)) : 0
    let deepest = nested(1)
    while (levels(deepest) < depthMax) deepest = { deepest }
    store.put({ id: 'a', metadata: deepest })
    expect(levels(store.get('a')?.metadata ?? {})).toBe(depthMax)
    store.put({ id: 'b', metadata: nested(100) })
    expect(sameJson(store.get('b')?.metadata ?? {}, nested(100))).toBe(true)
    rejectsAll(store, [{ id: 'c', metadata: { deepest } }], RangeError, 'ARGUMENT')
  })

  test('metadata that is not a plain object of JSON values is a TypeError, a number not finite a RangeError', () => {
    const { store } = temporaryStore(makeStore)
    const cyclic: Record<string, unknown> = {}
    cyclic.self = { cyclic }
    const inside = [
      undefined,
      () => 1,
      Symbol('s'),
      1n,
      new Date(0),
      new Map(),
      new Float32Array(1),
      Buffer.from('a'),
      new (class X {})(),
    ]
    const outside = [null, [], 'text', 1, true, new Date(0), new Map(), new (class X {})()]
    const metadata = [...inside.flatMap((value) => [{ value }, { list: [value] }]), ...outside, cyclic]
    rejectsAll(
      store,
      metadata.map((value) => ({ id: 'a', metadata: value })),
      TypeError,
      'ARGUMENT',
    )
    const numbers = [Number.NaN, Infinity, -Infinity].flatMap((value) => [{ value }, { a: [1, { value }] }])
    rejectsAll(
      store,
      numbers.map((value) => ({ id: 'a', metadata: value })),
      RangeError,
      'ARGUMENT',
    )
    store.put({ id: 'a', metadata: Object.assign(Object.create(null), { ok: 1, zero: -0, toJSON: 'no method' }) })
    expect(store.get('a')?.metadata).toStrictEqual({ ok: 1, zero: -0, toJSON: 'no method' })
  })

  test('an embedding is kept bit for bit, as a Float32Array and as an array of numbers', () => {
    const { store } = temporaryStore(makeStore, { dimensions: 8 })
    const values = [-0, 1e-45, 3.4028234663852886e38, -3.4028234663852886e38, 1 / 3, 1.17549435e-38, 0, -1]
    store.put({ id: 'floats', embedding: new Float32Array(values) })
    store.put({ id: 'numbers', embedding: values })
    store.put({ id: 'offset', embedding: new Float32Array([7, ...values, 7]).subarray(1, 9) })
    for (const id of ['floats', 'numbers', 'offset']) {
      expect(store.get(id)?.embedding).toStrictEqual(new Float32Array(values))
      expect(new Float32Array(store.view(id)?.embedding ?? [])).toStrictEqual(new Float32Array(values))
    }
  })

  test('numbers are checked: confidence in 0..1, activation and recallCount not negative, times finite', () => {
    const { store } = temporaryStore(makeStore)
    const numbers = ['confidence', 'createdAt', 'activation', 'lastAccess', 'recallCount']
    const given = (key: string, values: unknown[]) => values.map((value) => ({ id: 'a', [key]: value }))
    const strange = ['1', null, true, 1n, {}, [1], new Date(), () => 1]
    rejectsAll(
      store,
      numbers.flatMap((key) => given(key, strange)),
      TypeError,
      'ARGUMENT',
    )
    rejectsAll(
      store,
      numbers.flatMap((key) => given(key, [Number.NaN, Infinity, -Infinity])),
      RangeError,
      'ARGUMENT',
    )
    const outside = [
      ...given('confidence', [-0.1, 1.0001]),
      ...given('activation', [-1]),
      ...given('recallCount', [-1, 0.5, 2 ** 53]),
    ]
    rejectsAll(store, outside, RangeError, 'ARGUMENT')
    const edges = {
      confidence: 0,
      createdAt: -1e300,
      activation: 1e300,
      lastAccess: 0.5,
      recallCount: Number.MAX_SAFE_INTEGER,
    }
    store.put({ id: 'a', ...edges })
    expect(store.get('a')).toMatchObject(edges)
  })
}
