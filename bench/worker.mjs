// One worker thread of the rows P6, P7 and P10: opens the store, says so, runs what it is told.

import { parentPort, workerData } from 'node:worker_threads'
import { collectGarbage } from './measure.mjs'
import { loadPeer } from './peers/index.mjs'
import { makeRandom, makeWorkload, streamMemories } from './workload.mjs'

const { subject, dimensions, path, n, job, index } = workerData
const random = makeRandom(index + 1)
const freshPool = 1000
const heldReads = 10_000
const pipelined = 128

/** Ids in no order, made before any clock: making one costs as much as a good look-up. */
const ids = Array.from({ length: 65_536 }, () => `mem-${Math.floor(random() * n)}`)

async function openStore() {
  const { open, keepsNothing } = await loadPeer(subject)
  const opened = await open(path, { dimensions, durability: 'process', multithreading: true })
  if (keepsNothing) opened.putMany(streamMemories(makeWorkload(dimensions), 0, n))
  return opened
}

/** Puts of new memories and gets of old ones in turn; a subject that queues puts waits for every 128th. */
function makeMixed(opened) {
  const pool = [...streamMemories(makeWorkload(dimensions), 0, freshPool)]
  let fresh = 0
  return async (operations) => {
    let last
    for (let i = 0; i < operations; i += 2) {
      fresh += 1
      const id = `new-${index}-${fresh}`
      last = (opened.putQueued ?? opened.put)({ ...pool[fresh % freshPool], id })
      if (fresh % pipelined === 0 && last !== undefined) await last
      opened.get(ids[fresh % ids.length])
    }
    await last
  }
}

function makeGets(opened) {
  return (operations) => {
    for (let i = 0; i < operations; i += 1) opened.get(ids[i % ids.length])
  }
}

const makers = { get: makeGets, mixed: makeMixed }

const opened = job === 'idle' ? undefined : await openStore()
if (job === 'hold') makeGets(opened)(heldReads)
const run = makers[job]?.(opened)

async function settle() {
  collectGarbage()
  await new Promise((resolve) => setImmediate(resolve))
  collectGarbage()
  parentPort.postMessage('settled')
}

parentPort.on('message', async (message) => {
  if (message === 'settle') return settle()
  if (message === 'stop') {
    await opened?.close()
    parentPort.close()
    return
  }
  const begin = performance.timeOrigin + performance.now()
  await run(message.operations)
  parentPort.postMessage({ operations: message.operations, begin, end: performance.timeOrigin + performance.now() })
})
parentPort.postMessage('ready')
