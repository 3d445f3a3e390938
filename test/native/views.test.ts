// Goal: a view can harm nobody, whatever becomes of its buffer. Method: buffers are transferred, cloned, posted, written
// to and outlived by their store; the store must show the old bytes and the process must live.

import { MessageChannel } from 'node:worker_threads'
import { type MemoryView, open } from 'thermocline'
import { expect, test } from 'vitest'
import { mappingsOf, outcomeOf, runProgram } from '../support/processes.js'
import { temporaryDirectory, temporaryStore } from '../support/temporary.js'

const dimensions = 64
const memories = 300
const vector = (at: number) => new Float32Array(dimensions).fill(at + 1)

function makeStore() {
  const made = temporaryStore(open, { dimensions })
  made.store.putMany(
    Array.from({ length: memories }, (_, at) => ({ id: `m${at}`, embedding: vector(at), content: `text ${at}` })),
  )
  return made
}

/** Everything that could be done to a buffer. A refusal is fine; a crash is not. */
function* mistreatments(): Generator<[string, (buffer: ArrayBuffer) => unknown]> {
  yield ['structuredClone', (buffer) => structuredClone(buffer)]
  yield ['transfer by structuredClone', (buffer) => structuredClone(buffer, { transfer: [buffer] })]
  yield ['postMessage', (buffer) => new MessageChannel().port1.postMessage(buffer)]
  yield ['transfer by postMessage', (buffer) => new MessageChannel().port1.postMessage(buffer, [buffer])]
  yield ['write', (buffer) => new Uint8Array(buffer).fill(0xff)]
  yield ['slice', (buffer) => buffer.slice(0)]
  yield ['node Buffer', (buffer) => Buffer.from(buffer).fill(1)]
}

test.each([...mistreatments()])(
  '%s of the buffer behind a view: the store shows the old bytes and closes',
  (_name, mistreat) => {
    const { store, again } = makeStore()
    const kept: MemoryView[] = []
    for (let round = 0; round < 3; round++) {
      const view = store.view('m7') as MemoryView
      kept.push(view)
      try {
        mistreat(view.embedding?.buffer as ArrayBuffer)
      } catch {
        // Refused, which is as good.
      }
      expect(store.get('m7')?.embedding).toEqual(vector(7))
      expect(store.searchSync(vector(7), { limit: memories })).toHaveLength(memories)
    }
    expect(store.view('m8')?.embedding).toHaveLength(dimensions)
    store.close()
    for (const view of kept) expect([view.embedding?.length, view.embedding?.byteLength]).toEqual([0, 0])
    const reopened = again()
    for (let at = 0; at < memories; at++) expect(reopened.get(`m${at}`)?.embedding).toEqual(vector(at))
  },
)

test('a clone of the buffer of a view is a copy that outlives the store', () => {
  const { store } = makeStore()
  const view = store.view('m7') as MemoryView
  const clone = structuredClone(view.embedding) as Float32Array
  store.close()
  expect(clone).toEqual(vector(7))
})

test('a stray write into a view reaches neither get, nor search, nor the file, nor another process', async () => {
  const { store, directory, again } = makeStore()
  const view = store.view('m7') as MemoryView
  new Float32Array(view.embedding?.buffer as ArrayBuffer).fill(Number.NaN)
  for (let at = 0; at < memories; at++) expect(store.get(`m${at}`)?.embedding).toEqual(vector(at))
  expect(await store.verify()).toEqual({ ok: true, memories, problems: [] })
  const program = `
    const store = open(args[0])
    let wrong = 0
    for (const { id, embedding } of store.entries()) if (embedding.some((value) => value !== Number(id.slice(1)) + 1)) wrong++
    console.log(wrong, store.size)
  `
  await store.flush()
  store.close()
  const child = runProgram(program, [directory])
  expect([outcomeOf(child), child.stdout]).toEqual([{ status: 0, signal: null }, `0 ${memories}\n`])
  expect(again().view('m7')?.embedding).toEqual(vector(7))
})

test('buffers of views that outlive their store, transferred or not, and are collected later crash nothing', () => {
  const program = `
    const { MessageChannel } = await import('node:worker_threads')
    const kept = []
    for (let round = 0; round < 60; round++) {
      const store = open(args[0], { dimensions: 64, durability: 'none' })
      store.put({ id: 'a', embedding: new Float32Array(64).fill(round) })
      const view = store.view('a')
      const { buffer } = view.embedding
      kept.push(view, new Float32Array(buffer, 0, 1))
      if (round % 3 === 0) try { kept.push(structuredClone(buffer, { transfer: [buffer] })) } catch {}
      if (round % 3 === 1) { const { port1, port2 } = new MessageChannel(); try { port1.postMessage(buffer, [buffer]) } catch {}; port1.close(); port2.close() }
      if (round % 2 === 0) gc()
      store.close()
      if (round % 10 === 9) { kept.length = 0; gc(); await new Promise(setImmediate); gc() }
      for (const each of kept) if (each.length > 0) each[0] = 1
    }
    gc()
  `
  expect(outcomeOf(runProgram(program, [`${temporaryDirectory()}/store`]))).toEqual({ status: 0, signal: null })
})

test('views of many segments keep one private mapping a segment, given back after close', async () => {
  const { store, directory } = makeStore()
  store.putMany(Array.from({ length: 3000 }, (_, at) => ({ id: `n${at}`, embedding: vector(at) })))
  const before = mappingsOf(directory).length
  for (let at = 0; at < 3000; at++) expect(store.view(`n${at}`)?.embedding?.[0]).toBe(at + 1)
  const { segments } = store.stats()
  expect(mappingsOf(directory).length - before).toBeLessThanOrEqual(segments * 2)
  store.close()
  await new Promise(setImmediate)
  expect(mappingsOf(directory)).toEqual([])
})

test('views made while the segment grows show every memory, older views stay as they are', () => {
  const { store } = temporaryStore(open, { dimensions })
  const views: (MemoryView | undefined)[] = []
  for (let at = 0; at < 3000; at++) {
    store.put({ id: `m${at}`, embedding: vector(at) })
    views.push(store.view(`m${at}`))
  }
  views.forEach((view, at) => {
    expect([view?.embedding?.length, view?.embedding?.[0]]).toEqual([dimensions, at + 1])
  })
})
