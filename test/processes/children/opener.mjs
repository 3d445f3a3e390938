// Opens the store, writes one memory, reads it, and closes, again and again.

import { open } from 'thermocline'
import { hear, leave, task, tell } from './parent.mjs'

const problems = []
let beside = 0
tell({ type: 'ready' })
await hear('go')
for (let at = 0; at < task.openings; at++) {
  const store = open(task.directory, { dimensions: task.dimensions })
  const id = `${task.name}-${at}`
  store.put({ id, content: id })
  if (store.get(id)?.content !== id) problems.push(`${id} is not there`)
  if (at > 0 && store.get(`${task.name}-${at - 1}`)?.content !== `${task.name}-${at - 1}`) {
    problems.push(`${id}: the one before is lost`)
  }
  const { participants, recovered } = store.stats()
  if (participants === 2) beside += 1
  else if (participants !== 1) problems.push(`${id}: participants is ${participants}`)
  if (recovered) problems.push(`${id}: recovered, though all closes were clean`)
  store.close()
}
tell({ type: 'opened', problems, beside })
leave()
