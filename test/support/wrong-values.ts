// Values that are wrong for an argument, by what the argument is: for the matrix of misuse.

class Instance {
  id = 'a'
}

/** Wrong wherever a string, an object, an array, a number or an iterable of such is wanted. */
export const strange: unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  Number.NaN,
  Infinity,
  10n,
  Symbol('s'),
  () => 'a',
  class {},
  new Date(0),
  /a/,
  new Map(),
  new Set(['a']),
  new WeakMap(),
  Promise.resolve('a'),
  new Error('e'),
  new ArrayBuffer(12),
  new SharedArrayBuffer(12),
  new DataView(new ArrayBuffer(12)),
  new Uint8Array(3),
  new Float64Array(3),
  new BigInt64Array(3),
  Buffer.from('abc'),
  Object('a'),
  Object(1),
  new Proxy({}, {}),
  new Proxy([], {}),
  new Proxy(new Float32Array(3), {}),
  Object.create(null),
  Object.create(Float32Array.prototype),
  { length: 3, 0: 1, 1: 2, 2: 3 },
  { valueOf: () => 'a', toString: () => 'a' },
  { foo: 1 },
  [[]],
  ['a', 'b', 'c'],
  [1, 2],
  [undefined, undefined, undefined],
  Array(3),
  new Float32Array(2),
  new Float32Array(4),
  new Float32Array([1, Number.NaN, 3]),
  'a'.repeat(512),
  '',
  '\ud800',
]
export const notIterable = strange.filter((value) => !(Object(value) as Iterable<unknown>)[Symbol.iterator])
export const badOptions = [...strange.filter((value) => value === null || typeof value !== 'object'), { foo: 1 }, [1]]
export const badIds = [
  undefined,
  ...strange.filter((value) => typeof value !== 'string'),
  '',
  '\ud800',
  'a'.repeat(512),
]
export const badQueries = [undefined, ...strange]
const fields = [
  'embedding',
  'content',
  'metadata',
  'confidence',
  'createdAt',
  'activation',
  'lastAccess',
  'recallCount',
]
export const badNumbers = [...strange.filter((value) => typeof value !== 'number'), Number.NaN, Infinity, -Infinity]
const badFields = new Map<string, unknown[]>([
  ['embedding', strange.filter((value) => value !== null)],
  ['content', ['\udc00', ...strange.filter((value) => value !== null && typeof value !== 'string')]],
  [
    'metadata',
    [
      null,
      1,
      'a',
      true,
      [],
      new Date(0),
      new Map(),
      new Instance(),
      { a: undefined },
      { a: 1n },
      { a: Number.NaN },
      { a: new Map() },
    ],
  ],
  ...fields.slice(3).map((key): [string, unknown[]] => [key, badNumbers]),
])
export const badMemories = [
  undefined,
  ...strange,
  ...badIds.map((id) => ({ id })),
  ...[...badFields].flatMap(([key, values]) => values.map((value) => ({ id: 'a', [key]: value }))),
  { id: 'a', unknown: 1 },
]
export const badPatches = [
  undefined,
  ...strange.filter((value) => value === null || typeof value !== 'object'),
  { id: 'a' },
  { embedding: null },
  ...['content', 'metadata', 'confidence'].flatMap(
    (key) => badFields.get(key)?.map((value) => ({ [key]: value })) ?? [],
  ),
]
export const badOperations = [
  ...badMemories.map((put) => ({ put })),
  ...badPatches.slice(0, 40).map((patch) => ({ update: 'a', patch })),
  ...badIds.map((id) => ({ delete: id })),
  {},
  { put: { id: 'a' }, x: 1 },
]
export const withKey = (key: string, values: unknown[]) =>
  values.filter((value) => value !== undefined).map((value) => ({ [key]: value }))
export const badConditions = [...badOptions, ...withKey('ifSequence', [...badNumbers, -1, 0.5])]
export const notBoolean = strange.filter((value) => typeof value !== 'boolean')
export const badSince = withKey('since', [...badNumbers, -1, 0.5, 2 ** 53])
export const badSearch = [
  ...badOptions,
  ...withKey('limit', [...badNumbers, 0, -1, 1.5]),
  ...withKey('minScore', badNumbers),
  ...withKey('exact', notBoolean),
  ...withKey('signal', strange),
]
