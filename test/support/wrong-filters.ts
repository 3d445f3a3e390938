// What is no filter, by what is wrong about it: for the contract and for the matrix of misuse.

import { strange } from './wrong-values.js'

class Instance {
  eq = 1
}

const notPlain: unknown[] = [...strange.filter((value) => !isPlain(value)), new Instance(), Object.create({ eq: 1 })]
const isScalar = (value: unknown): boolean => value === null || ['string', 'number', 'boolean'].includes(typeof value)
const notScalar: unknown[] = [...strange.filter((value) => !isScalar(value)), undefined]

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Each a TypeError. */
export const badFilters: unknown[] = [
  ...notPlain,
  { unknown: 1 },
  { foo: undefined },
  { Metadata: {} },
  { $and: [] },
  ...notPlain.map((metadata) => ({ metadata })),
  // At a path a scalar is right, so is an object without keys.
  ...notPlain.filter((value) => !isScalar(value)).map((condition) => ({ metadata: { a: condition } })),
  { metadata: { a: undefined } },
  { metadata: { a: { $eq: 1 } } },
  { metadata: { a: { b: 1 } } },
  { metadata: { a: ['x'] } },
  ...['createdAt', 'lastAccess', 'confidence', 'id'].flatMap((key) => [
    ...notPlain.map((condition) => ({ [key]: condition })),
    { [key]: { like: 'x' } },
    { [key]: { a: { eq: 1 } } },
  ]),
  ...['eq', 'ne', 'gt', 'gte', 'lt', 'lte'].flatMap((key) =>
    notScalar.filter((value) => value !== undefined).map((value) => ({ metadata: { a: { [key]: value } } })),
  ),
  ...strange.filter((value) => !Array.isArray(value)).map((value) => ({ id: { in: value } })),
  ...notScalar.map((value) => ({ id: { in: ['a', value] } })),
  { id: { in: Array(2) } },
  ...strange.filter((value) => typeof value !== 'boolean').map((exists) => ({ id: { exists } })),
  ...strange.filter((value) => typeof value !== 'string').map((prefix) => ({ id: { prefix } })),
  ...['and', 'or'].flatMap((key) => [
    ...strange.filter((value) => !Array.isArray(value)).map((value) => ({ [key]: value })),
    ...[undefined, ...notPlain].map((value) => ({ [key]: [{}, value] })),
    { [key]: Array(2) },
  ]),
  ...notPlain.map((not) => ({ not })),
  { and: [{ or: [{ not: { unknown: 1 } }] }] },
]

/** Each a RangeError. */
export function boundlessFilters(): unknown[] {
  const notFinite = [Number.NaN, Infinity, -Infinity]
  const cyclic: Record<string, unknown> = {}
  cyclic.not = cyclic
  let doubling: unknown = {}
  for (let level = 0; level < 60; level++) doubling = { and: [doubling, doubling] }
  let deep: unknown = {}
  for (let level = 0; level < 100; level++) deep = level % 2 === 0 ? { or: [deep] } : { not: deep }
  const conditions = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`k${at}`, 1]))
  return [
    ...notFinite.map((value) => ({ metadata: { a: value } })),
    ...['eq', 'ne', 'gt', 'gte', 'lt', 'lte'].flatMap((key) =>
      notFinite.map((value) => ({ createdAt: { [key]: value } })),
    ),
    ...notFinite.map((value) => ({ confidence: { in: [0, value] } })),
    cyclic,
    doubling,
    deep,
    { metadata: conditions },
    { and: Array.from({ length: 1000 }, () => ({})) },
    { id: { in: Array.from({ length: 17 }, () => 'x'.repeat(2 ** 20)) } },
    { id: { prefix: 'x'.repeat(2 ** 24) } },
    // Longer than any string may be.
    { id: { in: Array.from({ length: 8 }, () => 'x'.repeat(2 ** 27)) } },
    { id: { prefix: '\u20ac'.repeat(6_000_000) } },
  ]
}
