// Cold: memories in sealed, compressed files, as reads see them, and as a Tier.
//
// Not here: writing files and moving memories (`cold-writer.ts`). What is read under a root that a mover has replaced
// meanwhile may name a file that is gone; then the read begins again (`withRoot`).

import { join } from 'node:path'
import { LRUCache } from 'lru-cache'
import { Failure, failure, isThermoclineError } from '../errors'
import type { Filter, Hit, Memory, Metric, Problem } from '../types'
import type { WarmTier } from '../warm/warm-tier'
import {
  Catalogue,
  type CatalogueSnapshot,
  type Counting,
  hasBit,
  type ListedSegment,
  MoveFrame,
  type Root,
} from './catalogue'
import { coldCorrupt } from './cold-damage'
import { type ColdCache, ColdSegment } from './cold-segment'
import { ColdWriter } from './cold-writer'
import { compileFilter, type Matcher } from './filter-match'
import { makeScorer, Top } from './score'
import type { ColdCodec, ColdEmbeddings, Tier } from './types'

/** How a cold tier is made. */
export interface ColdTierOptions {
  readonly embeddings: ColdEmbeddings
  readonly codec: ColdCodec
  readonly segmentMemories: number
  readonly cacheBytes: number
  /** False: files are not synced. */
  readonly isSynced: boolean
  /** Called after each step of a move, so that tests may end the process there. */
  readonly onStep?: ((step: string) => void) | undefined
}

/** Where a cold memory lies, and what says that it counts there. */
export interface ColdPlace {
  readonly root: Root
  readonly segment: ListedSegment
  readonly counting: Counting
  readonly ordinal: number
  readonly sequence: number
}

export interface ColdSearch {
  readonly limit: number
  readonly minScore?: number | undefined
  readonly filter?: Filter | undefined
}

/** The root that a read began with has been replaced, and a file with it. */
class StaleRoot extends Error {}

/** Gives up when files that are listed keep missing. */
const attemptsMax = 1000

export class ColdTier implements Tier {
  readonly name = 'cold'
  readonly catalogue: Catalogue
  readonly writer: ColdWriter
  readonly #warm: WarmTier
  readonly #metric: Metric
  readonly #dimensions: number
  readonly #directory: string
  readonly #cache: ColdCache
  readonly #segments = new Map<number, ColdSegment>()
  #openedFor: Root | undefined

  /** `directory`: of the cold files. `warm`: whose log says what counts. */
  constructor(warm: WarmTier, directory: string, options: ColdTierOptions) {
    const { metric, dimensions } = warm.stats()
    this.#warm = warm
    this.#metric = metric
    this.#dimensions = dimensions
    this.#directory = directory
    this.#cache = new LRUCache({ maxSize: Math.max(1, options.cacheBytes), sizeCalculation: ({ bytes }) => bytes })
    this.catalogue = new Catalogue(warm)
    this.writer = new ColdWriter(this, warm, directory, dimensions, options)
  }

  /** Runs a read under the root of now, again when the root was replaced under it. */
  withRoot<T>(read: (root: Root) => T): T {
    for (let attempt = 0; ; attempt++) {
      try {
        return read(this.catalogue.root())
      } catch (error) {
        if (!(error instanceof StaleRoot) || attempt === attemptsMax) throw error
      }
    }
  }

  /** An open file. Throws StaleRoot when it is gone because the root was replaced. */
  segment(listed: ListedSegment): ColdSegment {
    const known = this.#segments.get(listed.number)
    if (known !== undefined) return known
    this.#closeUnlisted()
    let opened: ColdSegment
    try {
      opened = new ColdSegment(listed.number, join(this.#directory, listed.file), listed.crc, this.#cache)
    } catch (error) {
      const { code, errno } = error as NodeJS.ErrnoException
      if (isThermoclineError(error)) throw error
      if (code !== 'ENOENT') throw failure(Failure.IO, `a cold file: ${String(code)}`, { errno: Math.abs(errno ?? 0) })
      const isListed = this.catalogue.root().segments.some(({ number }) => number === listed.number)
      throw isListed ? coldCorrupt('a file that is listed is missing') : new StaleRoot()
    }
    if (opened.shape.entries !== listed.entries || opened.shape.dimensions !== this.#dimensions) {
      opened.close()
      throw coldCorrupt('it holds something else than the list says')
    }
    this.#segments.set(listed.number, opened)
    return opened
  }

  /** Gives back the files that the root of now does not name: a snapshot that still reads them opens none. */
  #closeUnlisted(): void {
    const root = this.catalogue.root()
    if (root === this.#openedFor) return
    this.#openedFor = root
    const listed = new Set(root.segments.map(({ number }) => number))
    for (const [number, segment] of this.#segments) {
      if (listed.has(number) || this.#pinned.has(number)) continue
      segment.close()
      this.#segments.delete(number)
    }
  }

  /** Files that running iterations read, by number: how many do. */
  readonly #pinned = new Map<number, number>()

  #pin(segments: Iterable<number>, change: 1 | -1): void {
    for (const number of segments) {
      const count = (this.#pinned.get(number) ?? 0) + change
      if (count === 0) this.#pinned.delete(number)
      else this.#pinned.set(number, count)
    }
  }

  #countingOf(segment: ListedSegment): Counting {
    const counting = this.catalogue.counting(segment)
    if (counting === undefined) throw new StaleRoot()
    return counting
  }

  /** Where an id lies, if it counts in cold. `root`: of now, as `withRoot` gives it. */
  locate(root: Root, id: string): ColdPlace | undefined {
    for (let at = root.segments.length - 1; at >= 0; at--) {
      const listed = root.segments[at] as ListedSegment
      const segment = this.segment(listed)
      const ordinal = segment.find(id)
      if (ordinal < 0) continue
      const counting = this.#countingOf(listed)
      if (!hasBit(counting.bits, ordinal)) continue
      return { root, segment: listed, counting, ordinal, sequence: segment.sequenceAt(ordinal) }
    }
    return undefined
  }

  readPlace({ segment, ordinal }: ColdPlace): Memory {
    return this.segment(segment).read(ordinal)
  }

  has(id: string): boolean {
    return this.withRoot((root) => this.locate(root, id)) !== undefined
  }

  get(id: string): Memory | undefined {
    return this.withRoot((root) => {
      const place = this.locate(root, id)
      return place === undefined ? undefined : this.readPlace(place)
    })
  }

  get size(): number {
    return countAll(this.catalogue.snapshot())
  }

  get bytes(): number {
    return this.catalogue.root().segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Memories whose bytes are in the files, but count no more. */
  get dead(): number {
    const { root, counting } = this.catalogue.snapshot()
    const entries = root.segments.reduce((sum, segment) => sum + segment.entries, 0)
    return entries - countAll({ root, counting })
  }

  /** Opens every file of a snapshot and keeps it open until `unpin`. False: the snapshot is not of now any more. */
  pin(snapshot: CatalogueSnapshot): boolean {
    // Before they are opened: the root may be replaced meanwhile, and to open one gives those back that it left out.
    this.#pin(snapshot.counting.keys(), 1)
    try {
      for (const segment of snapshot.root.segments) this.segment(segment)
    } catch (error) {
      this.unpin(snapshot)
      if (error instanceof StaleRoot) return false
      throw error
    }
    return true
  }

  unpin(snapshot: CatalogueSnapshot): void {
    this.#pin(snapshot.counting.keys(), -1)
  }

  /**
   * Scans a pinned snapshot; yields after each block, so that whoever drives it may let others run. Returns the exact
   * hits, of what the files keep of the embeddings.
   */
  *scan(snapshot: CatalogueSnapshot, query: Float32Array, options: ColdSearch): Generator<undefined, Hit[]> {
    const { limit, minScore = -Infinity, filter } = options
    const matches = filter === undefined ? undefined : compileFilter(filter)
    const score = makeScorer(this.#metric, query)
    const top = new Top<{ segment: ColdSegment; ordinal: number }>(limit, minScore)
    for (const listed of snapshot.root.segments) {
      const segment = this.segment(listed)
      const { bits } = snapshot.counting.get(listed.number) as Counting
      const { row, rowBlocks, sequence } = segment.directory()
      let ordinal = 0
      for (const [place, { first, rawBytes }] of rowBlocks.entries()) {
        const rows = segment.rowBlock(place)
        for (; ordinal < row.length; ordinal++) {
          const own = row[ordinal] as number
          if (own >= first + rawBytes) break
          if (own < 0 || !hasBit(bits, ordinal)) continue
          const value = score(rows, (own - first) * this.#dimensions)
          if (!top.wants(value, sequence[ordinal] as number)) continue
          const isMeant = matches === undefined || matches(segment.factsAt(ordinal), () => segment.metadataAt(ordinal))
          if (isMeant) top.add(value, sequence[ordinal] as number, { segment, ordinal })
        }
        yield
      }
    }
    return top.kept.map(({ score: value, place }) => ({ memory: place.segment.read(place.ordinal), score: value }))
  }

  search(query: Float32Array, options: ColdSearch): Hit[] {
    const snapshot = this.pinNow()
    try {
      const steps = this.scan(snapshot, query, options)
      for (;;) {
        const step = steps.next()
        if (step.done === true) return step.value
      }
    } finally {
      this.unpin(snapshot)
    }
  }

  /** A snapshot of now, pinned. */
  pinNow(): CatalogueSnapshot {
    for (;;) {
      const snapshot = this.catalogue.snapshot()
      if (this.pin(snapshot)) return snapshot
    }
  }

  *entries(): Generator<Memory, undefined> {
    const snapshot = this.pinNow()
    try {
      const entries = this.entriesOf(snapshot, 0, undefined)
      for (let memory = entries.next(); memory !== undefined; memory = entries.next()) yield memory
    } finally {
      this.unpin(snapshot)
    }
  }

  /** The memories of a pinned snapshot by sequence, those above `since` that the filter means. */
  entriesOf(snapshot: CatalogueSnapshot, since: number, filter: Filter | undefined): ColdEntries {
    const runs = snapshot.root.segments.map((listed) => {
      return new Run(this.segment(listed), snapshot.counting.get(listed.number) as Counting, since)
    })
    return new ColdEntries(runs, filter === undefined ? undefined : compileFilter(filter))
  }

  async accept(memories: readonly Memory[]): Promise<void> {
    await this.writer.accept(memories)
  }

  remove(id: string): boolean {
    for (;;) {
      const place = this.withRoot((root) => this.locate(root, id))
      if (place === undefined) return false
      const frame = new MoveFrame(place.root)
      frame.setCounting(place.segment, place.counting, place.ordinal, false)
      if (commitOrConflict(frame, this.#warm)) return true
    }
  }

  /** Reads every listed file. */
  verify(): Problem[] {
    const snapshot = this.pinNow()
    const problems: Problem[] = []
    try {
      for (const listed of snapshot.root.segments) {
        try {
          this.segment(listed).check()
        } catch (error) {
          if (!isThermoclineError(error)) throw error
          problems.push({ code: error.code, file: `cold/${listed.file}`, offset: error.details.offset ?? 0 })
        }
      }
    } finally {
      this.unpin(snapshot)
    }
    return problems
  }

  close(): void {
    for (const segment of this.#segments.values()) segment.close()
    this.#segments.clear()
    this.#cache.clear()
  }
}

/** The entries of one file that count, in order. */
class Run {
  readonly segment: ColdSegment
  readonly #counting: Counting
  readonly #since: number
  readonly #sequences: Float64Array
  ordinal = -1
  sequence = 0

  constructor(segment: ColdSegment, counting: Counting, since: number) {
    this.segment = segment
    this.#counting = counting
    this.#since = since
    this.#sequences = segment.directory().sequence
    this.advance()
  }

  advance(): void {
    for (this.ordinal += 1; this.ordinal < this.#sequences.length; this.ordinal++) {
      this.sequence = this.#sequences[this.ordinal] as number
      if (this.sequence > this.#since && hasBit(this.#counting.bits, this.ordinal)) return
    }
    this.sequence = Infinity
  }
}

/** Goes through several files at once. A damaged memory throws, and the next call goes on after it. */
export class ColdEntries {
  readonly #runs: readonly Run[]
  readonly #matches: Matcher | undefined

  constructor(runs: readonly Run[], matches: Matcher | undefined) {
    this.#runs = runs
    this.#matches = matches
  }

  /** Undefined at the end. */
  next(): Memory | undefined {
    for (;;) {
      let least: Run | undefined
      for (const run of this.#runs) if (run.sequence < (least?.sequence ?? Infinity)) least = run
      if (least === undefined) return undefined
      const { segment, ordinal } = least
      least.advance()
      const isMeant = this.#matches?.(segment.factsAt(ordinal), () => segment.metadataAt(ordinal)) ?? true
      if (isMeant) return segment.read(ordinal)
    }
  }
}

export function countAll({ counting }: CatalogueSnapshot): number {
  let count = 0
  for (const each of counting.values()) count += each.count
  return count
}

/** False: something that the frame was built on has changed. */
export function commitOrConflict(frame: MoveFrame, warm: WarmTier): number | false {
  try {
    return frame.commit(warm)
  } catch (error) {
    if (isThermoclineError(error) && error.code === Failure.CONFLICT.code) return false
    throw error
  }
}
