// The only typed doorway to the addon: what it exports.
//
// Not here: where its binary is found (`binary.ts`), and any decision. Types of values are checked by the callers in
// this folder before they cross, because the addon trusts them; bytes, ranges and finiteness are checked by the core.
//
// Numbers cross in one shared Float64Array per handle (`numbers`), at the places that
// `addon.numberAt` names, because a call with one fixed array costs less than boxed results.

import { join } from 'node:path'
import { loadBinary } from './binary'

/** Places of a value in `NativeStore.numbers`, queried from the addon so that no side retypes them. */
export interface NumberAt {
  /** in and out */
  readonly confidence: number
  readonly createdAt: number
  readonly activation: number
  readonly lastAccess: number
  readonly recallCount: number
  /** in: the sequence the memory must have, or -1 for any */
  readonly ifSequence: number
  /** out */
  readonly sequence: number
  /** out: 1 when there is an embedding, else 0 */
  readonly hasEmbedding: number
  /** out: the record's place */
  readonly segment: number
  readonly slot: number
  readonly logOffset: number
  readonly logLength: number
  /** in: element of the current slab at which a read puts the embedding */
  readonly slabOffset: number
  /** out of batchCommit: operations that took effect */
  readonly applied: number
  /** in and out of locateAgain: what look-ups depended on at one moment */
  readonly momentApplied: number
  readonly momentList: number
  /** out, of texts that came as one string: UTF-16 units of the id in front, and of the content after it (-1: none) */
  readonly idLength: number
  readonly contentLength: number
  /**
   * out of whatever gives ReadTexts: which keys the metadata has, 0 when it has to be parsed. The number stands for the
   * same keys as long as the version is the same.
   */
  readonly metadataShape: number
  readonly metadataVersion: number
  /**
   * out, when there is a shape: two numbers a value, in the order of the keys. The first is -1 for a number, which
   * follows, -2 for true, -3 for false, -4 for null; else where a string begins and ends in the metadata JSON.
   */
  readonly metadataValues: number
}

/** One error of the core's list (`errors.def`). */
export interface NativeErrorKind {
  readonly code: string
  readonly kind: 'type' | 'range' | 'store'
  readonly retryable: boolean
}

/** Makes the JavaScript error that the addon throws or rejects with. `index` is into `addon.errors`. */
export type MakeError = (index: number, message: string, details: Record<string, number>) => Error

export interface NativeOpenOptions {
  /** 0: not given */
  dimensions: number
  /** 0 cosine, 1 dot, 2 l2, -1 not given */
  metric: number
  /** 0 none, 1 flush, 2 commit */
  durability: number
  create: boolean
  readOnly: boolean
  expectedRecords: number
  lockTimeout: number
  allowNetworkFileSystem: boolean
  /** JSON array of paths; empty: none */
  indexed: string
  /** of autoCompact; NaN: not given, below 0: never */
  deadShare: number
  deadBytes: number
}

export interface Addon {
  readonly errors: readonly NativeErrorKind[]
  readonly numberAt: NumberAt
  readonly limits: {
    readonly dimensionsMax: number
    readonly idBytesMax: number
    readonly contentBytesMax: number
    readonly metadataBytesMax: number
    readonly metadataDepthMax: number
    readonly filterDepthMax: number
    readonly filterConditionsMax: number
    readonly filterBytesMax: number
    readonly indexedPathsMax: number
  }
  /** Name of the set of kernels in use here, such as `avx512`. */
  readonly kernel: string
  /** Once per environment, before anything else: how the addon makes the errors it throws. */
  setErrorFactory(makeError: MakeError): void
  /** Searches, checks, compactions and backups of all handles of this environment end soon. Before it exits. */
  interruptJobs(): void
  open(path: string, options: NativeOpenOptions): NativeStore
  salvage(from: string, to: string): Promise<{ memories: number; lost: number }>
}

/** Strings of a read: `[content, metadata JSON, or undefined for {}, id]`. */
export type ReadStrings = [content: string | null, metadata: string | undefined, id: string]

/**
 * The texts of a read: one string of id (where it is read), content and metadata JSON, cut up by numbers[idLength] and
 * numbers[contentLength]; or true, when they are in the ReadStrings that were given.
 */
export type ReadTexts = string | true

export interface NativeStats {
  memories: number
  dimensions: number
  metric: number
  sequence: number
  durableSequence: number
  epoch: number
  participants: number
  segments: number
  bytesTotal: number
  bytesBlocks: number
  bytesLog: number
  bytesIndex: number
  bytesDead: number
  bytesReserved: number
  batches: number
  openMs: number
  recovered: boolean
}

export interface NativeCompactResult {
  bytesBefore: number
  bytesAfter: number
  moved: number
  /** of the write lock, by it, at one time */
  longestHoldMicroseconds: number
}

export interface NativeProblem {
  /** index into `addon.errors` */
  code: number
  file: string
  offset: number
  id?: string
}

declare const cursor: unique symbol

/** Opaque. A place in a snapshot; gives it back when collected. */
export interface NativeCursor {
  readonly [cursor]: true
}

declare const hold: unique symbol

/** Opaque. While it lives the segment stays mapped and is found by number, whatever leaves the segment list. */
export interface NativeSegmentHold {
  readonly [hold]: true
}

export interface NativeLogRecord {
  sequence: number
  /** 1 put, 2 update, 3 delete */
  kind: number
  id: string
  segment: number
  offset: number
  length: number
}

/** Memories of one frame: `capacity` of them at most. */
export interface NativeBatchArrays {
  readonly capacity: number
  /**
   * Nine a memory: confidence, createdAt, activation, lastAccess, recallCount, UTF-16 units of id, of content (-1: none)
   * and of metadata (0: {}), 1 if it has an embedding
   */
  readonly fields: Float64Array
  /** An embedding a memory; zeros where there is none. */
  readonly rows: Float32Array
}

/**
 * One handle on a store, of one JavaScript environment. Every method throws THERMOCLINE_CLOSED after `close`.
 * The functions are own properties bound to the handle: call them as `native.get(...)` and do not keep them alone.
 */
export interface NativeStore {
  readonly dimensions: number
  readonly metric: number
  readonly numbers: Float64Array

  /** Reads `confidence`, `createdAt`, `activation`, `lastAccess`, `recallCount`, `ifSequence` from `numbers`. Returns the sequence. */
  put(id: string, embedding: Float32Array | null, content: string | null, metadata: string | undefined): number
  /** `content`: undefined leaves it. `metadata`: undefined leaves it. NaN in numbers[confidence] leaves it. Uses ifSequence. */
  update(id: string, content: string | null | undefined, metadata: string | undefined): boolean
  /** Uses ifSequence. */
  delete(id: string): boolean

  /** Staging of one frame: same inputs as above, ifSequence included. Each returns the bytes staged so far (embeddings included). */
  batchPut(id: string, embedding: Float32Array | null, content: string | null, metadata: string | undefined): number
  /** The arrays from which batchPutGroup reads; others after each batchSubmit, in turn. */
  batchArrays(): NativeBatchArrays
  /**
   * Stages memories [first, first + count) of the arrays; `text` is their ids, contents and metadata one after the other.
   * On an error numbers[applied] says how many of them were sound. The embeddings are read again by batchCommit.
   */
  batchPutGroup(text: string, first: number, count: number): number
  batchUpdate(id: string, content: string | null | undefined, metadata: string | undefined): number
  batchDelete(id: string): number
  /** A condition alone: the memory has numbers[ifSequence] when the frame is committed, 0 for absent. */
  batchCheck(id: string): void
  /** Commits what was staged as one frame, all or nothing; returns the last sequence (the store's, if nothing took effect). The stage is empty afterwards, also when it throws. */
  batchCommit(): number
  /** As batchCommit, on a thread of its own; staging goes on meanwhile, with the other arrays. Only after batchWait for the one before. */
  batchSubmit(): void
  /** Waits for what was submitted; returns and throws as batchCommit. */
  batchWait(): number
  /** Drops what was staged. */
  batchReset(): void

  /** The array into which reads copy embeddings, at numbers[slabOffset], which must leave `dimensions` elements of room. */
  setSlab(slab: Float32Array): void
  /** False when absent. Fills `numbers` and the slab. Does not set the id. */
  get(id: string, strings: ReadStrings): ReadTexts | false
  has(id: string): boolean
  /** As get, but fills `numbers` only (segment, slot and logOffset included). */
  locate(id: string): boolean
  /**
   * Whether what `locate` found at a moment is the newest still, and lies where it lay. In `numbers`: that moment, as this
   * gave it before the look-up, and the segment and slot that were found. True: fills the statistics. False: fills the
   * moment of now, look again.
   */
  locateAgain(): boolean
  /** Reads the record at a place that this handle gave out (search, cursor, locate), id included. */
  readAt(segment: number, logOffset: number, strings: ReadStrings): ReadTexts
  /** Keeps a segment mapped for as long as the returned object lives, or until close. Undefined: it was rewritten, look again. */
  holdSegment(segment: number): NativeSegmentHold | undefined
  /** As readAt without the embedding and the numbers, in a segment that is held: for views. */
  stringsAt(hold: NativeSegmentHold, logOffset: number, strings: ReadStrings): void
  /** The embedding column of a segment as an external buffer over a private mapping: element slot * dimensions onwards. The same object for the same segment. Detached by close. */
  segmentEmbeddings(segment: number): ArrayBuffer
  /** activation NaN: unchanged. False when absent. */
  touch(id: string, activation: number): boolean

  sequence(): number
  size(): number
  stats(): NativeStats

  /**
   * Hits of a snapshot as [score, segment, logOffset] triples, best first. minScore NaN: none. recall NaN: as usual.
   * threads 0: as usual. `filter`: text of one.
   */
  searchSync(
    query: Float32Array,
    limit: number,
    minScore: number,
    exact: boolean,
    recall: number,
    threads: number,
    filter: string | undefined,
  ): Float64Array
  /**
   * The same on the thread pool for any number of queries, which lie one after another in `queries`; `token` names it
   * for searchCancel. Rejects with _CLOSED or _ABORTED when cancelled.
   */
  searchMany(
    queries: Float32Array,
    limit: number,
    minScore: number,
    exact: boolean,
    recall: number,
    threads: number,
    filter: string | undefined,
    token: number,
  ): Promise<Float64Array[]>
  searchCancel(token: number): void

  /** A cursor over a snapshot in commit order, memories whose sequence is above `since`. `where`: text of a filter. */
  entries(since: number, where: string | undefined): NativeCursor
  /** Reads the next memory of the cursor's snapshot as `get` does, id included. False at the end. */
  entriesNext(cursor: NativeCursor, strings: ReadStrings): ReadTexts | false
  /** Gives the snapshot back early. Idempotent. */
  entriesClose(cursor: NativeCursor): void

  /** Log records with sequence > since, at most `max`, up to what is applied. Throws _CHANGES_GONE. */
  changes(since: number, max: number): NativeLogRecord[]
  /** Calls back once, when applied > sequence or the handle closes. Returns a token for changesCancel. Keeps the event loop alive while it waits. */
  changesWait(sequence: number, callback: () => void): number
  /** The callback of that token is not called any more. */
  changesCancel(token: number): void

  flush(): Promise<void>
  verify(): Promise<{ memories: number; problems: NativeProblem[] }>
  /** `token` names it for compactCancel. Rejects with _CLOSED or _ABORTED when cancelled. */
  compact(token: number): Promise<NativeCompactResult>
  compactCancel(token: number): void
  /** Rejects with _CLOSED soon after close, when nothing is left at the target. */
  backup(directory: string): Promise<{ memories: number; sequence: number }>

  /** Memory index as it is now: `cells` of the table, `used` of them, `generation` counted from 1. */
  indexInfo(): { cells: number; used: number; generation: number }
  /** Tail of the content log. */
  logTail(): { segment: number; offset: number; sequence: number }

  /** Idempotent. Views lose their buffers; running work is cancelled, a running flush completes. */
  close(): void
}

const override = process.env.THERMOCLINE_ADDON // tests load a build with a planted bug

export const addon = (override ? require(override) : loadBinary(join(__dirname, '..'))) as Addon

// Node waits for its thread pool before it exits. A search that nobody will hear of must not keep a process for seconds.
process.once('exit', () => addon.interruptJobs())
