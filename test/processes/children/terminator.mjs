// Starts workers on one store, each doing one kind of thing, and terminates each at a random moment.

import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { open } from 'thermocline'
import { randomFrom } from '../../support/memories.mjs'
import { leave, task, tell } from './parent.mjs'
import { collectGarbage, countResources } from './resources.mjs'
import { actions, dimensions, memoryAt, seeded } from './worker-actions.mjs'

const random = randomFrom(task.seed)
const names = Object.keys(actions)
const store = open(task.path, { dimensions })
store.putMany(Array.from({ length: seeded }, (_, at) => memoryAt(at)))
let worst = { ms: 0, name: '' }

async function terminateOne(number) {
  const name = names[number % names.length]
  const worker = new Worker(new URL('./action-worker.mjs', import.meta.url), { workerData: { path: task.path, name } })
  const failed = new Promise((_, reject) => worker.on('error', reject))
  failed.catch(() => {})
  // Some before they are ready: in the middle of loading and opening.
  if (random() < 0.85) await Promise.race([new Promise((resolve) => worker.once('message', resolve)), failed])
  await sleep(random() * task.afterMsMax)
  const startedAt = performance.now()
  await Promise.race([worker.terminate(), failed])
  const ms = performance.now() - startedAt
  if (ms > worst.ms) worst = { ms, name }
}

async function terminateAll(from, to) {
  for (let number = from; number < to; number += 2) {
    await Promise.all([terminateOne(number), number + 1 < to ? terminateOne(number + 1) : undefined])
  }
  await collectGarbage()
}

/** What is held when the helper has let go of segments that compactions replaced, which takes it a moment. */
async function countSettled() {
  for (const deadline = Date.now() + task.settleMsMax; ; await sleep(5)) {
    const { segments } = store.stats()
    const resources = countResources(task.path)
    if (resources.descriptorsOfStore <= task.descriptorsBeside + 2 * segments || Date.now() > deadline) {
      return { ...resources, segments }
    }
  }
}

await terminateAll(0, task.warmUp)
const before = await countSettled()
await terminateAll(task.warmUp, task.warmUp + task.terminations)
const after = await countSettled()
const problems = []
for (let at = 0; at < seeded; at++) {
  const memory = store.get(`m-${at}`)
  if (memory?.content !== `content of ${at}` || memory.metadata.at !== at) problems.push(`m-${at} is not whole`)
}
if (!(await store.verify()).ok) problems.push('verify finds problems')
const { participants } = store.stats()
store.close()
await collectGarbage()
tell({ type: 'done', before, after, closed: countResources(task.path), problems, participants, worst })
leave()
