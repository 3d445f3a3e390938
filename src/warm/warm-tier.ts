// WarmTier: a store in memory-mapped files, as TypeScript sees it. Implements the contract of `Store`, where each
// method is documented.
//
// Not here: anything that is true of the files. This class checks what it is given, moves it across the binding and
// decodes what comes back. Each subject has its own file; this one has what is short, and the order of closing.
//
// Order of checks in every method: closed first, then arguments, then the core.
// Methods that return a promise never throw, they reject: each is `async`.

import { resolve } from 'node:path'
import { closedError, codeAt, Failure, failure, isThermoclineError, withAsyncStack, wrongType } from '../errors'
import { addon, type NativeOpenOptions, type NativeProblem, type NativeStore } from '../native'
import {
  checkPath,
  describe,
  metrics,
  readActivation,
  readBatchSize,
  readChangesOptions,
  readCompactSignal,
  readEntriesOptions,
  readIfSequence,
  readOpenOptions,
} from '../options'
import type { Store } from '../store'
import type {
  BackupResult,
  Change,
  ChangesOptions,
  CompactOptions,
  CompactResult,
  ConditionOptions,
  EntriesOptions,
  Hit,
  Location,
  Memory,
  MemoryInput,
  MemoryPatch,
  MemoryView,
  Metric,
  OpenOptions,
  Operation,
  Problem,
  PutManyOptions,
  PutManyResult,
  SearchOptions,
  StoreStats,
  TouchOptions,
  Vector,
  VerifyResult,
  WriteResult,
} from '../types'
import { type BatchHost, commit, type EncodedOperation, putMany, write } from './batch-writer'
import { ChangeFeed } from './change-feed'
import { ContentLog } from './content-log'
import { EntriesIterator } from './entries-iterator'
import { lostMetaFailure } from './lost-meta'
import { checkId } from './memory-id'
import { MemoryIndex } from './memory-index'
import { EncodedMemory, encodeMemory, encodePatch, stagePatchNumbers } from './memory-input'
import { MemoryReader } from './memory-reader'
import { MemoryViewer } from './memory-view'
import { PendingWork } from './pending-work'
import type { SeenRecord } from './seen-record'
import { search, searchMany, searchSync } from './similarity-search'
import { Stages } from './stages'
import { withTargetLock } from './target-lock'

let lastCompactToken = 0

const { ifSequence: IF_SEQUENCE } = addon.numberAt

/** Everything the parts of one open store share. */
class TierState implements BatchHost {
  readonly native: NativeStore
  readonly dimensions: number
  readonly reader: MemoryReader
  readonly viewer: MemoryViewer
  readonly stages: Stages
  readonly pending = new PendingWork()
  closed = false

  constructor(native: NativeStore, reopen: () => NativeStore) {
    this.native = native
    this.dimensions = native.dimensions
    this.reader = new MemoryReader(native)
    this.viewer = new MemoryViewer(native)
    this.stages = new Stages(native, reopen)
  }

  isClosed(): boolean {
    return this.closed
  }
}

/** A store in memory-mapped files. Get one from `openWarmTier`, or as the Store that `open` returns. */
export class WarmTier implements Store {
  /** The store's memory index, for tools and tests. */
  readonly index: MemoryIndex
  /** The store's content log, for tools and tests. */
  readonly log: ContentLog
  readonly #state: TierState
  readonly #encoded = new EncodedMemory()

  /** @internal Use `openWarmTier`. `reopen` opens one more native handle on the same store. */
  constructor(native: NativeStore, reopen: () => NativeStore) {
    this.#state = new TierState(native, reopen)
    this.index = new MemoryIndex(this.#state.reader)
    this.log = new ContentLog(this.#state.reader)
  }

  put(memory: MemoryInput, options?: ConditionOptions): number {
    const { native, dimensions } = this.#open()
    const ifSequence = readIfSequence(options)
    const encoded = this.#encoded
    encodeMemory(memory, dimensions, encoded)
    encoded.stageNumbers(native.numbers)
    native.numbers[IF_SEQUENCE] = ifSequence
    const sequence = native.put(encoded.id, encoded.embedding, encoded.content, encoded.metadata)
    encoded.release()
    return sequence
  }

  putMany(memories: Iterable<MemoryInput>, options?: PutManyOptions): PutManyResult {
    const state = this.#open()
    return putMany(state, memories, readBatchSize(options))
  }

  get(id: string): Memory | undefined {
    return this.#open().reader.get(checkId(id))
  }

  getMany(ids: Iterable<string>): (Memory | undefined)[] {
    this.#open()
    const memories: (Memory | undefined)[] = []
    for (const id of checkIterable(ids)) memories.push(this.get(id))
    return memories
  }

  view(id: string): MemoryView | undefined {
    return this.#open().viewer.view(checkId(id))
  }

  has(id: string): boolean {
    return this.#open().native.has(checkId(id))
  }

  update(id: string, patch: MemoryPatch, options?: ConditionOptions): boolean {
    const { native } = this.#open()
    const ifSequence = readIfSequence(options)
    const encoded = encodePatch(patch)
    stagePatchNumbers(encoded, native.numbers)
    native.numbers[IF_SEQUENCE] = ifSequence
    return native.update(checkId(id), encoded.content, encoded.metadata)
  }

  delete(id: string, options?: ConditionOptions): boolean {
    const { native } = this.#open()
    native.numbers[IF_SEQUENCE] = readIfSequence(options)
    return native.delete(checkId(id))
  }

  write(operations: Operation[]): WriteResult {
    return write(this.#open(), operations)
  }

  /** @internal `write` of operations that have their conditions; CONFLICT and nothing written when one does not hold. */
  writeIf(operations: readonly EncodedOperation[]): WriteResult {
    return commit(this.#open(), operations)
  }

  /**
   * @internal The numbers of a memory without its texts and embedding, at the places of `addon.numberAt`, good until the
   * next call; undefined when absent. Cost: one look-up.
   */
  peek(id: string): Readonly<Float64Array> | undefined {
    const { native } = this.#open()
    return native.locate(id) ? native.numbers : undefined
  }

  /**
   * @internal The statistics of a memory, as `peek` gives them, if its newest record is the one that was seen; else undefined.
   * Cost: one look-up when anything was committed since this was last asked, else three loads.
   */
  peekIfNewest(id: string, seen: SeenRecord): Readonly<Float64Array> | undefined {
    const { native, reader } = this.#open()
    const { numbers } = reader
    seen.stage(numbers)
    if (native.locateAgain()) return numbers
    seen.noteMoment(numbers)
    if (native.locate(id) && seen.notePlace(numbers)) return numbers
    seen.forget()
    return undefined
  }

  touch(id: string, options?: TouchOptions): boolean {
    const { native } = this.#open()
    const activation = options === undefined ? NaN : readActivation(options)
    return native.touch(checkId(id), activation)
  }

  async search(query: Vector, options?: SearchOptions): Promise<Hit[]> {
    try {
      const state = this.#open()
      return await state.pending.track(search(state, query, options))
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  async searchMany(queries: readonly Vector[], options?: SearchOptions): Promise<Hit[][]> {
    try {
      const state = this.#open()
      return await state.pending.track(searchMany(state, queries, options))
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  searchSync(query: Vector, options?: SearchOptions): Hit[] {
    return searchSync(this.#open(), query, options)
  }

  entries(options?: EntriesOptions): IterableIterator<Memory> {
    const state = this.#open()
    return new EntriesIterator(state, readEntriesOptions(options))
  }

  changes(options?: ChangesOptions): AsyncIterableIterator<Change> {
    const state = this.#open()
    return new ChangeFeed(state, readChangesOptions(options))
  }

  get size(): number {
    return this.#open().native.size()
  }

  get sequence(): number {
    return this.#open().native.sequence()
  }

  stats(): StoreStats {
    const { bytesTotal, bytesBlocks, bytesLog, bytesIndex, bytesDead, bytesReserved, metric, ...figures } =
      this.#open().native.stats()
    return {
      memories: figures.memories,
      dimensions: figures.dimensions,
      metric: metrics[metric] as Metric, // the addon has no other metric than those it is opened with
      sequence: figures.sequence,
      durableSequence: figures.durableSequence,
      epoch: figures.epoch,
      participants: figures.participants,
      segments: figures.segments,
      bytes: {
        total: bytesTotal,
        blocks: bytesBlocks,
        log: bytesLog,
        index: bytesIndex,
        dead: bytesDead,
        reserved: bytesReserved,
      },
      batches: figures.batches,
      openMs: figures.openMs,
      recovered: figures.recovered,
    }
  }

  async flush(): Promise<void> {
    try {
      const { native, pending } = this.#open()
      // Not interruptible: a flush that runs when the store is closed completes.
      await pending.track(native.flush())
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  async compact(options?: CompactOptions): Promise<CompactResult> {
    try {
      const { native, pending } = this.#open()
      const signal = readCompactSignal(options)
      const token = ++lastCompactToken
      const work = pending.interruptibleToItsEnd(native.compact(token), () => native.compactCancel(token), signal)
      const { bytesBefore, bytesAfter, moved } = await pending.track(work)
      return { bytesBefore, bytesAfter, moved }
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  async verify(): Promise<VerifyResult> {
    try {
      const { native, pending } = this.#open()
      const { memories, problems } = await pending.track(
        pending.interruptibleToItsEnd(native.verify(), () => undefined),
      )
      return { ok: problems.length === 0, memories, problems: problems.map(toProblem) }
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  async backup(directory: string): Promise<BackupResult> {
    try {
      const state = this.#open()
      const target = resolve(checkPath(directory, 'directory'))
      // Not interruptible: it rejects by itself when the store closes, once nothing is left at the target.
      return await state.pending.track(
        withTargetLock(target, async () => {
          if (state.closed) throw closedError()
          return await state.native.backup(target)
        }),
      )
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  locate(id: string): Location | undefined {
    return this.#open().reader.locate(checkId(id))
  }

  close(): void {
    const state = this.#state
    if (state.closed) return
    state.closed = true
    // Before the native close, so that a wait rejects with CLOSED and not with what its cancelled job says.
    state.pending.interruptAll(closedError)
    state.stages.close()
  }

  declare readonly [Symbol.dispose]: () => void
  declare readonly [Symbol.asyncDispose]: () => Promise<void>

  async #closeAfterWork(): Promise<void> {
    await this.#state.pending.settled()
    this.close()
  }

  static {
    // Not as methods: a context that Node did not prepare (vm, under which some test runners load modules) has no
    // such symbols where the engine lacks them, and both methods would then be named 'undefined'.
    const { dispose = Symbol.for('nodejs.dispose'), asyncDispose = Symbol.for('nodejs.asyncDispose') } =
      Symbol as Partial<Pick<SymbolConstructor, 'dispose' | 'asyncDispose'>>
    defineMethod(WarmTier.prototype, dispose, function (this: WarmTier) {
      this.close()
    })
    defineMethod(WarmTier.prototype, asyncDispose, function (this: WarmTier) {
      return this.#closeAfterWork()
    })
  }

  /** The state of an open store. Throws CLOSED. */
  #open(): TierState {
    const state = this.#state
    if (state.closed) throw closedError()
    return state
  }
}

function defineMethod(prototype: WarmTier, name: symbol, value: (this: WarmTier) => unknown): void {
  Object.defineProperty(prototype, name, { value, writable: true, configurable: true })
}

function checkIterable(ids: Iterable<string>): Iterable<string> {
  const given = ids as Iterable<string> | null | undefined
  if (given === null || given === undefined || typeof given[Symbol.iterator] !== 'function') {
    throw wrongType(`ids must be iterable, not ${describe(ids)}`)
  }
  return ids
}

function toProblem({ code, file, offset, id }: NativeProblem): Problem {
  const problem: Problem = { code: codeAt(code), file, offset }
  if (id !== undefined) problem.id = id
  return problem
}

/**
 * Opens the store in a directory, or creates it there. `open` of the package is this.
 *
 * `path`: absolute, or relative to the working directory of now. Errors: MISMATCH, VERSION, NOT_FOUND, NOT_A_STORE,
 * READ_ONLY, NETWORK_FS, BUSY, IO, FULL, CORRUPT, DIMENSION (out of range, or not that of the store), ARGUMENT (also for
 * no `dimensions` when creating). Cost: milliseconds at any size after a clean close; else the cache is rebuilt from the log.
 * Since 0.1.0.
 */
export function openWarmTier(path: string, options?: OpenOptions): WarmTier {
  const native = readOpenOptions(options)
  // Resolved once, so that a later change of the working directory does not lead elsewhere.
  const absolute = resolve(checkPath(path, 'path'))
  return new WarmTier(openNative(absolute, native), () => addon.open(absolute, reopenOptions(native)))
}

/** The core's messages are one a code; here it is known what was meant. */
function openNative(path: string, options: NativeOpenOptions): NativeStore {
  const lost = lostMetaFailure(path)
  if (lost !== undefined) throw lost
  try {
    return addon.open(path, options)
  } catch (error) {
    if (!isThermoclineError(error)) throw error
    const { dimensions } = options
    if (error.code === Failure.ARGUMENT.code && dimensions === 0) throw wrongType('a new store needs `dimensions`')
    if (error.code === Failure.DIMENSION.code && error.details.dimensions !== undefined) {
      const message = `the store has ${error.details.dimensions} dimensions, not ${dimensions}`
      throw failure(Failure.DIMENSION, message, error.details)
    }
    throw error
  }
}

/** Options that agree with whatever store is there. */
function reopenOptions(options: NativeOpenOptions): NativeOpenOptions {
  return { ...options, dimensions: 0, metric: -1, create: false, expectedRecords: 0 }
}
