// The process that has the store open as long as a soak lasts: it reads, writes, searches and follows the changes beside
// whoever comes and goes. After each round, when all is quiet, it says what it holds.

import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { open } from 'thermocline'
import { embeddingOf, hashOf, randomFrom, stampedMemory, stampedProblem } from '../../support/memories.mjs'
import { leave, task, tell } from './parent.mjs'
import { collectGarbage, countResources } from './resources.mjs'

const { directory, options, dimensions, keptIds } = task
const random = randomFrom(hashOf(`keeper ${task.seed}`))
const below = (bound) => Math.floor(random() * bound)
const before = countResources(directory)
const store = open(directory, options)
const numbers = new Map()
let number = 0
/** Those of the last round; a compaction takes some away. */
let logs = []
let sequenceSeen = 0
let isRunning = false

const idOf = (at) => `kept-${at}`
function put(at) {
  number = (number + 1) % 2 ** 23
  numbers.set(idOf(at), number)
  store.put(stampedMemory(idOf(at), number, dimensions))
}

/** Sees every change until the store is closed; a compaction may take some away that it had not read yet. */
async function follow() {
  for (;;) {
    try {
      sequenceSeen = store.sequence
      for await (const { sequence } of store.changes({ since: sequenceSeen, follow: true })) sequenceSeen = sequence
    } catch (error) {
      if (error.code === 'THERMOCLINE_CLOSED') return
      if (error.code !== 'THERMOCLINE_CHANGES_GONE') throw error
    }
  }
}

function expectWhole(memory) {
  const torn = stampedProblem(memory, memory.id, dimensions)
  if (torn !== undefined) throw new Error(torn)
}

const actions = [
  () => put(below(keptIds)),
  () => store.view(idOf(below(keptIds))).embedding[0],
  () => store.search(embeddingOf(below(1000), dimensions), { limit: 8 }),
  () =>
    store.search(embeddingOf(below(1000), dimensions), {
      limit: 8,
      filter: { metadata: { number: { lt: below(number) } } },
    }),
  () => {
    for (const memory of store.getMany([idOf(0), idOf(1)])) expectWhole(memory)
  },
  () => {
    let left = 100
    for (const memory of store.entries()) {
      expectWhole(memory)
      if (--left === 0) break // an iterator that is left early gives its snapshot back
    }
  },
]

async function run() {
  isRunning = true
  while (isRunning) {
    await actions[below(actions.length)]()
    if (below(200) === 0) await store.flush()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Nobody deletes what the round put but this: a killed writer cannot. */
function deleteRound() {
  const ids = [...store.entries()].map(({ id }) => id).filter((id) => id.startsWith('round-'))
  for (let at = 0; at < ids.length; at += 500) store.write(ids.slice(at, at + 500).map((id) => ({ delete: id })))
}

/** Waits for what the store does by itself within 100 ms; false when it gave up after `task.settledMsMax`. */
async function until(isDone) {
  const deadline = Date.now() + task.settledMsMax
  while (!isDone()) {
    if (Date.now() >= deadline) return false
    await sleep(5)
  }
  return true
}

/**
 * What the process holds once what a compaction took out of the list is let go, at a moment when nobody makes a segment;
 * what it holds at the end of the time when it does not come to that.
 */
async function settledResources() {
  await collectGarbage()
  let found
  await until(() => {
    const { segments } = store.stats()
    found = { segments, ...countResources(directory) }
    return (
      found.descriptorsOfStore <= task.descriptorsBesideSegments + 2 * segments &&
      found.mappingsOfStore <= task.mappingsBesideSegments + task.mappingsPerSegmentMax * segments &&
      segments === store.stats().segments
    )
  })
  return found
}

/** The helper compacts when enough is dead, and is not asked to. */
async function waitForHelper() {
  const { deadShare, deadBytes } = options.autoCompact
  let deadBefore = 0
  const isCompacted = () => {
    const { dead, total } = store.stats().bytes
    // Less than before: compacted, though what is put here meanwhile may have made it too much again.
    if (dead < deadBytes || dead < deadShare * total || dead < deadBefore) return true
    deadBefore = dead
    // What is dead in the open segment stays, and what was tried is tried again when an eighth more is dead.
    for (let at = 0; at < keptIds; at++) put(at)
    return false
  }
  if (!(await until(isCompacted))) throw new Error(`nobody compacts: ${JSON.stringify(store.stats().bytes)}`)
}

async function settle(running) {
  isRunning = false
  await running
  deleteRound()
  await waitForHelper()
  const problems = []
  const { ok, problems: found } = await store.verify()
  if (!ok) problems.push(`verify finds ${JSON.stringify(found.slice(0, 3))}`)
  for (const [id, expected] of numbers) {
    const memory = store.get(id)
    if (memory?.metadata.number !== expected) problems.push(`${id} is not that of write ${expected}`)
  }
  await until(() => sequenceSeen >= store.sequence)
  const resources = await settledResources()
  if (sequenceSeen < store.sequence) problems.push(`the feed stopped at ${sequenceSeen}, before ${store.sequence}`)
  const { bytes, participants, sequence, memories } = store.stats()
  const files = readdirSync(directory)
  const compacted = logs.some((name) => !files.includes(name))
  logs = files.filter((name) => name.endsWith('.log'))
  const held = { ...resources, files: files.length, participants, memories, sequence }
  return { ...held, compacted, totalBytes: bytes.total, problems }
}

for (let at = 0; at < keptIds; at++) put(at)
const following = follow()
let running = Promise.resolve()
process.on('message', async ({ type }) => {
  try {
    if (type === 'run') running = run()
    if (type === 'settle') tell({ type: 'settled', ...(await settle(running)) })
    if (type === 'end') {
      store.close()
      await following
      await collectGarbage()
      tell({ type: 'ended', before, after: countResources(directory) })
      leave()
    }
  } catch (error) {
    console.error(error)
    process.exit(70)
  }
})
tell({ type: 'ready' })
