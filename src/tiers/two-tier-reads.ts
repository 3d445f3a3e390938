// Warm and cold as one place for memories: reads of many, each of one moment of both.
//
// A snapshot of the catalogue is taken, then one of warm; if nothing has moved between, they are of one moment, else both
// are taken again. A search, whose snapshot of warm is taken on another thread, looks again afterwards.

import { setImmediate } from 'node:timers/promises'
import { abortError, closedError, Failure, failure, isThermoclineError, wrongType } from '../errors'
import { describe, readChangesOptions, readEntriesOptions, readSearchOptions } from '../options'
import type { Change, Filter, Hit, Memory, SearchOptions, Vector } from '../types'
import type { ContentLog, LogRecord } from '../warm/content-log'
import { copyVector, encodeVector } from '../warm/vector'
import type { WarmTier } from '../warm/warm-tier'
import { type CatalogueSnapshot, isControlId, recordsToPass } from './catalogue'
import type { ColdEntries, ColdTier } from './cold-tier'
import { mergeHits } from './score'

const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object
const end: IteratorReturnResult<undefined> = { done: true, value: undefined }
/** How often a search is repeated because memories moved under it, before hits of both places are united. */
const searchesMax = 3
/** Milliseconds for which a scan of cold keeps the event loop. */
const sliceMs = 8

/** The memories of both tiers by sequence, as they were at one moment. */
export class TieredEntries implements IterableIterator<Memory> {
  readonly #cold: ColdTier
  readonly #isClosed: () => boolean
  #snapshot: CatalogueSnapshot | undefined
  readonly #warmEntries: IterableIterator<Memory>
  readonly #coldEntries: ColdEntries
  #nextWarm: Memory | undefined
  #nextCold: Memory | undefined
  #done = false

  constructor(warm: WarmTier, cold: ColdTier, options: unknown, isClosed: () => boolean) {
    const { since, where: text } = readEntriesOptions(options)
    const where = text === undefined ? undefined : (JSON.parse(text) as Filter)
    this.#cold = cold
    this.#isClosed = isClosed
    for (;;) {
      const snapshot = cold.pinNow()
      const entries = warm.entries({ since, where })
      if (cold.catalogue.isCurrent(snapshot)) {
        this.#snapshot = snapshot
        this.#warmEntries = entries
        this.#coldEntries = cold.entriesOf(snapshot, since, where)
        return
      }
      cold.unpin(snapshot)
      entries.return?.()
    }
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<Memory, undefined> {
    if (this.#done) return end
    if (this.#isClosed()) {
      this.#done = true
      throw closedError()
    }
    this.#nextWarm ??= this.#readWarm()
    this.#nextCold ??= this.#coldEntries.next()
    const [warm, cold] = [this.#nextWarm, this.#nextCold]
    if (warm === undefined && cold === undefined) return this.return()
    if (cold === undefined || (warm !== undefined && warm.sequence < cold.sequence)) {
      this.#nextWarm = undefined
      return { done: false, value: warm as Memory }
    }
    this.#nextCold = undefined
    return { done: false, value: cold }
  }

  #readWarm(): Memory | undefined {
    for (;;) {
      const { done, value } = this.#warmEntries.next()
      if (done === true) return undefined
      if (!isControlId(value.id)) return value
    }
  }

  return(): IteratorReturnResult<undefined> {
    this.#done = true
    this.#warmEntries.return?.()
    if (this.#snapshot !== undefined) this.#cold.unpin(this.#snapshot)
    this.#snapshot = undefined
    return end
  }
}

Object.setPrototypeOf(TieredEntries.prototype, IteratorPrototype)

/** Records that are looked back on at first; more when they are all of one frame. */
const lookBackRecords = 4

/**
 * How many records after `since` are no writes of users because of a marker before it: a memory that came back from cold
 * has a sequence in the middle of a frame that moves. 0 where the log does not reach back that far.
 */
function recordsToPassAfter(log: ContentLog, since: number): number {
  for (let count = lookBackRecords; since > 0; count *= 4) {
    const from = Math.max(0, since - count)
    const frame = readFrame(log, from, since)
    if (frame === undefined) continue
    let passing = 0
    for (const { kind, id } of frame) {
      const toPass = kind === 'put' ? recordsToPass(id) : undefined
      passing = toPass ?? Math.max(0, passing - 1)
    }
    return passing
  }
  return 0
}

/** The records up to `until` of the frame that goes on behind it, if one does. Undefined: it begins before `from`. */
function readFrame(log: ContentLog, from: number, until: number): LogRecord[] | undefined {
  let frame: LogRecord[] = []
  let isWhole = from === 0
  let last: LogRecord | undefined
  try {
    for (const record of log.records({ since: from })) {
      // Records of one frame lie one after the other; between frames there is a header.
      if (last !== undefined && (last.segment !== record.segment || last.offset + last.length !== record.offset)) {
        frame = []
        isWhole = true
      }
      if (record.sequence > until) return isWhole ? frame : undefined
      frame.push(record)
      last = record
    }
  } catch (error) {
    if (!isThermoclineError(error) || error.code !== Failure.CHANGES_GONE.code) throw error
  }
  return []
}

/** What users wrote, of all that the warm log tells: moves are passed over. */
export class TieredChanges implements AsyncIterableIterator<Change> {
  readonly #changes: AsyncIterableIterator<Change>
  /** Undefined before the first step. */
  #passing: number | undefined = undefined
  readonly #passFirst: () => number
  /** The step asked for last: how many records to pass over is known only once the one before it is done. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(warm: WarmTier, options: unknown) {
    const { since, follow, signal } = readChangesOptions(options)
    this.#changes = warm.changes({ since, follow, signal })
    this.#passFirst = () => recordsToPassAfter(warm.log, since)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    const step = this.#turn.then(() => this.#step())
    this.#turn = step.catch(() => undefined)
    return step
  }

  async #step(): Promise<IteratorResult<Change, undefined>> {
    for (;;) {
      const step = await this.#changes.next()
      if (step.done === true) return end
      this.#passing ??= this.#passFirst()
      const { kind, id } = step.value
      const toPass = kind === 'put' ? recordsToPass(id) : undefined
      if (toPass !== undefined) this.#passing = toPass
      else if (this.#passing > 0) this.#passing -= 1
      else if (!isControlId(id)) return step
    }
  }

  async return(): Promise<IteratorResult<Change, undefined>> {
    await this.#changes.return?.()
    return end
  }
}

/** What is searched for, in both tiers: a copy, because the caller may change its arrays and objects while it waits. */
interface Question {
  readonly vectors: Float32Array[]
  readonly options: SearchOptions & { limit: number }
}

/** SearchOptions that are checked and nobody else's. */
export function ownSearchOptions(options: unknown): SearchOptions & { limit: number } {
  const { limit, minScore, exact, recall, threads, filter, signal } = readSearchOptions(options)
  return {
    limit,
    minScore: Number.isNaN(minScore) ? undefined : minScore,
    exact,
    recall: Number.isNaN(recall) ? undefined : recall,
    threads: threads === 0 ? undefined : threads,
    filter: filter === undefined ? undefined : (JSON.parse(filter) as Filter),
    signal,
  }
}

/** Searches both tiers. Hits are exact in cold, in warm as the options ask for. */
export class TieredSearch {
  readonly #warm: WarmTier
  readonly #cold: ColdTier
  readonly #dimensions: number
  readonly #isClosed: () => boolean

  constructor(warm: WarmTier, cold: ColdTier, isClosed: () => boolean) {
    this.#warm = warm
    this.#cold = cold
    this.#dimensions = warm.stats().dimensions
    this.#isClosed = isClosed
  }

  /** What only the core knows to be wrong, such as a NaN in a Float32Array, is left to warm, which is asked first. */
  #read(queries: readonly unknown[], options: unknown): Question {
    const own = ownSearchOptions(options)
    const vectors: Float32Array[] = []
    // By number, so that a hole is an error too.
    for (let at = 0; at < queries.length; at++) {
      vectors.push(copyVector(encodeVector(queries[at], this.#dimensions, 'a query')))
    }
    return { vectors, options: own }
  }

  async searchMany(queries: readonly Vector[], options?: SearchOptions): Promise<Hit[][]> {
    if (!Array.isArray(queries)) throw wrongType(`queries must be an array of vectors, not ${describe(queries)}`)
    return await this.#searchMany(this.#read(queries, options))
  }

  async #searchMany(question: Question): Promise<Hit[][]> {
    const { vectors, options } = question
    for (let attempt = 1; ; attempt++) {
      const before = this.#cold.pinNow()
      try {
        const hits = await this.#warm.searchMany(vectors, options)
        if (this.#isClosed()) throw closedError()
        if (before.root.segments.length === 0 && this.#cold.catalogue.isCurrent(before)) return hits
        const scanned = await this.#scanSlowly(before, question)
        if (this.#cold.catalogue.isCurrent(before)) return mergeEach(hits, [scanned], options.limit)
        if (attempt === searchesMax) return mergeEach(hits, [scanned, this.#scan(question)], options.limit)
      } finally {
        this.#cold.unpin(before)
      }
    }
  }

  async search(query: Vector, options?: SearchOptions): Promise<Hit[]> {
    const question = this.#read([query], options)
    const before = this.#cold.catalogue.root()
    if (before.segments.length === 0) {
      const hits = await this.#warm.search(question.vectors[0] as Float32Array, question.options)
      if (this.#isClosed()) throw closedError()
      if (this.#cold.catalogue.root() === before) return hits
    }
    const [hits] = await this.#searchMany(question)
    return hits as Hit[]
  }

  searchSync(query: Vector, given?: SearchOptions): Hit[] {
    const question = this.#read([query], given)
    const { vectors, options } = question
    for (let attempt = 1; ; attempt++) {
      const before = this.#cold.pinNow()
      try {
        const hits = this.#warm.searchSync(vectors[0] as Float32Array, options)
        if (before.root.segments.length === 0 && this.#cold.catalogue.isCurrent(before)) return hits
        const scanned = scanFully(this.#cold, before, question)
        if (this.#cold.catalogue.isCurrent(before)) return mergeEach([hits], [scanned], options.limit)[0] as Hit[]
        if (attempt === searchesMax) {
          return mergeEach([hits], [scanned, this.#scan(question)], options.limit)[0] as Hit[]
        }
      } finally {
        this.#cold.unpin(before)
      }
    }
  }

  /** Of now: with a scan of an earlier moment it leaves out nothing that moved between. */
  #scan(question: Question): Hit[][] {
    const snapshot = this.#cold.pinNow()
    try {
      return scanFully(this.#cold, snapshot, question)
    } finally {
      this.#cold.unpin(snapshot)
    }
  }

  /** A scan that lets others run. */
  async #scanSlowly(snapshot: CatalogueSnapshot, { vectors, options }: Question): Promise<Hit[][]> {
    const found: Hit[][] = []
    let resumedAt = performance.now()
    for (const vector of vectors) {
      const steps = this.#cold.scan(snapshot, vector, options)
      for (let step = steps.next(); ; step = steps.next()) {
        if (step.done === true) {
          found.push(step.value)
          break
        }
        if (performance.now() - resumedAt < sliceMs) continue
        await setImmediate()
        if (this.#isClosed()) throw closedError()
        if (options.signal?.aborted === true) throw abortError(options.signal)
        resumedAt = performance.now()
      }
    }
    return found
  }
}

function scanFully(cold: ColdTier, snapshot: CatalogueSnapshot, { vectors, options }: Question): Hit[][] {
  return vectors.map((vector) => {
    const steps = cold.scan(snapshot, vector, options)
    for (;;) {
      const step = steps.next()
      if (step.done === true) return step.value
    }
  })
}

/** The hits of each query from both places; of an id that was seen in two of them while it moved, the newest. */
function mergeEach(warm: readonly Hit[][], scans: readonly Hit[][][], limit: number): Hit[][] {
  return warm.map((hits, at) => {
    const newest = new Map<string, Hit>()
    for (const hit of [hits, ...scans.map((scan) => scan[at] ?? [])].flat()) {
      const known = newest.get(hit.memory.id)
      if (known === undefined || known.memory.sequence < hit.memory.sequence) newest.set(hit.memory.id, hit)
    }
    return mergeHits([[...newest.values()]], limit)
  })
}

/** NOT_FOUND for a cue that names a memory that is not there. */
export function absentMemory(id: string): Error {
  return failure(Failure.NOT_FOUND, `there is no memory ${JSON.stringify(id.slice(0, 40))}`)
}
