// A worker of the stress: many operations on hot and cold ids, then increments of shared counters. It remembers what
// each put returned, so that the parent can put the whole history together.

import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { hashOf, randomFrom, stampedMemory, stampedProblem } from '../../support/memories.mjs'

const { directory, worker, seed, dimensions, operations, hotIds, coldIds, counters, increments } = workerData
const store = open(directory, { dimensions, autoCompact: false })
const random = randomFrom(hashOf(`${seed} ${worker}`))
const below = (bound) => Math.floor(random() * bound)
const pickId = () => (below(2) === 0 ? `hot-${below(hotIds)}` : `cold-${below(coldIds)}`)

/** What this worker wrote: number of a put at its sequence. */
const sequences = []
const numbers = []
let deletes = 0
const latencies = new Float64Array(operations)

function putAt(number) {
  numbers.push(number)
  sequences.push(store.put(stampedMemory(pickId(), number, dimensions)))
}

function operate(at) {
  const number = worker * operations + at + 1
  const choice = below(100)
  if (choice < 55) putAt(number)
  else if (choice < 65) deletes += store.delete(pickId()) ? 1 : 0
  else if (choice < 70) {
    const memories = [stampedMemory(pickId(), number, dimensions), stampedMemory(pickId(), number, dimensions)]
    const { lastSequence } = store.write(memories.map((put) => ({ put })))
    numbers.push(number, number)
    sequences.push(lastSequence - 1, lastSequence)
  } else {
    const id = pickId()
    const memory = store.get(id)
    const torn = memory === undefined ? undefined : stampedProblem(memory, id, dimensions)
    if (torn !== undefined) throw new Error(torn)
  }
}

/** Adds one to a counter, conditional on what was read, until it comes through. Returns how often it did not. */
function increment(id) {
  for (let conflicts = 0; ; conflicts++) {
    const memory = store.get(id)
    const value = (memory?.metadata.value ?? 0) + 1
    // Lets others come between now and then; with two processors they hardly would.
    if (below(6) === 0) Atomics.wait(workerData.words, 1, 0, 0.05)
    try {
      store.put({ id, metadata: { value } }, { ifSequence: memory?.sequence ?? 0 })
      return conflicts
    } catch (error) {
      if (error.code !== 'THERMOCLINE_CONFLICT') throw error
    }
  }
}

parentPort.postMessage({ type: 'ready' })
parentPort.once('message', () => {
  for (let at = 0; at < operations; at++) {
    const startedAt = performance.now()
    operate(at)
    latencies[at] = performance.now() - startedAt
  }
  let conflicts = 0
  for (let at = 0; at < increments; at++) conflicts += increment(`counter-${below(counters)}`)
  parentPort.postMessage({ type: 'ran', sequences, numbers, deletes, latencies, conflicts })
  store.close()
  process.exit()
})
