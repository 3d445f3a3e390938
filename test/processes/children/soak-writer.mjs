// A worker of the soak: every kind of call, on few ids of its own, on shared ones, and on many that are there for one
// round only, until it is stopped or killed. What it reads must be whole.

import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import {
  embeddingOf,
  hashOf,
  randomFrom,
  stampedMemory,
  stampedPatch,
  stampedProblem,
} from '../../support/memories.mjs'

const { directory, worker, words, options, ownIds, sharedIds, roundIds, dimensions, numberBase, numbersPerWorker } =
  workerData
const random = randomFrom(hashOf(`${workerData.seed} ${worker} ${numberBase}`))
const below = (bound) => Math.floor(random() * bound)
const store = open(directory, options)

// Numbers need not be unique here: a torn memory is found out by what it carries itself.
const numberFirst = (numberBase + worker * numbersPerWorker) % 2 ** 23
let number = numberFirst
const next = () => {
  if (++number >= numberFirst + numbersPerWorker) number = numberFirst + 1
  return number
}
const ownId = () => `w${worker}-${below(ownIds)}`
const sharedId = () => `shared-${below(sharedIds)}`
const roundId = () => `round-${worker}-${below(roundIds)}`
const memoryOf = (id) => stampedMemory(id, next(), dimensions)
let operations = 0

function expectWhole(memory, id) {
  const torn = memory === undefined ? undefined : stampedProblem(memory, id, dimensions)
  if (torn !== undefined) throw new Error(torn)
}

function update(id) {
  const base = store.get(id)?.metadata.base
  if (base !== undefined) store.update(id, stampedPatch(id, next(), base))
}

const actions = [
  () => store.put(memoryOf(ownId())),
  () => store.put(memoryOf(sharedId())),
  () => update(ownId()),
  () => store.delete(ownId()),
  () => store.write([...new Set([ownId(), sharedId(), roundId()])].map((id) => ({ put: memoryOf(id) }))),
  () =>
    store.putMany(
      Array.from({ length: 64 }, () => memoryOf(roundId())),
      { batchSize: 1 + below(64) },
    ),
  () => store.touch(sharedId()),
  () => {
    for (const id of [ownId(), sharedId(), roundId()]) expectWhole(store.get(id), id)
  },
  () => store.view(sharedId())?.embedding[0],
  () => store.searchSync(embeddingOf(next(), dimensions), { limit: 4 }),
]

parentPort.postMessage({ type: 'ready' })
while (Atomics.load(words, 0) === 0) {
  actions[below(actions.length)]()
  operations += 1
  if (below(300) === 0) await store.flush()
  if (below(300) === 0) for (const memory of store.entries()) expectWhole(memory, memory.id)
  if (below(3000) === 0) expectVerified(await store.verify())
}
store.close()
parentPort.postMessage({ type: 'stopped', operations })
process.exit()

function expectVerified({ ok, problems }) {
  if (!ok) throw new Error(`verify finds ${JSON.stringify(problems.slice(0, 3))}`)
}
