// Ends in the middle of something, in the main thread or in a worker: by process.exit, by an uncaught exception, by a
// rejection that nobody handles, or by running out of work.

import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { actions, dimensions, memoryAt, seeded } from './worker-actions.mjs'

const { path, name, way, thread } = isMainThread ? JSON.parse(process.argv[2]) : workerData

const ways = {
  exit: () => process.exit(0),
  throw: () => {
    throw new Error('thrown on purpose')
  },
  reject: () => void Promise.reject(new Error('rejected on purpose')),
}

function run() {
  const reopen = () => open(path, { dimensions })
  const store = reopen()
  store.putMany(Array.from({ length: seeded }, (_, at) => memoryAt(at)))
  for (let at = 0; at < 20; at++) actions[name](store, at, () => {}, reopen, path)
  actions[name](store, 20, ways[way], reopen, path)
}

if (!isMainThread || thread === 'main') run()
else {
  // The main thread has the store open too, and something pending.
  const store = open(path, { dimensions })
  store.put(memoryAt(0))
  store
    .changes({ since: 1e6, follow: true })
    .next()
    .catch(() => {})
  const worker = new Worker(new URL(import.meta.url), { workerData: JSON.parse(process.argv[2]) })
  worker.on('exit', (code) => process.exit(code))
}
