// Jobs that end in the middle of writing, and those that go on beside them.
//
// Operations of a victim are numbered from 0: every fifth is a `write` of three memories, the others a `put`. After
// each the count of those that returned goes to `shared[worker]`, so that the parent knows what must be there.

import { derivedMemory } from '../../support/memories.mjs'

const batchEvery = 5
const batchSize = 3
const pauseMs = 0.2

/** Ids of one operation; panic-recovery.test.ts asks the same. */
export function idsOf(prefix, operation) {
  if (operation % batchEvery !== batchEvery - 1) return [`${prefix}-${operation}`]
  return Array.from({ length: batchSize }, (_, at) => `${prefix}-${operation}-${at}`)
}

function operate(context, operation) {
  const { prefix, bytes, dimensions } = context.arguments
  const memories = idsOf(prefix, operation).map((id) => derivedMemory(id, bytes, dimensions))
  context.timed('write', () => {
    if (memories.length === 1) context.store.put(memories[0])
    else context.store.write(memories.map((put) => ({ put })))
  })
  Atomics.store(context.shared, context.worker, operation + 1)
}

function panic() {
  throw Object.assign(new Error('panic'), { isPanic: true })
}

/** Puts `puts` memories. With `panics` it then throws out of the iterable of a putMany, which must leave nothing. */
export function putThenPanic(context) {
  const { prefix, bytes, dimensions, puts, panics } = context.arguments
  const memoryOf = (at) => derivedMemory(`${prefix}-${at}`, bytes, dimensions)
  context.start()
  for (let at = 0; at < puts; at++) context.timed('put', () => context.store.put(memoryOf(at)))
  if (!panics) return
  function* memories() {
    yield memoryOf(puts)
    yield memoryOf(puts + 1)
    panic()
  }
  context.store.putMany(memories())
}

/** Writes until it is terminated, holding views and a snapshot meanwhile, with searches under way. */
export async function writeUntilEnd(context) {
  const { dimensions, searches } = context.arguments
  const query = new Float32Array(dimensions).fill(1)
  const held = []
  context.start()
  for (let operation = 0; !context.stopped; operation++) {
    operate(context, operation)
    if (operation % 16 === 0) {
      const entries = context.store.entries()
      entries.next()
      held.push(entries, context.store.view(idsOf(context.arguments.prefix, operation)[0]))
      if (held.length > 40) held.splice(0, 20)
      if (searches) {
        const pending = context.store.search(query, { limit: 3 })
        if (operation % 64 === 0) await pending
        else pending.catch(() => {})
      }
    }
  }
}

/** Writes `operations` times, then ends its thread by process.exit, inside the iterable of a putMany. */
export function writeThenExit(context) {
  const { prefix, bytes, dimensions, operations, exitCode } = context.arguments
  context.start()
  for (let operation = 0; operation < operations; operation++) operate(context, operation)
  function* memories() {
    yield derivedMemory(`${prefix}-never`, bytes, dimensions)
    process.exit(exitCode)
  }
  context.store.putMany(memories())
}

/** Writes until the parent says so in the last shared word. Returns the count of its operations. */
export function writeBeside(context) {
  const last = context.shared.length - 1
  const pause = new Int32Array(new SharedArrayBuffer(4))
  let operation = 0
  context.start()
  while (Atomics.load(context.shared, last) === 0 && !context.stopped) {
    operate(context, operation++)
    Atomics.wait(pause, 0, 0, pauseMs) // or it would fill the store while a victim is being terminated
  }
  return operation
}
