// A process with several worker threads that run one script. Passes on what they and the parent say to each other.
//
// `stop` reaches a worker in a synchronous loop too: it sets the first of the shared words.

import { Worker } from 'node:worker_threads'
import { leave, task, tell } from './parent.mjs'

const words = new Int32Array(new SharedArrayBuffer(64))
const workers = Array.from({ length: task.workers }, (_, at) => {
  const number = task.firstWorker + at
  const worker = new Worker(new URL(task.script, import.meta.url), { workerData: { ...task, worker: number, words } })
  worker.on('message', (message) => tell({ worker: number, ...message }))
  worker.on('error', (error) => {
    console.error(error)
    process.exit(70)
  })
  return worker
})

process.on('message', (message) => {
  if (message.type === 'stop') Atomics.store(words, 0, 1)
  for (const worker of workers) worker.postMessage(message)
})

let running = workers.length
for (const worker of workers) {
  worker.on('exit', () => {
    if (--running === 0) leave()
  })
}
