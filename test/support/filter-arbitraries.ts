// What fast-check draws for tests of filters: metadata and filters over the same few keys and values, so that they
// meet; among them whatever JSON, UTF-8 and doubles make difficult.

import fc from 'fast-check'
import type { Condition, Filter, JsonObject, JsonValue, Scalar } from 'thermocline'

const plainKeys = fc.constantFrom('a', 'b', 'c')
const oddKeys = fc.constantFrom(
  ...[
    'a.b',
    'b.c',
    'a.',
    '.',
    '',
    'ab',
    '0',
    '__proto__',
    'constructor',
    'toString',
    'ü',
    '🌊',
    '\ud800',
    '"',
    '\\',
    '\n',
  ],
)
const numbers = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(-1, -0, 0, 1, 2) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(0.1, 0.30000000000000004, 1e21, -1e-7, 5e-324, 2 ** 53 - 1, 2 ** 53, Number.MAX_VALUE),
  },
  { weight: 1, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
)
const texts = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('', 'a', 'ab', 'b', '1') },
  // Both sides of where code units and code points differ, half a pair, and what JSON escapes.
  {
    weight: 2,
    arbitrary: fc.constantFrom('é', '\uff5e', '\ud83d', '\u{1f600}', 'a\u{1f600}', '"\\/\n\u0000', '\u2028'),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
)
const scalars: fc.Arbitrary<Scalar> = fc.oneof(
  { weight: 5, arbitrary: numbers },
  { weight: 4, arbitrary: texts },
  { weight: 1, arbitrary: fc.boolean() },
  { weight: 1, arbitrary: fc.constant(null) },
)

/** Own members of both, `__proto__` as any other. */
const merge = (one: JsonObject, other: JsonObject): JsonObject => ({ ...one, ...other })

const { object: objects } = fc.letrec<{ value: JsonValue; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    { weight: 4, arbitrary: scalars },
    { weight: 2, arbitrary: fc.array(tie('value'), { maxLength: 3 }) },
    { weight: 3, arbitrary: tie('object') },
  ),
  object: fc
    .tuple(
      fc.record(
        { a: tie('value'), b: tie('value'), c: tie('value') },
        { requiredKeys: [] },
      ) as fc.Arbitrary<JsonObject>,
      fc.dictionary(oddKeys, tie('value'), { maxKeys: 2, noNullPrototype: true }),
    )
    .map(([plain, odd]) => merge(plain, odd)),
}))

/** Metadata that `put` takes. */
export const metadata = objects

const paths = fc.oneof(
  { weight: 4, arbitrary: plainKeys },
  { weight: 4, arbitrary: fc.tuple(plainKeys, plainKeys).map(([a, b]) => `${a}.${b}`) },
  { weight: 1, arbitrary: oddKeys },
  { weight: 1, arbitrary: fc.tuple(oddKeys, plainKeys).map(([a, b]) => `${a}.${b}`) },
  { weight: 1, arbitrary: fc.array(plainKeys, { minLength: 3, maxLength: 4 }).map((parts) => parts.join('.')) },
)

function conditions(operands: fc.Arbitrary<Scalar>): fc.Arbitrary<Condition> {
  const parts = {
    eq: operands,
    ne: operands,
    in: fc.array(operands, { maxLength: 6 }),
    gt: operands,
    gte: operands,
    lt: operands,
    lte: operands,
    exists: fc.boolean(),
    prefix: texts,
  }
  const one = fc.constantFrom(...(Object.keys(parts) as (keyof typeof parts)[]))
  return fc.oneof(
    { weight: 8, arbitrary: one.chain((key) => parts[key].map((value) => ({ [key]: value }) as Condition)) },
    { weight: 2, arbitrary: fc.tuple(operands, operands).map(([gte, lte]) => ({ gte, lte })) },
    { weight: 1, arbitrary: fc.record(parts, { requiredKeys: [] }) },
  )
}

/** Mostly operands of the kind that the field has. */
const mostly = (operands: fc.Arbitrary<Scalar>): fc.Arbitrary<Condition> =>
  conditions(fc.oneof({ weight: 9, arbitrary: operands }, { weight: 1, arbitrary: scalars }))

/** `ids`: those of the memories. */
export function filters(ids: readonly string[]): fc.Arbitrary<Filter> {
  const times = fc.integer({ min: 0, max: 20 })
  const onPath = fc.oneof(scalars, conditions(scalars), conditions(scalars))
  const leaf: fc.Arbitrary<Filter> = fc.oneof(
    { weight: 10, arbitrary: fc.record({ metadata: fc.dictionary(paths, onPath, { minKeys: 1, maxKeys: 1 }) }) },
    { weight: 1, arbitrary: fc.record({ createdAt: mostly(times) }) },
    { weight: 1, arbitrary: fc.record({ lastAccess: mostly(times) }) },
    { weight: 1, arbitrary: fc.record({ confidence: mostly(fc.constantFrom(0, 0.25, 0.5, 1)) }) },
    { weight: 2, arbitrary: fc.record({ id: mostly(fc.constantFrom(...ids)) }) },
  )
  return fc.letrec<{ filter: Filter }>((tie) => {
    const list = fc.array(tie('filter'), { maxLength: 3 })
    return {
      filter: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        { weight: 4, arbitrary: leaf },
        { weight: 1, arbitrary: fc.record({ and: list }) },
        { weight: 2, arbitrary: fc.record({ or: list }) },
        { weight: 2, arbitrary: fc.record({ not: tie('filter') }) },
        // Parts side by side, which must all hold.
        { weight: 1, arbitrary: fc.tuple(leaf, leaf, leaf).map(([one, two, three]) => ({ ...one, ...two, ...three })) },
        { weight: 1, arbitrary: fc.tuple(leaf, tie('filter')).map(([one, not]) => ({ ...one, not })) },
        {
          weight: 1,
          arbitrary: fc.record(
            { metadata: fc.dictionary(paths, onPath, { maxKeys: 3 }), or: list, and: list },
            {
              requiredKeys: [],
            },
          ),
        },
      ),
    }
  }).filter
}
