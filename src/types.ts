// Every type of the public contract, with what a caller may rely on.
//
// Not here: behaviour. `WarmTier` implements `Store`; `options.ts` and `warm/memory-input.ts` check the values.
//
// Words are those of docs/architecture.md. Each code named below stands after `THERMOCLINE_`. Every method of a
// closed store throws CLOSED (those that return a promise reject), and none leaves anything half done.
// Since 0.1.0, all of it.

/// <reference lib="esnext.disposable" preserve="true" />

import type { Condition, Filter, Scalar } from './filter-types'

export type { Condition, Filter, Scalar }

/** A value that survives a round trip through JSON. Numbers are finite; `-0` keeps its sign. */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject

/** A plain object of JSON values: own enumerable string keys, no class instances, at most 200 levels deep. */
export interface JsonObject {
  [key: string]: JsonValue
}

/** An embedding or a query: as many finite numbers as the store has dimensions. Rounded to 32-bit floats. */
export type Vector = Float32Array | readonly number[]

/** How two embeddings are compared. Fixed when the store is created. */
export type Metric = 'cosine' | 'dot' | 'l2'

/**
 * When writes are made to survive a power cut. They always survive the end of the process.
 * `none`: never synced. `flush`: at `flush` and at the last close. `commit`: before each write returns.
 */
export type Durability = 'none' | 'flush' | 'commit'

/** What `open` takes. Any other key is a TypeError. */
export interface OpenOptions {
  /** Elements of each embedding, 1..4096. Needed to create a store; afterwards it may be omitted, or must agree. */
  dimensions?: number | undefined
  /** Default `cosine` for a new store; for an old one it must agree (MISMATCH). */
  metric?: Metric | undefined
  /** Default `flush`. */
  durability?: Durability | undefined
  /** False: NOT_FOUND when there is no store at the path. Default true. */
  create?: boolean | undefined
  /** True: every write throws READ_ONLY, and nothing is created. Default false. */
  readOnly?: boolean | undefined
  /**
   * How many memories are to come: a hint that sizes a new memory index, which grows by itself beyond it. Default 0,
   * unknown; more than 4,194,304 counts as that.
   */
  expectedRecords?: number | undefined
  /** Milliseconds for which a write waits for a writer that is alive but stopped, before BUSY. Default 5000. */
  lockTimeout?: number | undefined
  /** True: open although the file system is a network one, on which locks may not hold. Default false: NETWORK_FS. */
  allowNetworkFileSystem?: boolean | undefined
  /**
   * When the space of replaced and deleted memories is given back in the background. Default
   * `{ deadShare: 0.5, deadBytes: 268435456 }`; false: never. All handles of a process share one policy, the last given.
   */
  autoCompact?: AutoCompactOptions | false | undefined
  /**
   * Metadata paths that filters ask about often, such as `['user', 'source.kind']`: at most 64. Searches with a condition
   * on one of them need not look at every memory the first time (docs/filters.md, "Indexed paths"). Costs 8 bytes per
   * memory and path, in files beside the store's own that are never needed. All that open the store should name the
   * same. Default none.
   */
  indexed?: string[] | undefined
}

/** When a store compacts by itself: when both are reached. The open segment is left alone, unlike by `compact`. */
export interface AutoCompactOptions {
  /** Part of the bytes on disk, those made ahead left out, that is of replaced and deleted memories, 0..1. Default 0.5. */
  deadShare?: number | undefined
  /** Bytes of replaced and deleted memories. Default 268435456, 256 MiB. */
  deadBytes?: number | undefined
}

/**
 * What `put` takes. A key whose value is undefined counts as omitted. A Memory that was read can be put back: its
 * `sequence` is ignored. Any other key is a TypeError.
 */
export interface MemoryInput {
  /** 1..511 bytes of UTF-8, well-formed. */
  id: string
  /** Copied before `put` returns. Null or omitted: a memory without embedding, which no search finds. */
  embedding?: Vector | null | undefined
  /** At most 64 MiB of UTF-8, well-formed. Null and `''` are different. Default null. */
  content?: string | null | undefined
  /** At most 16 MiB as JSON. Default `{}`. */
  metadata?: JsonObject | undefined
  /** 0..1. Default 1. */
  confidence?: number | undefined
  /** Milliseconds since the epoch. Default now. */
  createdAt?: number | undefined
  /** At least 0. Default 1. */
  activation?: number | undefined
  /** Milliseconds since the epoch. Default `createdAt`. */
  lastAccess?: number | undefined
  /** An integer of at least 0. Default 0. */
  recallCount?: number | undefined
}

/** What `update` changes. An omitted key stays as it is; any other key is a TypeError. */
export interface MemoryPatch {
  /** Null clears it. */
  content?: string | null | undefined
  /** Replaced as a whole, not merged. */
  metadata?: JsonObject | undefined
  /** 0..1 */
  confidence?: number | undefined
}

/** A memory as it was at one moment: a plain object that belongs to the caller. */
export interface Memory {
  /** 1..511 bytes of UTF-8. */
  id: string
  /**
   * Bit for bit as it was given, or null. The caller's to change, but its `buffer` is shared with other embeddings
   * that were read (as Node's pooled Buffers are): use the array, not its buffer.
   */
  embedding: Float32Array | null
  /** Null: none, which is not the same as `''`. */
  content: string | null
  /** `{}` when none was given. */
  metadata: JsonObject
  /** 0..1 */
  confidence: number
  /** Milliseconds since the epoch. */
  createdAt: number
  /** Number of the write that made the memory what it is. */
  sequence: number
  /** Statistics: what was last given to `put` or `touch`, 1 at first. */
  activation: number
  /** Statistics: last `touch`, in milliseconds since the epoch; `createdAt` at first. */
  lastAccess: number
  /** Statistics: how often `touch` was called. */
  recallCount: number
}

/**
 * A memory whose embedding lies in the store's own pages and whose content and metadata are decoded at first touch.
 * It goes on showing the memory as it was when `view` was called, whatever is written afterwards.
 *
 * Content and metadata are accessors that it inherits: read them by name. What looks at own properties alone, as
 * `{ ...view }`, JSON.stringify and structuredClone do, leaves them out; `get` gives a plain object.
 *
 * After the store is closed `embedding` has length 0, and content or metadata that was not touched before throws
 * CLOSED. Writing to `embedding` reaches neither the store nor other processes, but later views of this process may
 * show it: treat it as read-only.
 */
export type MemoryView = Readonly<Memory>

/** One operation of `write`. */
export type Operation = { put: MemoryInput } | { update: string; patch: MemoryPatch } | { delete: string }

/** Makes a write conditional. */
export interface ConditionOptions {
  /** The sequence that the memory must have now, 0 for absent; otherwise CONFLICT and nothing is written. */
  ifSequence?: number | undefined
}

/** What `putMany` takes beside the memories. */
export interface PutManyOptions {
  /** At most so many memories per commit, at least 1. Default 256; more count as 256, which keeps other writers' waits short. */
  batchSize?: number | undefined
}

/** What `touch` takes beside the id. */
export interface TouchOptions {
  /** The new activation, at least 0. Omitted: unchanged. */
  activation?: number | undefined
}

/** What `search` and `searchSync` take beside the query. */
export interface SearchOptions {
  /** Most hits to return, at least 1. Default 10. */
  limit?: number | undefined
  /** Least score of a hit, inclusive. */
  minScore?: number | undefined
  /** Only memories that it means are hits, and `limit` of them are returned whenever so many match. */
  filter?: Filter | undefined
  /**
   * True: compare with every embedding in full, so that the hits are those of a naive scan. Default false: in stores of
   * more than a few thousand memories sketches choose which embeddings to compare with in full.
   */
  exact?: boolean | undefined
  /**
   * 0..1: the least probability with which the sketches must keep each true hit. Default 0.99, by which 0.995 and more
   * were measured (docs/search.md); 1 is `exact`. Less is faster, 0 promises least. Scores are right whatever it is.
   */
  recall?: number | undefined
  /**
   * Most threads that scan, the one that searches among them, 1..1024. Default: as many as there are cores, at most 4.
   * Small stores are scanned by one.
   */
  threads?: number | undefined
  /** Rejects with an AbortError once it is aborted. `searchSync` looks at it only before it starts. */
  signal?: AbortSignal | undefined
}

/** A memory that a search found. */
export interface Hit {
  /** As it was in the snapshot that was searched; its statistics are those of now. */
  memory: Memory
  /** Higher is better. Cosine in [-1, 1]; dot product as it is; l2: minus the Euclidean distance. */
  score: number
}

/** What `entries` takes. */
export interface EntriesOptions {
  /** Only memories whose sequence is above this one. Default 0: all. */
  since?: number | undefined
  /** Only memories that it means; evaluated natively, so that others are never decoded. */
  where?: Filter | undefined
}

/** What `changes` takes. */
export interface ChangesOptions {
  /** The last sequence already seen. Default 0: from the beginning. */
  since?: number | undefined
  /** True: wait for what is still to come instead of ending at the present. Default false. */
  follow?: boolean | undefined
  /** Rejects the pending and the next step with an AbortError once it is aborted. */
  signal?: AbortSignal | undefined
}

/** What `compact` takes. */
export interface CompactOptions {
  /** Rejects with an AbortError once it is aborted. */
  signal?: AbortSignal | undefined
}

/** What a write did. An `update` keeps the embedding, a `put` replaces everything. */
export type ChangeKind = 'put' | 'update' | 'delete'

/** One write, as the change feed tells it. */
export interface Change {
  /** Counted from 1, without gaps over the whole store. */
  sequence: number
  /** What the write did. */
  kind: ChangeKind
  /** Of the memory that was written. */
  id: string
}

declare const brand: unique symbol

/** Number of a segment, as `locate` and the content log give it out. */
export type SegmentNumber = number & { readonly [brand]: 'segment' }
/** Number of an embedding block in its segment. */
export type SlotNumber = number & { readonly [brand]: 'slot' }
/** Offset of a record in its segment's log, in bytes. */
export type LogOffset = number & { readonly [brand]: 'log offset' }

/** Where a memory lies. */
export interface Location {
  /** The segment, a pair of files. */
  segment: SegmentNumber
  /** Its block in the segment's blocks. */
  slot: SlotNumber
  /** Its record, in bytes from the start of the segment's log. */
  logOffset: LogOffset
  /** Bytes of its record in the log. */
  logLength: number
}

/** Figures of an open store. */
export interface StoreStats {
  /** As `size`. */
  memories: number
  /** Elements of each embedding. */
  dimensions: number
  /** How embeddings are compared. */
  metric: Metric
  /** Sequence of the last visible write. */
  sequence: number
  /** Highest sequence that a returned `flush` covers. */
  durableSequence: number
  /** Counts, from 1, the openings that needed recovery. */
  epoch: number
  /** Processes that have the store open. */
  participants: number
  /** Segments in the store's list. */
  segments: number
  /**
   * Bytes on disk: of blocks, logs and the memory index together, and of each; of memories that were replaced or deleted;
   * and made ahead for what is to come. The small files beside them are not counted.
   */
  bytes: { total: number; blocks: number; log: number; index: number; dead: number; reserved: number }
  /** Frames committed since the store was opened. */
  batches: number
  /** Milliseconds that this opening took. */
  openMs: number
  /** True when this opening had to recover. */
  recovered: boolean
}

/** One thing that `verify` found. */
export interface Problem {
  /** What is wrong, such as `THERMOCLINE_CORRUPT`. */
  code: string
  /** Name of the file in the store's directory. */
  file: string
  /** Bytes from the start of that file. */
  offset: number
  /** Id of the memory concerned, where it can be told. */
  id?: string
}

/** What `verify` found. */
export interface VerifyResult {
  /** True when there is no problem. */
  ok: boolean
  /** Memories that were checked. */
  memories: number
  /** Empty when all is well. */
  problems: Problem[]
}

/** What `putMany` did. */
export interface PutManyResult {
  /** Memories written. */
  count: number
  /** Sequence of the last of them; the store's own when there was none. */
  lastSequence: number
}

/** What `write` did. */
export interface WriteResult {
  /** Sequence of the last operation that took effect; the store's own when none did. */
  lastSequence: number
}

/** What `compact` did. */
export interface CompactResult {
  /** Bytes on disk before it. */
  bytesBefore: number
  /** Bytes on disk after it. */
  bytesAfter: number
  /** Records copied: memories, and deletions that must stay for now. */
  moved: number
}

/** What `backup` copied. */
export interface BackupResult {
  /** Memories copied. */
  memories: number
  /** Sequence of the snapshot, and of the copy. */
  sequence: number
}

/** What `salvage` saved. */
export interface SalvageResult {
  /** Memories in the new store. */
  memories: number
  /** Writes that were there and could not be read, and memories written without the embedding that they had. */
  lost: number
}
