// A client of the histories: at a moment that all clients know it begins its operations, and notes of each when it
// began and ended, on the clock that all processes of a host share (CLOCK_MONOTONIC).
//
// In a history with kills the notes go to the oracle's log, because memory dies with the process.

import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { hashOf, randomFrom } from '../../support/memories.mjs'
import { OracleLog } from './oracle-log.mjs'

const { directory, worker, dimensions, keys } = workerData
const store = open(directory, { dimensions, durability: 'none' })
const sleeper = new Int32Array(new SharedArrayBuffer(4))

// What an update sets names its own number only, what a put alone sets names the put's: a read tells both.

function patchOf(key, number) {
  return { content: `${key} ${number} ${'.'.repeat(number % 300)}`, metadata: { number } }
}

function memoryOf(key, number) {
  return { id: key, embedding: new Float32Array(dimensions).fill(number), createdAt: number, ...patchOf(key, number) }
}

function read(memory, id) {
  if (memory === undefined) return { state: '', sequence: 0 }
  const { number } = memory.metadata
  const base = memory.createdAt
  const isWhole = memory.content === patchOf(id, number).content && memory.embedding.every((value) => value === base)
  if (memory.id !== id || !isWhole) throw new Error(`torn: ${id} read as ${JSON.stringify(memory).slice(0, 200)}`)
  return { state: `${number}/${base}`, sequence: memory.sequence }
}

class Client {
  constructor({ history, seed, operations, startAt, since, logPrefix }) {
    this.random = randomFrom(hashOf(`${seed} ${history} ${worker}`))
    this.below = (bound) => Math.floor(this.random() * bound)
    this.history = history
    this.operations = operations
    this.epoch = BigInt(startAt)
    // Unique in the history, and small enough for a 32-bit float.
    this.number = worker * operations * 3
    this.since = since
    this.log = logPrefix === undefined ? undefined : new OracleLog(`${logPrefix}-${worker}`)
    this.events = []
    this.snapshots = []
  }

  now() {
    return Number(process.hrtime.bigint() - this.epoch)
  }

  key() {
    return `h${this.history}-k${this.below(keys)}`
  }

  note(operation, action) {
    const begin = this.now()
    if (this.log === undefined) {
      const result = action()
      this.events.push({ ...operation, begin, ...result, end: this.now() })
    } else this.log.run({ ...operation, begin }, () => ({ ...action(), end: this.now() }))
  }

  get() {
    const key = this.key()
    this.note({ kind: 'get', key }, () => {
      const { state, sequence } = read(store.get(key), key)
      return { result: state, sequence }
    })
  }

  put() {
    const key = this.key()
    const number = ++this.number
    const memory = memoryOf(key, number)
    this.note({ kind: 'put', key, number }, () => ({ sequence: store.put(memory) }))
  }

  update() {
    const key = this.key()
    const number = ++this.number
    this.note({ kind: 'update', key, number }, () => ({ result: store.update(key, patchOf(key, number)) }))
  }

  delete() {
    const key = this.key()
    this.note({ kind: 'delete', key }, () => ({ result: store.delete(key) }))
  }

  write() {
    const puts = [...new Set([this.key(), this.key(), this.key()])].map((key) => ({ key, number: ++this.number }))
    const operations = puts.map(({ key, number }) => ({ put: memoryOf(key, number) }))
    this.note({ kind: 'write', puts }, () => ({ sequence: store.write(operations).lastSequence }))
  }

  snapshot() {
    const begin = this.now()
    const memories = []
    for (const memory of store.entries({ since: this.since })) {
      if (!memory.id.startsWith(`h${this.history}-`)) throw new Error(`${memory.id} is above sequence ${this.since}`)
      memories.push({ id: memory.id, ...read(memory, memory.id) })
    }
    this.snapshots.push({ begin, memories, end: this.now() })
  }

  run() {
    while (process.hrtime.bigint() < this.epoch) Atomics.wait(sleeper, 0, 0, 0.2)
    for (let at = 0; at < this.operations; at++) {
      const choice = this.below(100)
      if (choice < 34) this.get()
      else if (choice < 56) this.put()
      else if (choice < 70) this.update()
      else if (choice < 80) this.delete()
      else if (choice < 93) this.write()
      else this.snapshot()
      // Gives the processor to another client: on two cores eight of them would else run one after the other.
      if (this.below(3) === 0) Atomics.wait(sleeper, 0, 0, 0.02 + this.random() * 0.2)
    }
    return { events: this.events, snapshots: this.snapshots }
  }
}

parentPort.on('message', (message) => {
  if (message.type === 'history') parentPort.postMessage({ type: 'ran', ...new Client(message).run() })
  if (message.type === 'close') {
    store.close()
    process.exit()
  }
})
parentPort.postMessage({ type: 'ready' })
