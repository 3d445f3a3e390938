// Fills the hot tier three times over with memories of one kind and says what that took: bytes of heap and of array
// buffers after a collection of garbage, what the tier counted, and its budget. Run with --expose-gc, alone.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTiered } from 'thermocline'

const kinds = {
  usual: (at) => ({
    embedding: new Float32Array(384).fill(at),
    content: `${at} `.padEnd(500, 'word '),
    metadata: { source: `chat-${at % 50}`, turn: at, pinned: at % 7 === 0 },
  }),
  bare: () => ({}),
  short: (at) => ({ content: `memory ${at}`, embedding: [at, 1] }),
  wide: (at) => ({ content: `${at} `.padEnd(300, '記憶の断片') }),
  nested: (at) => ({
    content: null,
    metadata: {
      tags: [`a${at}`, `b${at}`, 'c'],
      place: { lat: at / 7, lon: -at / 3, names: { en: `x${at}`, de: `y${at}` } },
      n: 2 ** 40 + at,
      ratio: at / 11,
    },
  }),
  list: (at) => ({ metadata: { values: Array.from({ length: 40 }, (_, i) => at + i / 3) } }),
  keys: (at) => ({
    metadata: Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`key-${(at * 5 + i) % 97}`, i])),
  }),
  long: (at) => ({ content: `${at} `.padEnd(20_000, 'lorem ipsum ') }),
}

const [kind, budget] = [process.argv[2], Number(process.argv[3])]
const make = kinds[kind]
const directory = mkdtempSync(join(tmpdir(), 'thermocline-hot-'))

function used() {
  for (let turn = 0; turn < 4; turn++) globalThis.gc()
  const { heapUsed, external } = process.memoryUsage() // external: array buffers too
  return heapUsed + external
}

const options = { dimensions: make(0).embedding?.length ?? 2, durability: 'none', mover: false }
const writer = openTiered(directory, { ...options, hot: { bytes: 0 } })
let count = 0
const batch = []
for (let bytes = 0; bytes < 3 * budget; count++) {
  const memory = { id: `memory-${count}`, activation: 1, ...make(count) }
  batch.push(memory)
  if (batch.length === 1000) writer.putMany(batch.splice(0))
  bytes +=
    300 +
    (memory.embedding?.length ?? 0) * 4 +
    (memory.content?.length ?? 0) +
    JSON.stringify(memory.metadata ?? {}).length
}
writer.putMany(batch)
const store = openTiered(directory, { ...options, hot: { bytes: budget } })
const readAll = (from) => {
  for (let at = 0; at < count; at++) from.get(`memory-${at}`)
}
readAll(writer) // compiled code and what is made at first need
store.get('memory-0')
const before = used()
let most = 0
for (let at = 0; at < count; at++) {
  store.get(`memory-${at}`)
  if (at % Math.ceil(count / 5) === 0) most = Math.max(most, used() - before)
}
// Long histories, as after many accesses.
for (let turn = 0; turn < 10; turn++)
  for (let at = count - 200; at < count; at++) store.touch(`memory-${Math.max(0, at)}`)
most = Math.max(most, used() - before)
const { bytes, memories } = store.stats().tiers.hot
console.log(JSON.stringify({ kind, budget, counted: bytes, grown: most, memories, stored: count }))
store.close()
writer.close()
rmSync(directory, { recursive: true })
