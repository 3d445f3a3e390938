// Writes without a pause, so that it holds the write lock for much of its time, until its parent says so.
//
// Most of that time is a large batch: a commit of many records is long under the lock, so that a signal often meets it.

import { open } from 'thermocline'
import { stampedMemory, stampedProblem } from '../../support/memories.mjs'
import { leave, task, tell } from './parent.mjs'

// Its parent reads the whole history.
const store = open(task.directory, { dimensions: task.dimensions, lockTimeout: 20_000, autoCompact: false })
let isEnded = false
let number = 0
let worstMs = 0
process.on('message', ({ type }) => {
  if (type === 'end') isEnded = true
})
tell({ type: 'ready' })
const batch = (first) =>
  Array.from({ length: 256 }, (_, at) => stampedMemory(`busy-${at}`, first + at, task.dimensions))
while (!isEnded) {
  const startedAt = performance.now()
  if (task.batches) {
    const result = store.putMany(batch(number + 1))
    number += result.count
  } else store.put(stampedMemory(`busy-${number % 256}`, ++number, task.dimensions))
  worstMs = Math.max(worstMs, performance.now() - startedAt)
  await new Promise((resolve) => setImmediate(resolve))
}
for (const memory of store.entries()) {
  const torn = memory.id.startsWith('busy-') ? stampedProblem(memory, memory.id, task.dimensions) : undefined
  if (torn !== undefined) throw new Error(torn)
}
tell({ type: 'ended', number, worstMs })
store.close()
leave()
