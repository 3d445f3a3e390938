// Goal: a thread that vanishes in the middle of writing takes nothing with it and leaves nothing half done (C6).
// Method: workers throw, are terminated at points drawn from the seed, or call process.exit, with stores, views,
// snapshots and searches open; the others go on, later ones too, and the counts are exact.

import { setImmediate } from 'node:timers/promises'
import type { Store } from 'thermocline'
import { expect } from 'vitest'
import { concurrentTest, expectNone, factor, findProblems, report, type Scene } from '../support/concurrent.js'
import { type DerivedMemory, derivedMemory, derivedProblem, randomFrom } from '../support/memories.mjs'
import type { Job, Outcome } from '../support/worker-pool.js'
import { idsOf } from './jobs/panic.mjs'

const dimensions = 64
const contentBytes = 120
const preloaded = 100
const tasks = 10
const panickingTask = 5
const putsPerTask = 10
const putsBeforePanic = 3
const rounds = 5 * factor
const victims = 3
const companions = 2
const operationsBeforeEndMax = 400
const exitCode = 7
const timeoutMs = 10_000
const jobs = new URL('./jobs/panic.mjs', import.meta.url)

const derive = (id: string): DerivedMemory => derivedMemory(id, contentBytes, dimensions)
const openOptions = { dimensions }

concurrentTest('C6: a thread that throws leaves exactly what it had put', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const ids = Array.from({ length: preloaded }, (_, at) => `old-${at}`)
  store.putMany(ids.map(derive))
  const run = scene.pool.start({
    ...scene,
    openOptions,
    jobs: Array.from({ length: tasks }, (_, task) => {
      const panics = task === panickingTask
      const puts = panics ? putsBeforePanic : putsPerTask
      for (let at = 0; at < puts; at++) ids.push(`task-${task}-${at}`)
      return {
        name: 'putThenPanic',
        arguments: { prefix: `task-${task}`, bytes: contentBytes, dimensions, puts, panics },
      }
    }),
    timeoutMs,
  })
  const outcomes = await run.outcomes
  expect(outcomes.map(({ status }) => status)).toEqual(
    Array.from({ length: tasks }, (_, task) => (task === panickingTask ? 'exited' : 'done')),
  )
  const outcome = outcomes[panickingTask] as Extract<Outcome, { status: 'exited' }>
  expect(outcome.error?.message).toBe('panic')
  expect(ids.length).toBe(193)
  expectNone(await findProblems(store, ids.map(derive)))
  store.put(derive('later'))
  expect(derivedProblem(store.get('later'), derive('later'))).toBeUndefined()
  store.close()
  expectNone(await findProblems(scene.openStore(), [...ids, 'later'].map(derive)))
})

/** Memories of the operations that returned, and of one more if it is there in full. Throws if it is there in part. */
function memoriesOf(store: Store, prefix: string, operations: number): DerivedMemory[] {
  const acknowledged = Array.from({ length: operations }, (_, operation) => idsOf(prefix, operation)).flat()
  const inDoubt = idsOf(prefix, operations)
  const present = inDoubt.filter((id) => store.has(id))
  if (present.length > 0) expect(present).toEqual(inDoubt) // one commit: all or none
  return [...acknowledged, ...present].map(derive)
}

interface Writer {
  prefix: string
  /** Operations that returned. */
  operations: number
  isTerminated: boolean
}

async function terminateInTheMiddle(scene: Scene, round: number): Promise<Writer[]> {
  const random = randomFrom(scene.seed + round)
  const below = (bound: number): number => Math.floor(random() * bound)
  const prefixOf = (worker: number): string => `round-${round}-worker-${worker}`
  const count = victims + 1 + companions // one victim ends itself by process.exit
  const exits = victims
  const exitsAfter = below(operationsBeforeEndMax)
  const list = Array.from({ length: count }, (_, worker): Job => {
    const common = { prefix: prefixOf(worker), bytes: contentBytes, dimensions }
    if (worker < victims) return { name: 'writeUntilEnd', arguments: { ...common, searches: worker % 2 === 1 } }
    if (worker > exits) return { name: 'writeBeside', arguments: common }
    return { name: 'writeThenExit', arguments: { ...common, operations: exitsAfter, exitCode } }
  })
  const run = scene.pool.start({ ...scene, openOptions, jobs: list, sharedWords: count + 1, timeoutMs })
  await run.released
  const deaths = Array.from({ length: victims }, async (_, worker) => {
    const at = 1 + below(operationsBeforeEndMax)
    while (Atomics.load(run.shared, worker) < at) await setImmediate()
    await run.terminate(worker)
  })
  await Promise.all(deaths)
  // The others are seen to go on after the last death.
  const reached = Array.from({ length: companions }, (_, at) => Atomics.load(run.shared, exits + 1 + at))
  for (let at = 0; at < companions; at++) {
    while (Atomics.load(run.shared, exits + 1 + at) < (reached[at] as number) + 10) await setImmediate()
  }
  Atomics.store(run.shared, count, 1)
  const outcomes = await run.outcomes
  outcomes.forEach((outcome, worker) => {
    expect(outcome.status, JSON.stringify(outcome)).toBe(worker > exits ? 'done' : 'exited')
    if (worker === exits) expect(outcome).toMatchObject({ exitCode, error: undefined })
    if (worker > exits) expect(outcome).toMatchObject({ value: Atomics.load(run.shared, worker) })
  })
  expect(Atomics.load(run.shared, exits)).toBe(exitsAfter)
  return Array.from({ length: count }, (_, worker) => ({
    prefix: prefixOf(worker),
    operations: Atomics.load(run.shared, worker),
    isTerminated: worker < victims,
  }))
}

concurrentTest('C6: threads terminated while writing lose nothing that was returned', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  const expected: DerivedMemory[] = []
  for (let round = 0; round < rounds; round++) {
    for (const { prefix, operations, isTerminated } of await terminateInTheMiddle(scene, round)) {
      const memories = memoriesOf(store, prefix, operations)
      if (!isTerminated) expect(store.has(idsOf(prefix, operations)[0] as string)).toBe(false)
      expectNone(memories.flatMap((memory) => derivedProblem(store.get(memory.id), memory) ?? []))
      expected.push(...memories)
    }
    expect(store.size).toBe(expected.length)
    expect(store.stats().participants).toBe(1)
  }
  // A later thread writes as if nothing had been.
  const later = await scene.pool.run({
    ...scene,
    openOptions,
    jobs: [{ name: 'putThenPanic', arguments: { prefix: 'later', bytes: contentBytes, dimensions, puts: 100 } }],
    sharedWords: 1,
    timeoutMs,
  })
  report('C6', later)
  for (let at = 0; at < 100; at++) expected.push(derive(`later-${at}`))
  store.close()
  const reopened = scene.openStore()
  expectNone(await findProblems(reopened, expected))
  expect(reopened.stats()).toMatchObject({ recovered: false, sequence: expected.length })
})
