// A worker that writes until it is stopped or killed, with the oracle's log.
//
// Own ids (`w<worker>-<i>`) are written by one worker at a time: there every kind of write. Shared ids (`shared-<i>`)
// only by puts, whose sequence is returned: so each write's place in the commit order is known to the parent.

import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { hashOf, randomFrom, stampedMemory, stampedPatch } from '../../support/memories.mjs'
import { OracleLog } from './oracle-log.mjs'

const { directory, worker, words, dimensions, ownIds, sharedIds, durability } = workerData
const random = randomFrom(hashOf(`${workerData.seed} ${worker}`))
const below = (bound) => Math.floor(random() * bound)
const log = new OracleLog(`${workerData.logPrefix}-${worker}`)
const store = open(directory, { dimensions, durability })

/** Unique in the store. */
let number = workerData.numberBase + worker * workerData.numbersPerWorker
let worstMs = 0
let count = 0
const ownId = () => `w${worker}-${below(ownIds)}`
const sharedId = () => `shared-${below(sharedIds)}`
const memory = (id, stamp) => stampedMemory(id, stamp, dimensions)

/** Each makes [intent, action]; what the action returns is logged. */
const kinds = [
  [30, () => putOne(ownId())],
  [18, () => putOne(sharedId())],
  [16, () => updateOne(ownId())],
  [10, () => deleteOne(ownId())],
  [14, () => writeSome()],
  [8, () => putSome()],
]
const total = kinds.reduce((sum, [weight]) => sum + weight, 0)

function putOne(id) {
  const stamp = ++number
  return [{ kind: 'put', id, number: stamp }, () => store.put(memory(id, stamp))]
}

function updateOne(id) {
  const stamp = ++number
  // What the patch says of the last put is logged, and checked against the parent's own model.
  const base = store.get(id)?.metadata.base ?? 0
  return [{ kind: 'update', id, number: stamp, base }, () => store.update(id, stampedPatch(id, stamp, base))]
}

function deleteOne(id) {
  return [{ kind: 'delete', id }, () => store.delete(id)]
}

function writeSome() {
  const ids = [...new Set([ownId(), ownId(), ownId(), sharedId()])]
  const puts = ids.map((id) => ({ id, number: ++number }))
  return [
    { kind: 'write', puts },
    () => store.write(puts.map((put) => ({ put: memory(put.id, put.number) }))).lastSequence,
  ]
}

function putSome() {
  const batchSize = 1 + below(8)
  const puts = Array.from({ length: 1 + below(24) }, () => ({ id: ownId(), number: ++number }))
  const memories = puts.map((put) => memory(put.id, put.number))
  return [{ kind: 'putMany', puts, batchSize }, () => store.putMany(memories, { batchSize }).lastSequence]
}

function pickKind() {
  let at = below(total)
  for (const [weight, make] of kinds) {
    if (at < weight) return make
    at -= weight
  }
}

async function main() {
  parentPort.postMessage({ type: 'ready' })
  while (Atomics.load(words, 0) === 0) {
    const [intent, action] = pickKind()()
    const startedAt = performance.now()
    log.run(intent, action)
    worstMs = Math.max(worstMs, performance.now() - startedAt)
    count += 1
    if (below(200) === 0) await store.flush()
    if (below(100) === 0) store.searchSync(Float32Array.from({ length: dimensions }, () => random() + 0.1))
  }
  parentPort.postMessage({ type: 'stopped', worstMs, count })
}

await main()
// With the store open until the parent says so: it may want this process as a participant that is idle.
parentPort.once('message', function onMessage(message) {
  if (message.type !== 'close') return parentPort.once('message', onMessage)
  store.close()
  process.exit()
})
