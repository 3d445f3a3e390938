// Opens a store read-only and reads it until told to stop; says how often, and how long the worst read took.

import { open } from 'thermocline'
import { stampedProblem } from '../../support/memories.mjs'
import { leave, task, tell } from './parent.mjs'

const store = open(task.directory, { readOnly: true })
let refused
try {
  store.put({ id: 'never' })
} catch (error) {
  refused = error.code
}
tell({ type: 'ready', refused, participants: store.stats().participants })

let isEnded = false
let reads = 0
let worstMs = 0
process.on('message', ({ type }) => {
  if (type === 'end') isEnded = true
  if (type === 'ask') {
    tell({ type: 'answer', reads, worstMs, participants: store.stats().participants })
    worstMs = 0
  }
})
while (!isEnded) {
  const startedAt = performance.now()
  for (let at = 0; at < 32; at++) {
    const id = `busy-${(reads * 7) % 256}`
    const memory = store.get(id)
    const torn = memory === undefined ? undefined : stampedProblem(memory, id, task.dimensions)
    if (torn !== undefined) throw new Error(torn)
    reads += 1
  }
  if (reads % 1024 === 0) for (const { id } of store.entries()) if (id === 'never') throw new Error('written read-only')
  worstMs = Math.max(worstMs, performance.now() - startedAt)
  await new Promise((resolve) => setImmediate(resolve))
}
store.close()
leave()
