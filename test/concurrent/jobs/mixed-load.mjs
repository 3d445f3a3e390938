// The job of mixed-load.test.ts: one worker's share of a mixed load, with an oracle.
//
// A worker alone writes its own ids and knows exactly what each holds; all workers replace the shared ids, which are
// stamped and never absent. `shared[0]` is set by the parent when the time is over.

import { stampedMemory, stampedPatch, stampedProblem } from '../../support/memories.mjs'

const searchLimit = 5

function fail(problem) {
  if (problem !== undefined) throw new Error(problem)
}

class Load {
  /** Own id -> { number, base }; absent: not in the store. */
  own = new Map()
  /** Shared id -> [number, sequence] of the last write of this worker that returned. */
  last = new Map()
  sequences = 0
  conflicts = 0
  counts = {}
  #number
  #newest = new Map()

  constructor(context) {
    const { ownIds, sharedIds, dimensions } = context.arguments
    Object.assign(this, { context, store: context.store, sharedIds, dimensions })
    this.ids = Array.from({ length: ownIds }, (_, at) => `own-${context.worker}-${at}`)
    this.#number = context.worker
  }

  nextNumber() {
    this.#number += this.context.workers
    return this.#number
  }

  /** A shared memory must be whole and never older than before. */
  checkShared(id, memory) {
    if (memory === undefined) throw new Error(`${id} is lost`)
    fail(stampedProblem(memory, id, this.dimensions))
    if (memory.sequence < (this.#newest.get(id) ?? 0)) throw new Error(`the sequence of ${id} went back`)
    this.#newest.set(id, memory.sequence)
  }

  checkOwn(id, memory) {
    const known = this.own.get(id)
    if (known === undefined) {
      if (memory !== undefined) throw new Error(`${id} is back after its deletion`)
      return
    }
    if (memory === undefined) throw new Error(`${id} is lost`)
    fail(stampedProblem(memory, id, this.dimensions))
    const { number, base } = memory.metadata
    if (number !== known.number || base !== known.base) {
      throw new Error(`${id} holds write ${number} on ${base}, not ${known.number} on ${known.base}`)
    }
  }

  noteShared(id, number, sequence) {
    this.last.set(id, [number, sequence])
    if (sequence > 0) this.#newest.set(id, Math.max(sequence, this.#newest.get(id) ?? 0))
  }

  put() {
    const number = this.nextNumber()
    const id = this.context.pick(this.ids)
    this.store.put(stampedMemory(id, number, this.dimensions))
    this.own.set(id, { number, base: number })
    this.sequences++
  }

  putShared() {
    const number = this.nextNumber()
    const id = this.context.pick(this.sharedIds)
    this.noteShared(id, number, this.store.put(stampedMemory(id, number, this.dimensions)))
    this.sequences++
  }

  get() {
    const id = this.context.pick(this.ids)
    this.checkOwn(id, this.store.get(id))
  }

  getShared() {
    const id = this.context.pick(this.sharedIds)
    this.checkShared(id, this.store.get(id))
  }

  view() {
    const id = this.context.pick(this.ids)
    this.checkOwn(id, this.store.view(id))
  }

  update() {
    const number = this.nextNumber()
    const id = this.context.pick(this.ids)
    const known = this.own.get(id)
    const updated = this.store.update(id, stampedPatch(id, number, known?.base ?? 0))
    if (updated !== (known !== undefined)) throw new Error(`update of ${id} returned ${updated}`)
    if (!updated) return
    this.own.set(id, { number, base: known.base })
    this.sequences++
  }

  updateShared() {
    const number = this.nextNumber()
    const id = this.context.pick(this.sharedIds)
    const known = this.store.get(id)
    this.checkShared(id, known)
    const { sequence, metadata } = known
    try {
      if (!this.store.update(id, stampedPatch(id, number, metadata.base), { ifSequence: sequence })) {
        throw new Error(`${id} is lost`)
      }
    } catch (error) {
      if (error.code !== 'THERMOCLINE_CONFLICT') throw error
      this.conflicts++
      return
    }
    this.noteShared(id, number, 0)
    this.sequences++
  }

  delete() {
    const id = this.context.pick(this.ids)
    const deleted = this.store.delete(id)
    if (deleted !== this.own.delete(id)) throw new Error(`delete of ${id} returned ${deleted}`)
    if (deleted) this.sequences++
  }

  // One commit: an own memory replaced, another deleted, a shared one deleted and put again.
  write() {
    const [number, numberShared] = [this.nextNumber(), this.nextNumber()]
    const [id, gone] = [this.context.pick(this.ids), this.context.pick(this.ids)]
    const shared = this.context.pick(this.sharedIds)
    const { lastSequence } = this.store.write([
      { put: stampedMemory(id, number, this.dimensions) },
      { delete: gone },
      { delete: shared },
      { put: stampedMemory(shared, numberShared, this.dimensions) },
    ])
    this.own.set(id, { number, base: number })
    this.sequences += this.own.delete(gone) ? 4 : 3
    this.noteShared(shared, numberShared, lastSequence)
  }

  search() {
    const query = Float32Array.from({ length: this.dimensions }, () => this.context.random() - 0.5)
    const hits = this.store.searchSync(query, { limit: searchLimit })
    if (hits.length !== searchLimit) throw new Error(`${hits.length} hits, not ${searchLimit}`)
    if (new Set(hits.map(({ memory }) => memory.id)).size !== searchLimit) throw new Error('a hit came twice')
    for (const { memory } of hits) {
      fail(stampedProblem(memory, memory.id, this.dimensions))
      if (memory.id.startsWith(`own-${this.context.worker}-`)) this.checkOwn(memory.id, memory)
    }
  }

  touch() {
    const id = this.context.pick(this.ids)
    const touched = this.store.touch(id)
    if (touched !== this.own.has(id)) throw new Error(`touch of ${id} returned ${touched}`)
  }

  entries() {
    const seen = new Set()
    let own = 0
    for (const memory of this.store.entries()) {
      if (seen.has(memory.id)) throw new Error(`entries: ${memory.id} twice`)
      seen.add(memory.id)
      if (!memory.id.startsWith(`own-${this.context.worker}-`)) continue
      this.checkOwn(memory.id, memory)
      own++
    }
    if (own !== this.own.size) throw new Error(`entries: ${own} own memories, not ${this.own.size}`)
    for (const id of this.sharedIds) if (!seen.has(id)) throw new Error(`entries: ${id} is missing`)
  }
}

/** Parts of 10,000. A search reads every slot, entries every memory: they are few. */
const mixture = Object.entries({
  put: 1800,
  putShared: 600,
  get: 2500,
  getShared: 1200,
  view: 1000,
  update: 900,
  updateShared: 400,
  delete: 500,
  write: 500,
  touch: 590,
  search: 9,
  entries: 1,
})
const total = mixture.reduce((sum, [, parts]) => sum + parts, 0)

function drawKind(random) {
  let left = random() * total
  for (const [kind, parts] of mixture) {
    left -= parts
    if (left < 0) return kind
  }
  return 'get'
}

/** Works until the parent says stop. Returns the oracle and counts. */
export function mixedLoad(context) {
  const load = new Load(context)
  let operations = 0
  context.start()
  while (Atomics.load(context.shared, 0) === 0 && !context.stopped) {
    const kind = drawKind(context.random)
    const startedAt = performance.now()
    load[kind]()
    const group = kind.replace('Shared', '')
    if (operations++ % 16 === 0 || group === 'search' || group === 'entries') {
      context.noted(group, performance.now() - startedAt)
    }
    load.counts[group] = (load.counts[group] ?? 0) + 1
  }
  const { own, last, sequences, conflicts, counts } = load
  return { own: [...own], last: [...last], sequences, conflicts, counts, operations }
}
