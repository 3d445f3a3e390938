// Writes into a store on a recorded disk, and tells what it wrote and what it was promised when.
//
// Its own ids only, so that each write's sequence is known: from the call that returns it. A promise is a sequence and
// the moment (CLOCK_MONOTONIC) from which a loss of power must leave everything up to it.

import { open } from 'thermocline'
import { randomFrom, stampedMemory } from '../../support/memories.mjs'
import { hear, leave, task, tell } from './parent.mjs'

const { directory, seed, dimensions, durability, operations, ids, name, syncs } = task
const random = randomFrom(seed)
const below = (bound) => Math.floor(random() * bound)
const history = []
const promises = []
const flushes = new Set()
let number = task.numberBase
const options = { dimensions, durability, autoCompact: { deadShare: 0.2, deadBytes: 64 * 1024 } }
let store = open(directory, options)

const idOf = () => `${name}-${below(ids)}`
const promise = (sequence) => promises.push([sequence, process.hrtime.bigint()])
const note = (last, operationsDone) =>
  operationsDone.forEach(({ id, number: stamp }, at) => {
    history.push([last - operationsDone.length + 1 + at, id, stamp])
  })

/** Does so many writes at one moment; each is a put, or the deletion of what the same frame put. */
function writeOnce() {
  const done = Array.from({ length: below(4) === 0 ? 1 + below(12) : 1 }, () => ({ id: idOf(), number: ++number }))
  if (done.length === 1) {
    note(store.put(stampedMemory(done[0].id, number, dimensions)), done)
  } else {
    const { lastSequence } = store.write(done.map((each) => ({ put: stampedMemory(each.id, each.number, dimensions) })))
    note(lastSequence, done)
  }
  if (below(10) === 0) {
    const { id } = done.at(-1)
    note(store.write([{ delete: id }]).lastSequence, [{ id, number: 0 }])
  }
  if (durability === 'commit') promise(history.at(-1)[0])
}

/** A flush covers what was committed when it was called, whatever is written until it returns. */
function flush() {
  const covered = history.at(-1)[0]
  if (!syncs) return promise(covered)
  const under = store.flush().then(() => {
    promise(covered)
    flushes.delete(under)
  })
  flushes.add(under)
  return under
}

async function main() {
  tell({ type: 'ready' })
  await hear('go')
  for (let at = 0; at < operations; at++) {
    writeOnce()
    if (durability === 'commit') continue
    if (below(12) === 0) {
      const under = flush()
      if (below(2) === 0) await under
    }
    if (below(60) === 0) await new Promise((resolve) => setImmediate(resolve))
    if (syncs && below(250) === 0) await store.compact()
    if (syncs && below(400) === 0) {
      await Promise.all(flushes)
      store.close()
      store = open(directory, options)
    }
  }
  await Promise.all(flushes)
  tell({ type: 'done', history, promises })
  await hear('close')
  store.close()
  leave()
}

await main()
