// Worker threads of a subject's process: started here, running worker.mjs.

import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

const program = new URL('./worker.mjs', import.meta.url)

class BenchWorker {
  #worker
  #answer

  constructor(data) {
    this.#worker = new Worker(program, { workerData: data })
    this.ready = this.#expect()
    this.#worker.on('message', (message) => this.#answer.resolve(message))
    this.#worker.on('error', (error) => this.#answer.reject(error))
  }

  #expect() {
    return new Promise((resolve, reject) => {
      this.#answer = { resolve, reject }
    })
  }

  /** Resolves with { operations, begin, end }, the times in ms of a clock that all workers share. */
  run(operations) {
    const answer = this.#expect()
    this.#worker.postMessage({ operations })
    return answer
  }

  /** Collects the worker's garbage. */
  settle() {
    const answer = this.#expect()
    this.#worker.postMessage('settle')
    return answer
  }

  async stop() {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.postMessage('stop')
    await ended
  }
}

/** `count` workers that opened the store of `n` memories at `path` and are ready for `job`. */
export async function startWorkers({ subject, options: { dimensions } }, { path, n, job, count }) {
  const workers = Array.from(
    { length: count },
    (_, index) => new BenchWorker({ subject, dimensions, path, n, job, index }),
  )
  await Promise.all(workers.map(({ ready }) => ready))
  return workers
}

export async function stopWorkers(workers) {
  await Promise.all(workers.map((worker) => worker.stop()))
}

/** Anonymous resident memory of this process in bytes: what no other process or file shares. */
export function readPrivateMemory() {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))
  return Number(kilobytes) * 1024
}
