// Worker threads that run jobs on one store, released together by a barrier.
//
// Not here: what a job does (store-worker.mjs runs it) and what is right. A pool outlives its runs, because starting
// a thread costs more than most runs; a worker that ended is replaced before the next run. A run that takes longer
// than its time is a hang, and fails after all its workers were terminated.

import { Worker } from 'node:worker_threads'
import type { OpenOptions } from 'thermocline'

/** Places in the control words, as in store-worker.mjs. */
const GO = 0
const STOP = 1
const terminateMsMax = 2000

export interface Job {
  name: string
  arguments?: unknown
  /** False: the job opens the store itself. Default true. */
  opens?: boolean
}

export interface RunOptions {
  directory: string
  openOptions: OpenOptions
  /** One per worker. */
  jobs: readonly Job[]
  seed: number
  timeoutMs: number
  /** 32-bit words shared by the workers and the test, zero at first. */
  sharedWords?: number
}

/** How the job of one worker ended. */
export type Outcome =
  | { status: 'done'; value: unknown; latencies: Record<string, Float64Array>; endedAt: number }
  | { status: 'failed'; error: string }
  | { status: 'exited'; exitCode: number; error: Error | undefined }

export interface RunResult {
  values: unknown[]
  /** Milliseconds by kind of operation, of all workers, ascending. */
  latencies: Map<string, Float64Array>
  /** From the moment the barrier opened to the end of the last job, milliseconds. */
  workMs: number
}

type Message =
  | { type: 'ready' }
  | { type: 'done'; value: unknown; latencies: Record<string, Float64Array>; endedAt: number }
  | { type: 'failed'; error: string }

function now(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}

/** One run that was started. */
export class Run {
  readonly shared: Int32Array
  /** Resolves when the barrier opened. */
  readonly released: Promise<void>
  /** One per worker, in order. Rejects when the run hangs. */
  readonly outcomes: Promise<Outcome[]>
  releasedAt = 0
  readonly #workers: Worker[]
  readonly #control = new Int32Array(new SharedArrayBuffer(8))
  readonly #found: (Outcome | undefined)[]
  #readyCount = 0
  #open: () => void = () => {}
  #settle: (outcomes: Outcome[]) => void = () => {}

  constructor(workers: Worker[], options: RunOptions) {
    this.#workers = workers
    this.#found = workers.map(() => undefined)
    this.shared = new Int32Array(new SharedArrayBuffer(4 * Math.max(1, options.sharedWords ?? 0)))
    this.released = new Promise((resolve) => {
      this.#open = resolve
    })
    this.outcomes = new Promise((resolve, reject) => {
      const timer = setTimeout(() => void this.#hang(options.timeoutMs).then(reject), options.timeoutMs)
      this.#settle = (outcomes) => {
        clearTimeout(timer)
        resolve(outcomes)
      }
    })
    workers.forEach((worker, index) => {
      this.#listen(worker, index)
      const job = options.jobs[index] as Job
      worker.postMessage({
        directory: options.directory,
        openOptions: options.openOptions,
        seed: options.seed,
        job: job.name,
        arguments: job.arguments,
        opens: job.opens ?? true,
        worker: index,
        workers: workers.length,
        control: this.#control,
        shared: this.shared,
      })
    })
  }

  /** Ends a worker wherever it is. */
  async terminate(index: number): Promise<void> {
    await (this.#workers[index] as Worker).terminate()
  }

  /** The end of all jobs. Rejects with what the first worker that failed has to say. */
  async result(): Promise<RunResult> {
    const outcomes = await this.outcomes
    const done = outcomes.map((outcome, worker) => {
      if (outcome.status === 'done') return outcome
      const failures = outcomes.flatMap((each) => (each.status === 'failed' ? [each.error] : []))
      // The one that made the others stop says more than they do.
      const text = failures.find((failure) => !failure.includes('before the start')) ?? failures[0]
      if (text !== undefined) throw new Error(`a worker failed: ${text}`)
      throw new Error(`worker ${worker} exited: ${JSON.stringify(outcome)}`)
    })
    const kinds = new Set(done.flatMap(({ latencies }) => Object.keys(latencies)))
    return {
      values: done.map(({ value }) => value),
      latencies: new Map([...kinds].map((kind) => [kind, merge(done.map(({ latencies }) => latencies[kind]))])),
      workMs: Math.max(...done.map(({ endedAt }) => endedAt)) - this.releasedAt,
    }
  }

  #listen(worker: Worker, index: number): void {
    let thrown: Error | undefined
    const end = (outcome: Outcome): void => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit)
      this.#end(index, outcome)
    }
    const onMessage = (message: Message): void => {
      if (message.type === 'ready') {
        if (++this.#readyCount === this.#workers.length) this.#release()
      } else {
        const { type, ...rest } = message
        end({ status: type, ...rest } as Outcome)
      }
    }
    const onError = (error: unknown): void => {
      thrown = error as Error
    }
    const onExit = (exitCode: number): void => end({ status: 'exited', exitCode, error: thrown })
    worker.on('message', onMessage).on('error', onError).on('exit', onExit)
  }

  #release(): void {
    this.releasedAt = now()
    Atomics.store(this.#control, GO, 1)
    Atomics.notify(this.#control, GO)
    this.#open()
  }

  #end(index: number, outcome: Outcome): void {
    this.#found[index] = outcome
    if (outcome.status === 'failed') Atomics.store(this.#control, STOP, 1)
    // A worker that never came to the barrier must not keep the others there.
    const isShort = this.#readyCount < this.#workers.length
    if (isShort && outcome.status !== 'done') {
      Atomics.store(this.#control, STOP, 1)
      this.#release()
    }
    if (this.#found.every((found) => found !== undefined)) this.#settle(this.#found as Outcome[])
  }

  async #hang(timeoutMs: number): Promise<Error> {
    const hung = this.#found.flatMap((found, index) => (found === undefined ? [index] : []))
    const patience = new Promise((resolve) => setTimeout(resolve, terminateMsMax))
    await Promise.race([Promise.all(this.#workers.map((worker) => worker.terminate())), patience])
    return new Error(`hang: workers ${hung.join(', ')} did not end within ${timeoutMs} ms`)
  }
}

/** Threads that run the jobs of one module. */
export class WorkerPool {
  readonly #jobs: string
  #workers: Worker[] = []

  constructor(jobs: URL) {
    this.#jobs = jobs.href
  }

  /** Starts as many workers as there are jobs, with all of which the run begins. */
  start(options: RunOptions): Run {
    const count = options.jobs.length
    for (let index = 0; index < count; index++) {
      if (this.#workers[index] === undefined || this.#workers[index]?.threadId === -1) {
        this.#workers[index] = this.#makeWorker(index)
      }
    }
    return new Run(this.#workers.slice(0, count), options)
  }

  /** Runs all jobs to their end. Throws what the first worker that failed has to say. */
  run(options: RunOptions): Promise<RunResult> {
    return this.start(options).result()
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
    this.#workers = []
  }

  #makeWorker(worker: number): Worker {
    // Fifty threads on two cores: each needs little.
    return new Worker(new URL('./store-worker.mjs', import.meta.url), {
      workerData: { jobs: this.#jobs, worker },
      execArgv: [],
    })
  }
}

function merge(lists: readonly (Float64Array | undefined)[]): Float64Array {
  const merged = new Float64Array(lists.reduce((sum, list) => sum + (list?.length ?? 0), 0))
  let at = 0
  for (const list of lists) {
    if (list === undefined) continue
    merged.set(list, at)
    at += list.length
  }
  return merged.sort()
}
