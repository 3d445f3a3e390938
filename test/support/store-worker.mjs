// What a worker thread of worker-pool.ts runs: takes one job after another, opens the store itself for each, and
// reports how it ended and what its operations took.
//
// A job is an exported async function of the module that `workerData.jobs` names. It prepares its inputs, calls
// `start` once, and then does what is measured. Even workers load the package by import, odd ones by require, so that
// both module systems are mixed on one store.

import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { hashOf, randomFrom } from './memories.mjs'

const { open } =
  workerData.worker % 2 === 0 ? await import('thermocline') : createRequire(import.meta.url)('thermocline')
const jobs = await import(workerData.jobs)

/** Places in the control words, as in worker-pool.ts. */
const GO = 0
const STOP = 1

/** Milliseconds on the clock that all threads share. */
function now() {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

/** Milliseconds that operations took, growing as needed. */
class Latencies {
  values = new Float64Array(1024)
  count = 0

  add(ms) {
    if (this.count === this.values.length) {
      const wider = new Float64Array(this.count * 2)
      wider.set(this.values)
      this.values = wider
    }
    this.values[this.count++] = ms
  }
}

/** What a job has to work with. */
class JobContext {
  #control
  #latencies = new Map()
  startedAt = 0

  constructor(task) {
    this.#control = task.control
    this.open = open
    this.directory = task.directory
    this.openOptions = task.openOptions
    this.store = task.opens ? open(task.directory, task.openOptions) : undefined
    this.worker = task.worker
    this.workers = task.workers
    this.arguments = task.arguments
    /** Words of the test's own, shared by all workers and the parent. */
    this.shared = task.shared
    this.random = randomFrom(hashOf(`${task.seed} ${task.worker}`))
    this.below = (bound) => Math.floor(this.random() * bound)
    this.pick = (items) => items[this.below(items.length)]
  }

  /** The barrier: blocks until all workers of the run are here. */
  start() {
    parentPort.postMessage({ type: 'ready' })
    while (Atomics.load(this.#control, GO) === 0) Atomics.wait(this.#control, GO, 0)
    if (this.stopped) throw new Error('another worker failed before the start')
    this.startedAt = now()
  }

  /** Whether another worker failed: work that goes on until something happens must end then. */
  get stopped() {
    return Atomics.load(this.#control, STOP) !== 0
  }

  timed(kind, action) {
    const startedAt = performance.now()
    const result = action()
    this.noted(kind, performance.now() - startedAt)
    return result
  }

  /** Notes how long an operation took. */
  noted(kind, ms) {
    let latencies = this.#latencies.get(kind)
    if (latencies === undefined) {
      latencies = new Latencies()
      this.#latencies.set(kind, latencies)
    }
    latencies.add(ms)
  }

  latencies() {
    return Object.fromEntries([...this.#latencies].map(([kind, { values, count }]) => [kind, values.slice(0, count)]))
  }
}

async function runJob(task) {
  let context
  let message
  try {
    context = new JobContext(task)
    const value = await jobs[task.job](context)
    message = { type: 'done', value, startedAt: context.startedAt, endedAt: now(), latencies: context.latencies() }
  } catch (error) {
    if (error.isPanic) throw error // ends the thread as an uncaught exception, with the store open
    message = { type: 'failed', error: error.stack ?? String(error) }
  }
  context?.store?.close()
  parentPort.postMessage(message)
}

parentPort.on('message', runJob)
