// Jobs of the tests of compaction under load: see store-worker.mjs for what a job is given.

import { derivedMemory, derivedProblem } from '../../support/memories.mjs'

function fail(problem) {
  if (problem !== undefined) throw new Error(problem)
}

/** Compacts until `others` workers have ended, which the word at `shared[0]` counts. Returns how often. */
export async function compactAll(context) {
  context.start()
  let count = 0
  let moved = 0
  while (!context.stopped && (Atomics.load(context.shared, 0) < context.arguments.others || count === 0)) {
    const startedAt = performance.now()
    const result = await context.store.compact()
    context.noted('compact', performance.now() - startedAt)
    moved += result.moved
    count += 1
  }
  return { count, moved }
}

function done(context) {
  Atomics.add(context.shared, 0, 1)
}

/** Gets memories of `ids`, all of which stay, `reads` times. */
export function readKept(context) {
  const { ids, bytes, dimensions, reads } = context.arguments
  context.start()
  try {
    for (let read = 0; read < reads; read++) {
      const id = context.pick(ids)
      const found = context.timed('get', () => context.store.get(id))
      fail(derivedProblem(found, derivedMemory(id, bytes, dimensions)))
    }
  } finally {
    done(context)
  }
  return reads
}

/** Puts its own memories, some of them again and again, touches them, and reads each back. */
export function writeOwn(context) {
  const { count, bytes, dimensions } = context.arguments
  context.start()
  try {
    for (let at = 0; at < count; at++) {
      const memory = derivedMemory(`own-${context.worker}-${at % Math.ceil(count / 2)}`, bytes, dimensions)
      context.timed('put', () => context.store.put(memory))
      context.store.touch(memory.id)
      fail(derivedProblem(context.store.get(memory.id), memory))
    }
  } finally {
    done(context)
  }
}

/** Deletes the memories of `ids`. */
export function removeAll(context) {
  const { ids } = context.arguments
  context.start()
  try {
    for (const id of ids) {
      if (!context.timed('delete', () => context.store.delete(id))) throw new Error(`${id} was not there`)
    }
  } finally {
    done(context)
  }
}

/** Iterates, holds views and searches: what was taken before a compaction stays what it was. */
export async function lookAround(context) {
  const { ids, bytes, dimensions, rounds } = context.arguments
  context.start()
  try {
    for (let round = 0; round < rounds; round++) {
      const held = ids.slice(0, 20).map((id) => context.store.view(id))
      const wanted = new Set(ids)
      let kept = 0
      for (const memory of context.store.entries()) {
        if (!wanted.has(memory.id)) continue
        fail(derivedProblem(memory, derivedMemory(memory.id, bytes, dimensions)))
        kept += 1
      }
      if (kept !== ids.length) throw new Error(`entries gave ${kept} of ${ids.length} memories that stay`)
      const id = context.pick(ids)
      const { embedding } = derivedMemory(id, bytes, dimensions)
      const hits = await context.store.search(embedding, { limit: 3, exact: true })
      if (!hits.some((hit) => hit.memory.id === id)) throw new Error(`search did not find ${id}`)
      for (const view of held) {
        const expected = derivedMemory(view.id, bytes, dimensions)
        if (view.content !== expected.content) throw new Error(`the view of ${view.id} changed its content`)
        if (view.embedding.some((value, at) => value !== expected.embedding[at])) throw new Error('a view changed')
      }
    }
  } finally {
    done(context)
  }
}

/** Follows the changes; begins anew where compaction gave them back. Sequences have no gap in between. */
export async function followAll(context) {
  context.start()
  let seen = 0
  let gone = 0
  let since = context.store.sequence
  while (!context.stopped && Atomics.load(context.shared, 0) < context.arguments.others) {
    try {
      for await (const change of context.store.changes({ since })) {
        if (change.sequence !== since + 1) throw new Error(`change ${change.sequence} after ${since}`)
        since = change.sequence
        seen += 1
      }
      await new Promise((resolve) => setImmediate(resolve))
    } catch (error) {
      if (error.code !== 'THERMOCLINE_CHANGES_GONE') throw error
      gone += 1
      since = context.store.sequence
    }
  }
  return { seen, gone }
}
