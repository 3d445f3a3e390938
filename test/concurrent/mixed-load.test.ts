// Goal: under a long mixed load nothing is torn, lost or doubled. Method: two workers put, get, view, update, delete,
// write, search, touch and iterate on memories of their own, of which they know everything, and on shared ones that
// describe themselves; afterwards the store holds exactly what was acknowledged, also when it is opened again.
//
// THERMOCLINE_SECONDS=<n> sets how long.

import { setTimeout } from 'node:timers/promises'
import type { Store } from 'thermocline'
import { expect } from 'vitest'
import { concurrentTest, expectNone, findSharedPlaces, isNightly, report } from '../support/concurrent.js'
import { stampedMemory, stampedProblem } from '../support/memories.mjs'

const seconds = Number(process.env.THERMOCLINE_SECONDS ?? (isNightly ? 60 : 3))
const workers = 2
const ownIds = 1500
const sharedMemories = 12
const dimensions = 32
const changesChecked = 100_000
const timeoutMs = seconds * 1000 + 30_000
const jobs = new URL('./jobs/mixed-load.mjs', import.meta.url)

interface Share {
  own: [id: string, { number: number; base: number }][]
  last: [id: string, [number: number, sequence: number]][]
  sequences: number
  conflicts: number
  counts: Record<string, number>
  operations: number
}

/** What differs between the store and the oracles of all workers, in words. */
function compare(store: Store, shares: readonly Share[], sharedIds: readonly string[]): string[] {
  const problems: string[] = []
  const memories = new Map(Array.from(store.entries(), (memory) => [memory.id, memory]))
  for (const [id, memory] of memories) {
    const problem = stampedProblem(memory, id, dimensions)
    if (problem !== undefined) problems.push(problem)
  }
  for (const [id, { number, base }] of shares.flatMap(({ own }) => own)) {
    const metadata = memories.get(id)?.metadata
    if (metadata?.number !== number || metadata.base !== base) problems.push(`${id} is not of write ${number}`)
  }
  for (const id of sharedIds) {
    const last = shares.flatMap((share) => share.last.filter(([each]) => each === id).map(([, write]) => write))
    const memory = memories.get(id)
    // The last write of one of the workers, and not before any put that returned.
    if (last.length > 0 && !last.some(([number]) => number === memory?.metadata.number)) problems.push(`${id} is lost`)
    if (last.some(([, sequence]) => sequence > (memory?.sequence ?? 0))) problems.push(`${id} is not the last put`)
  }
  const expected = shares.reduce((sum, { own }) => sum + own.length, sharedIds.length)
  if (store.size !== expected) problems.push(`size is ${store.size}, not ${expected}`)
  if (memories.size !== expected) problems.push(`entries gives ${memories.size} memories, not ${expected}`)
  problems.push(...findSharedPlaces(store, memories.keys()))
  return problems
}

concurrentTest('a mixed load loses, tears and doubles nothing', jobs, async (scene) => {
  // The history of all writes is read afterwards, so nothing of it is given back; the policy is the whole process's.
  const store = scene.openStore(dimensions, undefined, { autoCompact: false })
  const sharedIds = Array.from({ length: sharedMemories }, (_, at) => `shared-${at}`)
  for (const id of sharedIds) store.put(stampedMemory(id, 0, dimensions))
  const running = scene.pool.start({
    ...scene,
    openOptions: { dimensions },
    jobs: Array.from({ length: workers }, () => ({
      name: 'mixedLoad',
      arguments: { ownIds, sharedIds, dimensions },
    })),
    sharedWords: 1,
    timeoutMs,
  })
  const ended = running.result()
  await Promise.race([running.released.then(() => setTimeout(seconds * 1000, undefined, { ref: false })), ended])
  Atomics.store(running.shared, 0, 1)
  const result = await ended
  report('mixed load', result)
  const shares = result.values as Share[]
  const operations = shares.reduce((sum, share) => sum + share.operations, 0)
  const counts: Record<string, number> = {}
  for (const [kind, count] of shares.flatMap((share) => Object.entries(share.counts))) {
    counts[kind] = (counts[kind] ?? 0) + count
  }
  const conflicts = shares.reduce((sum, share) => sum + share.conflicts, 0)
  console.log(
    `mixed load: ${operations} operations, ${Math.round(operations / (result.workMs / 1000))} per second; ` +
      `${JSON.stringify(counts)}; ${conflicts} conflicts; ${store.stats().bytes.total >> 20} MiB`,
  )
  expectNone(compare(store, shares, sharedIds))
  // Every write that returned took its sequences, and none took more.
  expect(store.sequence).toBe(shares.reduce((sum, { sequences }) => sum + sequences, sharedMemories))
  let sequence = Math.max(0, store.sequence - changesChecked)
  for await (const change of store.changes({ since: sequence })) expect(change.sequence).toBe(++sequence)
  expect(sequence).toBe(store.sequence)
  store.close()
  const reopened = scene.openStore()
  expectNone(compare(reopened, shares, sharedIds))
  expect(await reopened.verify()).toMatchObject({ ok: true })
})
