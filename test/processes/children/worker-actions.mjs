// What a store may be doing when its thread or process ends: each action is one place. Used by the scripts that end
// workers, that exit, and that throw.
//
// Each is called again and again with a store that holds `m-0` to `m-63`; `at` counts the calls. What it starts and
// does not await is on purpose: promises must be pending when the end comes.

import { threadId } from 'node:worker_threads'

export const dimensions = 32
export const seeded = 64

export function memoryAt(at) {
  return {
    id: `m-${at}`,
    embedding: Float32Array.from({ length: dimensions }, (_, element) => Math.sin(at + element)),
    content: `content of ${at}`,
    metadata: { at },
  }
}

const query = new Float32Array(dimensions).fill(1)
const pass = () => {}
const kept = []

/** What the actions may leave behind them; keeps a loop of them from taking all memory. */
function keep(value) {
  kept.push(value)
  if (kept.length > 100) kept.length = 0
}

const pending = new Set()

/** Starts it unless the one before is still under way. */
function once(name, start) {
  if (pending.has(name)) return
  pending.add(name)
  const forget = () => pending.delete(name)
  start().then(forget, forget)
}

/** The buffer of views in other hands, their copy where the engine does not give it up. */
function passOn(buffer) {
  try {
    return structuredClone(buffer, { transfer: [buffer] })
  } catch {
    return structuredClone(buffer)
  }
}

function* inputs(at, during) {
  for (let offset = 0; offset < 40; offset++) {
    if (offset === 20) during()
    yield memoryAt((at + offset) % seeded)
  }
}

/** `during` runs in the middle of those actions that call user code, after the others. `path`: the store's. */
export const actions = {
  put(store, at, during) {
    store.put(memoryAt(at % seeded))
    during()
  },
  putMany(store, at, during) {
    store.putMany(inputs(at, during), { batchSize: 16 })
  },
  get(store, at, during) {
    keep(store.getMany([`m-${at % seeded}`, `m-${(at + 1) % seeded}`]))
    during()
  },
  update(store, at, during) {
    store.update(`m-${at % seeded}`, { content: `content of ${at % seeded}` })
    during()
  },
  write(store, at, during) {
    const id = `passing-${at % 3}`
    store.write([{ put: { ...memoryAt(at), id } }, { put: memoryAt(at % seeded) }, { delete: id }])
    during()
  },
  // One at a time: whoever ends waits for all that it queued.
  compact(store, at, during) {
    store.put(memoryAt(at % seeded))
    once('compact', () => store.compact())
    during()
  },
  backup(store, at, during, _reopen, path) {
    once('backup', () => store.backup(`${path}/../copy-${process.pid}-${threadId}-${at}`))
    during()
  },
  flush(store, at, during) {
    store.put(memoryAt(at % seeded))
    store.flush().catch(pass)
    during()
  },
  search(store, _at, during) {
    store.search(query, { limit: 5 }).catch(pass)
    store.searchMany([query, query], { limit: 5 }).catch(pass)
    during()
  },
  verify(store, _at, during) {
    once('verify', () => store.verify())
    during()
  },
  entries(store, _at, during) {
    const iterator = store.entries()
    for (let step = 0; step < 10; step++) keep(iterator.next().value)
    during()
  },
  view(store, at, during) {
    const view = store.view(`m-${at % seeded}`)
    keep(view)
    if (at % 2 === 0) keep(view.content)
    if (at % 5 === 0) keep(passOn(view.embedding.buffer))
    during()
  },
  follow(store, at, during) {
    const feed = store.changes({ since: store.sequence, follow: true })
    feed.next().catch(pass)
    if (at % 3 === 0) store.put(memoryAt(at % seeded))
    if (at % 3 === 1) feed.return()
    during()
  },
  openClose(_store, at, during, reopen) {
    const other = reopen()
    keep(other.view(`m-${at % seeded}`))
    other.search(query).catch(pass)
    during()
    other.close()
  },
}
