// Commits one memory whenever its parent asks, after a pause; it says when each put began (CLOCK_MONOTONIC).

import { setTimeout as sleep } from 'node:timers/promises'
import { open } from 'thermocline'
import { randomFrom } from '../../support/memories.mjs'
import { hear, leave, task, tell } from './parent.mjs'

const random = randomFrom(task.seed)
const store = open(task.directory, { dimensions: task.dimensions })
tell({ type: 'ready' })
await hear('go')
const committedAt = []
for (let at = 0; at < task.commits; at++) {
  await sleep(random() * task.pauseMsMax)
  // Before the put: it may be seen before it returned.
  const begin = process.hrtime.bigint()
  committedAt.push([store.put({ id: `c-${at}`, content: 'x' }), begin])
}
tell({ type: 'committed', committedAt })
await hear('close')
store.close()
leave()
