// Views and their buffers, before and after close, in every way that JavaScript can pass a buffer on. Then many cycles
// of opening, viewing and closing. Ends by a signal if any of it is wrong in memory.

import { MessageChannel } from 'node:worker_threads'
import { open } from 'thermocline'
import { leave, task, tell } from './parent.mjs'
import { collectGarbage, countResources } from './resources.mjs'
import { dimensions, memoryAt, seeded } from './worker-actions.mjs'

const problems = []
function expect(what, is) {
  if (!is) problems.push(what)
}

function openSeeded() {
  const store = open(task.path, { dimensions })
  if (store.size === 0) store.putMany(Array.from({ length: seeded }, (_, at) => memoryAt(at)))
  return store
}

const isSame = (left, right) => left.length === right.length && left.every((value, at) => value === right[at])
const expected = (at) => memoryAt(at).embedding

/** Ways to pass the buffer of a view on; each gives the bytes that came of it, or undefined where it was refused. */
const passers = {
  clone: (view) => structuredClone(view.embedding),
  transferClone: (view) => {
    const { byteOffset } = view.embedding
    const buffer = structuredClone(view.embedding.buffer, { transfer: [view.embedding.buffer] })
    return new Float32Array(buffer, byteOffset, dimensions)
  },
  transfer: (view) => {
    const { byteOffset, buffer } = view.embedding
    if (buffer.transfer === undefined) return undefined
    return new Float32Array(buffer.transfer(), byteOffset, dimensions)
  },
  transferToFixedLength: (view) => {
    const { byteOffset, buffer } = view.embedding
    if (buffer.transferToFixedLength === undefined) return undefined
    return new Float32Array(buffer.transferToFixedLength(), byteOffset, dimensions)
  },
  post: (view) => {
    const { port1, port2 } = new MessageChannel()
    port1.postMessage(view.embedding)
    port1.postMessage(view.embedding.buffer, [view.embedding.buffer])
    port1.close()
    port2.close()
    return undefined
  },
  buffer: (view) => {
    const { byteOffset, byteLength, buffer } = view.embedding
    const bytes = Buffer.from(buffer, byteOffset, byteLength)
    return new Float32Array(bytes.buffer, bytes.byteOffset, dimensions)
  },
  slice: (view) => view.embedding.slice(),
}

function pass(name, view) {
  try {
    return passers[name](view)
  } catch (error) {
    // Newer engines refuse to pass on what they may not detach.
    expect(`${name} threw ${error}`, error.name === 'DataCloneError' || error instanceof TypeError)
    return undefined
  }
}

/** What shares the view's own buffer has length 0 by then. */
function readAndWrite(name, passed) {
  if (passed === undefined || passed.length === 0) return
  let sum = 0
  for (const value of passed) sum += value
  passed.fill(7)
  expect(`${name}: sum`, Number.isFinite(sum))
}

async function tryPasser(name) {
  const store = openSeeded()
  const view = store.view('m-3')
  const other = store.view('m-4')
  const untouched = store.view('m-5')
  expect(`${name}: a view is right`, isSame(view.embedding, expected(3)) && view.content === 'content of 3')
  const passed = pass(name, view)
  if (passed !== undefined) expect(`${name}: what was passed on is right`, isSame(passed, expected(3)))
  expect(`${name}: a view made afterwards is right`, isSame(store.view('m-4').embedding, expected(4)))
  if (other.embedding.length > 0) expect(`${name}: another view is right`, isSame(other.embedding, expected(4)))
  store.put({ ...memoryAt(3), content: 'later' })
  store.put(memoryAt(3))
  store.close()
  expect(`${name}: after close the length is 0`, view.embedding.length === 0 && other.embedding.length === 0)
  expect(`${name}: content that was read stays`, view.content === 'content of 3')
  let code
  try {
    untouched.content
  } catch (error) {
    code = error.code
  }
  expect(`${name}: content that was not read gives ${code}`, code === 'THERMOCLINE_CLOSED')
  expect(`${name}: an element after close is undefined`, view.embedding[0] === undefined)
  // The pages are still there for whoever holds them; reading and writing them must not crash.
  readAndWrite(name, passed)
  for (const after of Object.keys(passers)) pass(after, view)
  await collectGarbage()
  readAndWrite(name, passed)
  const again = openSeeded()
  expect(`${name}: the store has its own bytes`, isSame(again.get('m-3').embedding, expected(3)))
  expect(`${name}: and verifies`, (await again.verify()).ok)
  again.close()
}

async function writeIntoView() {
  const store = openSeeded()
  store.view('m-6').embedding.fill(9)
  expect('a write into a view does not reach the store', isSame(store.get('m-6').embedding, expected(6)))
  const hits = store.searchSync(expected(6), { limit: 1 })
  expect('nor its search', hits[0].memory.id === 'm-6' && hits[0].score > 0.999)
  expect('nor its files', (await store.verify()).ok)
  store.close()
}

function cycle(at) {
  const store = openSeeded()
  const views = [0, 1, 2, 3].map((offset) => store.view(`m-${(at + offset) % seeded}`))
  const right = views.every((view, offset) => isSame(view.embedding, expected((at + offset) % seeded)))
  expect('a view of a cycle is right', right && views[0].metadata.at === at % seeded)
  for (const memory of store.entries()) if (memory.metadata.at > 8) break
  store.search(expected(1), { limit: 2 }).catch(() => {})
  if (at % 7 === 0) store.put(memoryAt(at % seeded))
  store.close()
  expect(
    'views have length 0',
    views.every((view) => view.embedding.length === 0),
  )
}

async function cycles(from, to) {
  for (let at = from; at < to; at++) {
    cycle(at)
    // Searches that were pending hold the store until the event loop turns.
    if (at % 4 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await collectGarbage()
  await new Promise((resolve) => setTimeout(resolve, 50))
  await collectGarbage()
  return countResources(task.path)
}

for (const name of Object.keys(passers)) await tryPasser(name)
await writeIntoView()
const before = await cycles(0, task.warmUp)
const after = await cycles(task.warmUp, task.warmUp + task.cycles)
tell({ type: 'done', problems, before, after, version: process.version })
leave()
