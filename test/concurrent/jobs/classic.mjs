// Jobs of the seven classic tests C1-C7: see store-worker.mjs for what a job is given.

import { derivedMemory, derivedProblem, stampedMemory, stampedProblem } from '../../support/memories.mjs'

const meetMsMax = 20

function fail(problem) {
  if (problem !== undefined) throw new Error(problem)
}

/** Waits until all workers have come here as often as this one; the word at `shared[workers]` counts the arrivals. */
function meetAll(context, times) {
  const { shared, workers } = context
  const word = workers
  const all = workers * times
  if (Atomics.add(shared, word, 1) + 1 === all) Atomics.notify(shared, word)
  for (
    let arrived = Atomics.load(shared, word);
    arrived < all && !context.stopped;
    arrived = Atomics.load(shared, word)
  ) {
    Atomics.wait(shared, word, arrived, meetMsMax)
  }
}

/**
 * Puts the derived memories of `items` ({ id, bytes }), one by one, `pauseMs` between two. With `wave` all workers
 * meet before each so many, or the scheduler would let them run one after another.
 */
export function putDerived(context) {
  const { items, dimensions, pauseMs = 0, wave = Number.POSITIVE_INFINITY } = context.arguments
  const memories = items.map(({ id, bytes }) => derivedMemory(id, bytes, dimensions))
  const pause = new Int32Array(new SharedArrayBuffer(4))
  context.start()
  for (const [at, memory] of memories.entries()) {
    if (at > 0 && at % wave === 0) meetAll(context, at / wave)
    context.timed('put', () => context.store.put(memory))
    Atomics.add(context.shared, context.worker, 1)
    if (pauseMs > 0) Atomics.wait(pause, 0, 0, pauseMs)
  }
}

/** Gets all of `items`, `rounds` times, each round in an order of its own. */
export function getDerived(context) {
  const { items, dimensions, rounds } = context.arguments
  const memories = items.map(({ id, bytes }) => derivedMemory(id, bytes, dimensions))
  context.start()
  for (let round = 0; round < rounds; round++) {
    const first = context.below(memories.length)
    for (let at = 0; at < memories.length; at++) {
      const expected = memories[(first + at) % memories.length]
      fail(
        derivedProblem(
          context.timed('get', () => context.store.get(expected.id)),
          expected,
        ),
      )
    }
  }
}

/** Gets `reads` memories, in turn one that was there before and one that a writer has just put. Returns the count. */
export function getWhileWritten(context) {
  const { preloaded, written, reads, dimensions, pauseMs } = context.arguments
  const expectedOf = ({ id, bytes }) => derivedMemory(id, bytes, dimensions)
  const pause = new Int32Array(new SharedArrayBuffer(4))
  let found = 0
  context.start()
  for (let read = 0; read < reads; read++) {
    let item = context.pick(preloaded)
    if (read % 2 === 1) {
      const writer = context.below(written.length)
      const count = Atomics.load(context.shared, writer)
      if (count > 0) item = written[writer][count - 1]
    }
    const memory = context.timed('get', () => context.store.get(item.id))
    fail(derivedProblem(memory, expectedOf(item)))
    found++
    Atomics.wait(pause, 0, 0, pauseMs)
  }
  return found
}

/** Replaces hot memories, `operations` times. Returns [id, sequence, number] of each put. */
export function replaceHot(context) {
  const { ids, operations, dimensions } = context.arguments
  const puts = []
  context.start()
  for (let at = 0; at < operations; at++) {
    const number = 1 + at * context.workers + context.worker
    const memory = stampedMemory(context.pick(ids), number, dimensions)
    puts.push([memory.id, context.timed('put', () => context.store.put(memory)), number])
  }
  return puts
}

/** Gets hot memories; each must be whole and never older than before. Returns the count. */
export function getHot(context) {
  const { ids, operations, dimensions } = context.arguments
  const newest = new Map()
  context.start()
  for (let at = 0; at < operations; at++) {
    const id = context.pick(ids)
    const memory = context.timed('get', () => context.store.get(id))
    if (memory === undefined) throw new Error(`${id} is lost`)
    fail(stampedProblem(memory, id, dimensions))
    if (memory.sequence < (newest.get(id) ?? 0)) throw new Error(`the sequence of ${id} went back`)
    newest.set(id, memory.sequence)
  }
  return operations
}
