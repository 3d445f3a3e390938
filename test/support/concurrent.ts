// What every concurrent test shares: its seed and how to replay it, a directory, a pool of threads, the printed
// figures, and the checks of a whole store.
//
// THERMOCLINE_SEED=<n> replays one seed. THERMOCLINE_NIGHTLY=1 multiplies the counts by ten; so does
// THERMOCLINE_FACTOR=<n> by n, for a child that needs a race to show itself. THERMOCLINE_SECONDS: see mixed-load.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Metric, type OpenOptions, open, type Store } from 'thermocline'
import { test } from 'vitest'
import { type DerivedMemory, derivedProblem } from './memories.mjs'
import { type RunResult, WorkerPool } from './worker-pool.js'

const seedBound = 2 ** 31
export const isNightly = process.env.THERMOCLINE_NIGHTLY === '1'
/** By what counts and time gates are multiplied. */
export const factor = Number(process.env.THERMOCLINE_FACTOR ?? (isNightly ? 10 : 1))
const longLoadMs = 1000 * Number(process.env.THERMOCLINE_SECONDS ?? 0)
export const testMsMax = (isNightly ? 600_000 : 60_000) + 2 * longLoadMs

export interface Scene {
  seed: number
  /** Empty, removed afterwards. */
  directory: string
  pool: WorkerPool
  /** The store as this thread opens it; closed afterwards at the latest. */
  openStore(dimensions?: number, metric?: Metric, options?: OpenOptions): Store
}

/** The only failure that another process on the host can cause: the work is then done again. */
class TooSlow extends Error {}
const attemptsMax = 5

/** A time gate. Missed, it fails the test only when four further attempts, each checked in full, miss it too. */
export function expectWithin(ms: number, msMax: number): void {
  if (!(ms < msMax)) throw new TooSlow(`took ${ms.toFixed(3)} ms, allowed are ${msMax}`)
}

/** A test with a seed, a directory of its own and a pool of threads for the jobs of a module. */
export function concurrentTest(name: string, jobs: URL, body: (scene: Scene) => Promise<void>): void {
  test(name, { timeout: testMsMax }, async ({ task }) => {
    const seed = Number(process.env.THERMOCLINE_SEED ?? Math.floor(Math.random() * seedBound))
    for (let attempt = 1; ; attempt++) {
      try {
        return await play(jobs, seed, body)
      } catch (error) {
        if (error instanceof TooSlow && attempt < attemptsMax) {
          console.log(`${name}: ${error.message}: again`)
          continue
        }
        const pattern = name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
        const replay = `replay: THERMOCLINE_SEED=${seed} npx vitest run ${task.file.name} -t '${pattern}'`
        console.log(replay)
        throw new Error(`${messagesOf(error).join('\n')}\n${replay}`, { cause: error })
      }
    }
  })
}

/** The message of an error and of its causes: fast-check names the failed check in a cause. */
function messagesOf(error: unknown): string[] {
  return error instanceof Error ? [error.message, ...messagesOf(error.cause)] : error === undefined ? [] : [`${error}`]
}

async function play(jobs: URL, seed: number, body: (scene: Scene) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-concurrent-'))
  const pool = new WorkerPool(jobs)
  const stores: Store[] = []
  const openStore = (dimensions?: number, metric?: Metric, options: OpenOptions = {}): Store => {
    const store = open(directory, { dimensions, metric, ...options })
    stores.push(store)
    return store
  }
  try {
    await body({ seed, directory, pool, openStore })
  } finally {
    for (const store of stores) store.close()
    await pool.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Value below which p percent of the sorted values lie. */
export function percentile(sorted: Float64Array, p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? Number.NaN
}

/** Prints one line: operations, milliseconds of work, percentiles in microseconds by kind of operation. */
export function report(name: string, { latencies, workMs }: RunResult): void {
  const us = (ms: number): string => `${(ms * 1e3).toFixed(ms < 0.01 ? 1 : 0)}`
  const kinds = [...latencies].map(([kind, sorted]) => {
    const [p50, p99, p999] = [50, 99, 99.9].map((p) => us(percentile(sorted, p)))
    return `${kind} ${sorted.length}: p50 ${p50} us, p99 ${p99} us, p99.9 ${p999} us`
  })
  console.log(`${name}: ${workMs.toFixed(1)} ms of work; ${kinds.join('; ')}`)
}

/** Ids whose memories share a slot or bytes of a log, in words. */
export function findSharedPlaces(store: Store, ids: Iterable<string>): string[] {
  const problems: string[] = []
  const owners = new Map<string, string>()
  const ranges = new Map<number, { start: number; end: number; id: string }[]>()
  for (const id of ids) {
    const place = store.locate(id)
    if (place === undefined) {
      problems.push(`${id} is nowhere`)
      continue
    }
    const { segment, slot, logOffset, logLength } = place
    const key = `${segment}/${slot}`
    const owner = owners.get(key)
    if (owner !== undefined) problems.push(`slot shared: ${key} by ${owner} and ${id}`)
    owners.set(key, id)
    if (!ranges.has(segment)) ranges.set(segment, [])
    ranges.get(segment)?.push({ start: logOffset, end: logOffset + logLength, id })
  }
  for (const [segment, list] of ranges) {
    list.sort((left, right) => left.start - right.start)
    list.reduce((previous, next) => {
      if (next.start < previous.end) problems.push(`log bytes shared in ${segment}: ${previous.id} and ${next.id}`)
      return next
    })
  }
  return problems
}

/** Everything wrong with a store that must hold exactly these derived memories, in words. */
export async function findProblems(store: Store, expected: readonly DerivedMemory[]): Promise<string[]> {
  const problems: string[] = []
  if (store.size !== expected.length) problems.push(`size is ${store.size}, not ${expected.length}`)
  for (const memory of expected) {
    const problem = describeThrown(() => derivedProblem(store.get(memory.id), memory))
    if (problem !== undefined) problems.push(problem)
  }
  problems.push(...findSharedPlaces(store, new Set(expected.map(({ id }) => id))))
  const listed = describeThrown(() => {
    const ids = Array.from(store.entries(), ({ id }) => id)
    if (new Set(ids).size !== ids.length) return 'entries gives a memory twice'
    return ids.length === expected.length ? undefined : `entries gives ${ids.length} memories, not ${expected.length}`
  })
  if (listed !== undefined) problems.push(listed)
  const checked = await store.verify()
  if (!checked.ok) problems.push(`verify finds ${checked.problems.length} problems`)
  return problems
}

function describeThrown(action: () => string | undefined): string | undefined {
  try {
    return action()
  } catch (error) {
    return `threw ${error}`
  }
}

/** Fails with the count and the first few of the problems. */
export function expectNone(problems: readonly string[]): void {
  if (problems.length === 0) return
  throw new Error(`${problems.length} problems:\n${problems.slice(0, 8).join('\n')}`)
}
