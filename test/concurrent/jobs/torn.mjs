// Jobs of torn-reads.test.ts: writers of a few stamped memories, and readers by each path.
//
// `shared[i]` is the highest sequence of a put of id i that has returned: a read that begins later must not show an
// older one. The last word counts the writers that are done, the one before it the readers that have seen enough, until
// when the writers go on. Ids with an odd index are deleted at times.

import { stampedMemory, stampedPatch, stampedProblem } from '../../support/memories.mjs'

const viewsHeldMax = 32
const cheapReadsPerTurn = 20
const slowEvery = 500 // entries and searchSync read every slot ever written

function isDeletable(index) {
  return index % 2 === 1
}

function raise(words, index, value) {
  for (let known = Atomics.load(words, index); known < value; known = Atomics.load(words, index)) {
    if (Atomics.compareExchange(words, index, known, value) === known) return
  }
}

/** Puts, updates and deletes, at least `operations` times. Returns the count of sequences that this took. */
export function replaceStamped(context) {
  const { ids, operations, readers, dimensions } = context.arguments
  const { store, shared } = context
  let sequences = 0
  const update = (id, number) => {
    const known = store.get(id)
    if (known === undefined) return
    try {
      const patch = stampedPatch(id, number, known.metadata.base)
      if (store.update(id, patch, { ifSequence: known.sequence })) sequences++
    } catch (error) {
      if (error.code !== 'THERMOCLINE_CONFLICT') throw error // another writer was first: nothing was written
    }
  }
  const replaceInOneWrite = (index, number) => {
    const wasThere = !isDeletable(index) // whether a deletable one is there is not known, so it is not counted
    if (!wasThere) return
    const put = stampedMemory(ids[index], number, dimensions)
    const { lastSequence } = store.write([{ delete: ids[index] }, { put }])
    sequences += 2
    raise(shared, index, lastSequence)
  }
  context.start()
  const isEnough = (at) => at >= operations && Atomics.load(shared, shared.length - 2) === readers
  for (let at = 0; !isEnough(at) && !context.stopped; at++) {
    const index = context.below(ids.length)
    const number = 1 + at * context.workers + context.worker
    const chance = context.random()
    context.timed('write', () => {
      if (chance < 0.5) {
        const sequence = store.put(stampedMemory(ids[index], number, dimensions))
        sequences++
        raise(shared, index, sequence)
      } else if (chance < 0.75) update(ids[index], number)
      else if (chance < 0.85) replaceInOneWrite(index, number)
      else if (isDeletable(index) && store.delete(ids[index])) sequences++
    })
  }
  Atomics.add(shared, shared.length - 1, 1)
  return sequences
}

/** Checks of one reader: whole, never older than what it saw, never older than what had returned before. */
class Witness {
  #newest = new Map()

  constructor({ ids, dimensions }, shared) {
    this.ids = ids
    this.indexes = new Map(ids.map((id, index) => [id, index]))
    this.dimensions = dimensions
    this.shared = shared
  }

  /** What must be there at the least, before a read. */
  floors() {
    return this.ids.map((_, index) => Atomics.load(this.shared, index))
  }

  check(path, index, floor, memory) {
    const id = this.ids[index]
    if (memory === undefined) {
      if (!isDeletable(index)) throw new Error(`${path}: ${id} is missing`)
      return
    }
    const problem = stampedProblem(memory, id, this.dimensions)
    if (problem !== undefined) throw new Error(`${path}: ${problem}`)
    const { sequence } = memory
    if (sequence < floor) throw new Error(`${path}: ${id} is of ${sequence}, but put ${floor} had returned`)
    const newest = this.#newest.get(id) ?? 0
    if (sequence < newest) throw new Error(`${path}: the sequence of ${id} went back from ${newest} to ${sequence}`)
    this.#newest.set(id, sequence)
  }

  /** A snapshot: each id at most once. */
  checkAll(path, floors, memories) {
    const found = new Map()
    for (const memory of memories) {
      const index = this.indexes.get(memory.id)
      if (index === undefined) throw new Error(`${path}: ${memory.id} was never put`)
      if (found.has(index)) throw new Error(`${path}: ${memory.id} twice`)
      found.set(index, memory)
    }
    for (let index = 0; index < this.ids.length; index++) this.check(path, index, floors[index], found.get(index))
  }
}

const paths = {
  get(context, witness) {
    const index = context.below(witness.ids.length)
    const floor = Atomics.load(context.shared, index)
    const memory = context.timed('get', () => context.store.get(witness.ids[index]))
    witness.check('get', index, floor, memory)
    return 1
  },

  getMany(context, witness) {
    const floors = witness.floors()
    const memories = context.timed('getMany', () => context.store.getMany(witness.ids))
    for (const [index, memory] of memories.entries()) witness.check('getMany', index, floors[index], memory)
    return memories.length
  },

  // Strings are decoded at first touch, long after for the views that are held back.
  view(context, witness) {
    const { held } = witness
    const index = context.below(witness.ids.length)
    const floor = Atomics.load(context.shared, index)
    const view = context.timed('view', () => context.store.view(witness.ids[index]))
    if (view !== undefined && context.random() < 0.3) held.push(view)
    else witness.check('view', index, floor, view)
    if (held.length < viewsHeldMax) return 1
    for (const old of held.splice(0)) {
      const problem = stampedProblem(old, old.id, witness.dimensions)
      if (problem !== undefined) throw new Error(`held view: ${problem}`)
    }
    return 1 + viewsHeldMax
  },

  entries(context, witness) {
    const floors = witness.floors()
    const memories = context.timed('entries', () => [...context.store.entries()])
    witness.checkAll('entries', floors, memories)
    return memories.length
  },

  searchSync(context, witness) {
    const floors = witness.floors()
    const query = Float32Array.from({ length: witness.dimensions }, () => context.random() - 0.5)
    const hits = context.timed('searchSync', () => context.store.searchSync(query, { limit: witness.ids.length + 1 }))
    witness.checkAll(
      'searchSync',
      floors,
      hits.map(({ memory }) => memory),
    )
    // The score must be that of the very embedding that came back.
    for (const { memory, score } of hits) {
      const dot = memory.embedding.reduce((sum, element, at) => sum + element * query[at], 0)
      if (Math.abs(dot - score) > 1e-3)
        throw new Error(`searchSync: ${memory.id} scored ${score}, but its dot is ${dot}`)
    }
    return hits.length
  },
}

/** Reads by all paths in turn until the writers are done. Returns the count of memories checked, by path. */
export function witnessStamped(context) {
  const { writers, turnsMin } = context.arguments
  const witness = Object.assign(new Witness(context.arguments, context.shared), { held: [] })
  const counts = Object.fromEntries(Object.keys(paths).map((path) => [path, 0]))
  const last = context.shared.length - 1
  let turns = 0
  context.start()
  do {
    for (const [path, read] of Object.entries(paths)) {
      const times = path === 'entries' || path === 'searchSync' ? 1 : cheapReadsPerTurn
      for (let at = 0; at < times; at++) counts[path] += read(context, witness)
    }
    if (++turns === turnsMin) Atomics.add(context.shared, last - 1, 1)
  } while (Atomics.load(context.shared, last) < writers && !context.stopped)
  return counts
}

/** Replaces one memory by writes whose middle must never be seen: put unfinished, deleted, put whole. */
export function writeMiddles(context) {
  const { id, dimensions, readers } = context.arguments
  const { store, shared } = context
  const embedding = new Float32Array(dimensions).fill(1)
  const putOf = (whole) => ({ put: { id, embedding, metadata: { whole } } })
  const operations = [putOf(false), { delete: id }, putOf(true)]
  context.start()
  while (Atomics.load(shared, 0) < readers && !context.stopped) context.timed('write', () => store.write(operations))
}

/** Looks at that memory by all paths, `turns` times. */
export function seekMiddles(context) {
  const { id, dimensions, turns } = context.arguments
  const { store, shared } = context
  const query = new Float32Array(dimensions).fill(1)
  const seek = {
    get: () => store.get(id)?.metadata.whole,
    getMany: () => store.getMany([id])[0]?.metadata.whole,
    view: () => store.view(id)?.metadata.whole,
    has: () => store.has(id),
    locate: () => store.locate(id) !== undefined,
    entries: () => Array.from(store.entries(), ({ metadata }) => metadata.whole).join() === 'true',
    searchSync: () =>
      store
        .searchSync(query)
        .map(({ memory }) => memory.metadata.whole)
        .join() === 'true',
  }
  const slow = ['entries', 'searchSync']
  const middles = {}
  context.start()
  for (let turn = 0; turn < turns && !context.stopped; turn++) {
    for (const [path, isWhole] of Object.entries(seek)) {
      if (slow.includes(path) && turn % slowEvery !== 0) continue
      if (isWhole() !== true) middles[path] = (middles[path] ?? 0) + 1
    }
  }
  Atomics.add(shared, 0, 1)
  return middles
}
