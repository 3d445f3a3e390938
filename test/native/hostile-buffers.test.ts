// Goal: arrays whose buffers are detached, shared, resized or lied about do no harm. Method: each kind is given to every
// method that takes one, before and in the middle of the call.

import { open, type Store } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { contentsOf, expectMisuse, expectUnchanged } from '../support/failures.js'
import { temporaryStore } from '../support/temporary.js'

const dimensions = 4

function makeStore(): Store {
  const { store } = temporaryStore(open, { dimensions })
  store.put({ id: 'a', embedding: [1, 2, 3, 4], content: 'kept' })
  return store
}

/** Transfers the buffer away, which detaches every array on it. */
function detach(buffer: ArrayBufferLike): void {
  structuredClone(buffer, { transfer: [buffer as ArrayBuffer] })
}

test('a typed array whose own length or prototype lies is taken as what it is', () => {
  const store = makeStore()
  const short = Object.defineProperty(new Float32Array(2), 'length', { value: dimensions })
  const buffer = new Float32Array(dimensions)
  Object.setPrototypeOf(buffer, null)
  expectUnchanged(store, () => expect(() => store.put({ id: 'b', embedding: short })).toThrow(RangeError))
  expectUnchanged(store, () => expect(() => store.searchSync(short)).toThrow(RangeError))
  expectUnchanged(store, () => expect(() => store.put({ id: 'b', embedding: buffer })).toThrow())
})

test('a detached embedding or query has length 0 and is refused', async () => {
  const store = makeStore()
  const embedding = new Float32Array([1, 2, 3, 4])
  detach(embedding.buffer)
  expectUnchanged(store, () => {
    expectMisuse(() => store.put({ id: 'b', embedding }), RangeError, 'DIMENSION')
    expectMisuse(() => store.putMany([{ id: 'b', embedding }]), RangeError, 'DIMENSION')
    expectMisuse(() => store.write([{ put: { id: 'b', embedding } }]), RangeError, 'DIMENSION')
    expectMisuse(() => store.searchSync(embedding), RangeError, 'DIMENSION')
  })
  await expect(store.search(embedding)).rejects.toMatchObject({ code: 'THERMOCLINE_DIMENSION' })
})

test('an embedding detached or shrunk by a later accessor of the same or another item is refused or kept whole', () => {
  for (const pull of [
    (array: Float32Array) => detach(array.buffer),
    (array: Float32Array) => (array.buffer as unknown as { resize(bytes: number): void }).resize(4),
  ]) {
    for (const call of ['put', 'putMany', 'write', 'write, other item'] as const) {
      const store = makeStore()
      const resizable = new (ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer)(16, {
        maxByteLength: 32,
      })
      const embedding = new Float32Array(resizable).fill(3)
      const hostile = {
        id: 'b',
        embedding,
        get confidence() {
          pull(embedding)
          return 1
        },
      }
      const before = contentsOf(store)
      const run = () => {
        if (call === 'put') return store.put(hostile)
        if (call === 'putMany') return store.putMany([hostile])
        const metadata = {
          get k() {
            pull(embedding)
            return 1
          },
        }
        const items =
          call === 'write' ? [{ put: hostile }] : [{ put: { id: 'b', embedding } }, { put: { id: 'c', metadata } }]
        return store.write(items)
      }
      expectMisuse(run, RangeError, 'DIMENSION')
      expect(contentsOf(store)).toStrictEqual(before)
    }
  }
})

test('a shared embedding that another thread writes to is stored as finite numbers only', async () => {
  const store = makeStore()
  const shared = new SharedArrayBuffer(dimensions * 4)
  const embedding = new Float32Array(shared).fill(1)
  const { Worker } = await import('node:worker_threads')
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const array = new Float32Array(workerData)
    parentPort.postMessage('begun')
    for (let round = 0; round < 3e6; round++) array[round % 4] = round % 3 === 0 ? NaN : round
  `
  const worker = new Worker(source, { eval: true, workerData: shared })
  onTestFinished(async () => void (await worker.terminate()))
  await new Promise((resolve) => worker.once('message', resolve))
  let running = true
  worker.once('exit', () => {
    running = false
  })
  for (let round = 0; running && round < 200_000; round++) {
    try {
      store.put({ id: 'b', embedding })
    } catch (error) {
      expect(error).toMatchObject({ code: 'THERMOCLINE_NOT_FINITE' })
    }
    if (round % 500 === 0) await new Promise(setImmediate)
  }
  for (const memory of store.entries()) expect(memory.embedding?.every(Number.isFinite)).toBe(true)
  expect((await store.verify()).ok).toBe(true)
})

test('the buffers behind what get returned may be detached at any time', () => {
  const store = makeStore()
  for (let round = 0; round < 50; round++) {
    const memory = store.get('a')
    expect([...(memory?.embedding ?? [])]).toEqual([1, 2, 3, 4])
    if (round % 3 === 0 && memory?.embedding) detach(memory.embedding.buffer)
    expect(store.searchSync([1, 2, 3, 4])[0]?.memory.embedding).toHaveLength(dimensions)
  }
  const iterator = store.entries()
  for (const memory of iterator) if (memory.embedding) detach(memory.embedding.buffer)
})
