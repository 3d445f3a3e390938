// Goal: import after export gives equal memories, whatever they hold. Method: stores of odd and of generated memories
// go through both commands; embeddings are compared by their bits, lines by their bytes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'thermocline'
import { expect, test } from 'vitest'
import { randomFrom } from '../support/memories.mjs'
import { temporaryDirectory } from '../support/temporary.js'
import { loadModule, makeStore, memoriesIn, thermocline, useStore } from './support/command.js'

const { formatFloats } = loadModule<typeof import('../../src/cli/float-text.js')>('float-text')
const floatsTried = process.env.THERMOCLINE_NIGHTLY === '1' ? 100_000_000 : 1_000_000
const float32Max = 3.4028234663852886e38
const denormalMin = 1.401298464324817e-45

function bitsOf(floats: Float32Array): Uint32Array {
  return new Uint32Array(floats.slice().buffer)
}

function fromBits(bits: Uint32Array): Float32Array {
  return new Float32Array(bits.buffer, bits.byteOffset, bits.length)
}

const oddEmbeddings = [
  [0, -0, 1],
  [denormalMin, -denormalMin, 1.1754943508222875e-38],
  [float32Max, -float32Max, 1e9],
  [16777216, 16777217, 123456789],
  [0.1, 1 / 3, -2 / 3],
  [1e-7, 1e-13, 9.999999e-14],
  [0, 0, 0],
]
const oddTexts = [
  '',
  ' ',
  'line\nbreak\r\nand\ttab',
  '"quotes" and \\backslashes\\ and /slashes/',
  '\u0000\u0001\u001f\u007f\u0085\u2028\u2029',
  '\ufeffmark',
  'naïve 漢字 🧠 e\u0301 \u202ertl',
  '{"id":"not me"}',
  '__proto__',
  'x'.repeat(200_000),
]
const oddMetadata = [
  {},
  { '': '', ' ': ' ', 'a.b': 1, ключ: 'значение', '\n': '\u0000' },
  { zero: 0, minus: -0, big: 1.7976931348623157e308, small: 5e-324, safe: 9007199254740991 },
  { null: null, yes: true, no: false, list: [1, 'two', [3, [], {}], { four: null }] },
  JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'),
  { deep: JSON.parse(`${'['.repeat(190)}1${']'.repeat(190)}`) },
  { lone: '\ud800' },
]

/** Memories with each of the odd things, and others with none. */
function oddMemories() {
  return [
    ...oddEmbeddings.map((embedding, at) => ({ id: `embedding ${at}`, embedding: Float32Array.from(embedding) })),
    ...oddTexts.map((content, at) => ({ id: `content ${at}`, content })),
    ...oddTexts.filter((id) => id.length > 0 && id.length < 500).map((id) => ({ id })),
    ...oddMetadata.map((metadata, at) => ({ id: `metadata ${at}`, metadata })),
    { id: 'null content', content: null, embedding: null },
    { id: 'numbers', confidence: 0, createdAt: -1.5, activation: 0, lastAccess: 1e15, recallCount: 7 },
    { id: 'minus zeros', confidence: -0, createdAt: -0, activation: -0, lastAccess: -0 },
    { id: 'fractions', confidence: 0.1 + 0.2, createdAt: 1.1, activation: 1e-300, lastAccess: 1 / 3 },
  ]
}

function expectSameStores(left: string, right: string): void {
  const [memories, copies] = [memoriesIn(left), memoriesIn(right)]
  expect(copies.length).toBe(memories.length)
  for (const [at, memory] of memories.entries()) {
    const copy = copies[at]
    expect(copy).toStrictEqual(memory) // tells -0 from 0
    if (memory.embedding !== null) expect(bitsOf(copy?.embedding as Float32Array)).toEqual(bitsOf(memory.embedding))
  }
}

test('memories of odd contents come back equal, through a file and through pipes', () => {
  const scene = temporaryDirectory()
  const source = makeStore(join(scene, 'source'), oddMemories(), { dimensions: 3, metric: 'l2' })
  useStore(source, (store) => {
    store.touch('numbers', { activation: 0.25 })
    store.update('content 0', { content: null })
    store.delete('content 1')
    store.put({ id: 'content 2', content: 'written again, so last' })
  })
  const file = join(scene, 'memories.jsonl')
  expect(thermocline(['export', source, file]).code).toBe(0)
  expect(thermocline(['import', join(scene, 'first'), file, '--metric', 'l2']).code).toBe(0)
  expectSameStores(source, join(scene, 'first'))

  const piped = thermocline(['export', join(scene, 'first')])
  expect(piped.stderr).toBe('')
  const options = ['--dimensions', '3', '--metric', 'l2', '--json']
  const imported = thermocline(['import', join(scene, 'second'), '-', ...options], { input: piped.stdout })
  expect([imported.code, imported.stderr]).toEqual([0, ''])
  expectSameStores(source, join(scene, 'second'))
  expect(thermocline(['export', join(scene, 'second'), '-']).stdout).toBe(piped.stdout)
  expect(useStore(join(scene, 'second'), (store) => store.stats().metric)).toBe('l2')
})

test('each exported line is a MemoryInput and nothing else', () => {
  const source = makeStore(join(temporaryDirectory(), 'store'), oddMemories())
  const lines = thermocline(['export', source]).stdout.split('\n')
  expect(lines.pop()).toBe('')
  expect(lines.length).toBe(oddMemories().length)
  for (const line of lines) {
    expect(Object.keys(JSON.parse(line))).toEqual([
      'id',
      'embedding',
      'content',
      'metadata',
      'confidence',
      'createdAt',
      'activation',
      'lastAccess',
      'recallCount',
    ])
  }
})

test('get --json prints what import takes', () => {
  const scene = temporaryDirectory()
  const source = makeStore(join(scene, 'source'), [oddMemories()[0] ?? { id: '' }])
  const line = thermocline(['get', source, 'embedding 0', '--json']).stdout
  expect(thermocline(['import', join(scene, 'target')], { input: line }).code).toBe(0)
  expectSameStores(source, join(scene, 'target'))
})

test('an empty store exports nothing, and nothing makes an empty store where the dimensions are given', () => {
  const scene = temporaryDirectory()
  const source = makeStore(join(scene, 'source'), [])
  expect(thermocline(['export', source])).toEqual({ code: 0, stdout: '', stderr: '' })
  const imported = thermocline(['import', join(scene, 'target'), '--dimensions', '7', '--json'])
  expect([imported.code, imported.stdout]).toEqual([0, '{"written":0,"lines":0,"sequence":0}\n'])
  expect(useStore(join(scene, 'target'), (store) => store.stats().dimensions)).toBe(7)
})

/** Floats of every exponent, and those that people write. */
function someFloats(random: () => number, count: number): Float32Array {
  const bits = Uint32Array.from({ length: count }, () => Math.floor(random() * 2 ** 32))
  const exponentMask = 0x7f800000
  const floats = fromBits(bits)
  for (let at = 0; at < count; at++) {
    const word = bits[at] as number
    if ((word & exponentMask) === exponentMask) bits[at] = word & ~exponentMask // neither infinite nor NaN
    if (at % 4 === 1) floats[at] = (random() * 2 - 1) * 10 ** Math.floor(random() * 24 - 12)
    if (at % 4 === 2) floats[at] = Math.round((random() * 2 - 1) * 1e6) / 10 ** Math.floor(random() * 10)
    if (at % 4 === 3) floats[at] = Math.round((random() * 2 - 1) * 2 ** Math.floor(random() * 40))
  }
  return floats
}

/** How many digits the shortest decimal has that reads back to a float. */
function digitsOf(float: number): number {
  let digits = 1
  while (Math.fround(Number(float.toPrecision(digits))) !== float) digits += 1
  return digits
}

test(`${floatsTried.toLocaleString('en')} floats read back to the same bits`, () => {
  const seed = Number(process.env.THERMOCLINE_SEED ?? Math.floor(Math.random() * 2 ** 31))
  const random = randomFrom(seed)
  const count = 4096
  for (let tried = 0; tried < floatsTried; tried += count) {
    const floats = someFloats(random, count)
    const read = bitsOf(Float32Array.from(JSON.parse(formatFloats(floats)) as number[]))
    const bits = bitsOf(floats)
    const at = bits.findIndex((word, index) => word !== read[index])
    expect(at, `THERMOCLINE_SEED=${seed}: ${floats[at]} was written ${formatFloats(floats.slice(at, at + 1))}`).toBe(-1)
  }
})

test('floats of everyday magnitudes take no digit more than they need', () => {
  const seed = Number(process.env.THERMOCLINE_SEED ?? Math.floor(Math.random() * 2 ** 31))
  const random = randomFrom(seed)
  for (let at = 0; at < 20_000; at++) {
    const float = Math.fround((random() * 2 - 1) * 10 ** Math.floor(random() * 8 - 5))
    const text = formatFloats(Float32Array.of(float)).slice(1, -1)
    const digits = text.replace(/[-.]/g, '').replace(/^0+/, '').length
    expect(digits, `THERMOCLINE_SEED=${seed}: ${float} was written ${text}`).toBeLessThanOrEqual(
      Math.max(digitsOf(float), Math.trunc(Math.abs(float)).toString().length),
    )
  }
  expect(formatFloats(Float32Array.of(0.1, -0.5, 100, 1 / 3, -0, 1e6, 0.000123))).toBe(
    '[0.1,-0.5,100,0.33333334,-0,1000000,0.000123]',
  )
})

test('an embedding as long as any, and none at all, are written in one piece', () => {
  const floats = someFloats(randomFrom(1), 4096)
  const source = join(temporaryDirectory(), 'store')
  const store = open(source, { dimensions: 4096, durability: 'none' })
  store.put({ id: 'long', embedding: floats })
  store.close()
  const file = join(temporaryDirectory(), 'query.json')
  const json = thermocline(['get', source, 'long', '--json']).stdout
  expect(bitsOf(Float32Array.from((JSON.parse(json) as { embedding: number[] }).embedding))).toEqual(bitsOf(floats))
  writeFileSync(file, json)
  expect(formatFloats(new Float32Array(0))).toBe('[]')
})
