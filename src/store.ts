// The contract of an open store, method by method.
//
// Not here: how. `warm/warm-tier.ts` implements it over the native core.
//
// Threads: one Store belongs to the worker thread that opened it; every worker and process may open the same
// directory, and they see each other's commits at once. Errors: codes stand after `THERMOCLINE_`; besides those
// named, every method throws CLOSED after `close`, CORRUPT where stored bytes fail their check, ARGUMENT for
// arguments of a wrong type or range; every write also READ_ONLY, FULL, IO, POISONED and BUSY.
// Durability: unless it says otherwise a write survives the end of the process when it returns, and a power cut
// once a later `flush` resolved (at once with `durability: 'commit'`).

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
  Operation,
  PutManyOptions,
  PutManyResult,
  SearchOptions,
  StoreStats,
  TouchOptions,
  Vector,
  VerifyResult,
  WriteResult,
} from './types'

/**
 * An open store. Get one from `open`, and `close` it (or declare it with `using`).
 *
 * Threads: it belongs to the worker thread that opened it and cannot be passed to another; every worker and process
 * opens the same directory for itself. A write is seen by all of them when it returns. Reads take no lock and wait for
 * nobody; writes of all threads and processes follow one another, each for microseconds.
 *
 * Durability: a write that returned survives the end of its process, however it ends. It survives a power cut once a
 * later `flush` resolved; with `durability: 'commit'` at once.
 *
 * Errors, besides those that a method names: CLOSED after `close`; CORRUPT where stored bytes fail their check; ARGUMENT
 * for an argument of a wrong type or range; FORKED in a process that was forked with the store open; every write also
 * READ_ONLY, FULL, IO, POISONED (a sync failed earlier) and BUSY. What throws has changed nothing, but for `putMany`.
 */
export interface Store {
  /**
   * Writes a memory, replacing everything under its id, and returns its sequence. It is visible to every reader,
   * searches included, when `put` returns.
   *
   * Everything is copied. Errors: KEY_SIZE, DIMENSION, NOT_FINITE, TOO_LARGE; CONFLICT when `ifSequence` is given
   * and is not the memory's sequence. Cost: microseconds, no file-system call; waits at most `lockTimeout` for
   * another writer.
   *
   * @example
   * ```js
   * // Only if nobody wrote it since it was read; 0 stands for absent.
   * const { sequence, metadata } = store.get('counter') ?? { sequence: 0, metadata: { count: 0 } }
   * store.put({ id: 'counter', metadata: { count: metadata.count + 1 } }, { ifSequence: sequence })
   * ```
   */
  put(memory: MemoryInput, options?: ConditionOptions): number

  /**
   * Writes many memories in batches, each committed at one moment: at most `batchSize` memories and 1 MiB (a larger
   * memory makes a batch of its own). Each takes one consecutive sequence, in order; of equal ids the last wins.
   *
   * The iterable may use the store between two items. On an error earlier batches stay, the failing one leaves
   * nothing, and `details` has `count` (memories written) and `index` (the failing item, or the first of a batch
   * that could not be committed). What the iterator itself throws comes through as it is. Errors: as `put`.
   *
   * @example
   * ```js
   * function* numbered(texts) {
   *   for (const [at, content] of texts.entries()) yield { id: `text-${at}`, content }
   * }
   * const { count, lastSequence } = store.putMany(numbered(['one', 'two', 'three']))
   * console.log(count, lastSequence)
   * ```
   */
  putMany(memories: Iterable<MemoryInput>, options?: PutManyOptions): PutManyResult

  /**
   * Reads a memory, decoded; undefined when absent. Takes no lock and never changes the memory, statistics included.
   *
   * The result is a plain object of the caller. Errors: KEY_SIZE. Cost: microseconds, whatever the size of the store.
   */
  get(id: string): Memory | undefined

  /**
   * `get` for each id, in order. Not one moment: each memory is read by itself. Errors and cost: as `get`, for each; what the
   * iterator throws comes through as it is.
   */
  getMany(ids: Iterable<string>): (Memory | undefined)[]

  /**
   * Reads a memory without copying its embedding; undefined when absent. See MemoryView for its lifetime. Takes no
   * lock. Errors: KEY_SIZE. Cost: less than `get`, until content or metadata are asked for.
   */
  view(id: string): MemoryView | undefined

  /** Whether there is a memory of that id. Takes no lock and decodes nothing. Errors: KEY_SIZE. */
  has(id: string): boolean

  /**
   * Changes content, metadata or confidence and keeps the embedding, `createdAt` and statistics. False, and no
   * sequence taken, when the memory is absent. Errors: as `put`; any key but those three is a TypeError. Cost: as `put`; the
   * embedding is copied.
   */
  update(id: string, patch: MemoryPatch, options?: ConditionOptions): boolean

  /** Deletes a memory. False, and no sequence taken, when it is absent. Errors: KEY_SIZE, CONFLICT. Cost: as `put`. */
  delete(id: string, options?: ConditionOptions): boolean

  /**
   * Does all operations at one moment, in order, or none. Everything is checked before anything is written; an
   * update or delete of an absent id has no effect and takes no sequence. Errors: as `put`, with `details.index`. At most
   * 1,048,576 operations (TOO_LARGE). Cost: microseconds each; other writers wait for all of them.
   *
   * @example
   * ```js
   * store.put({ id: 'draft', content: 'to be moved' })
   * store.write([{ put: { id: 'final', content: store.get('draft').content } }, { delete: 'draft' }])
   * ```
   */
  write(operations: Operation[]): WriteResult

  /**
   * Notes a recall: `recallCount` + 1, `lastAccess` now, `activation` if given. False when absent. Statistics only:
   * it takes no sequence, shows in no change feed, and may be lost in a crash or when two do it at once. Takes no lock.
   * Errors: KEY_SIZE, READ_ONLY.
   */
  touch(id: string, options?: TouchOptions): boolean

  /**
   * Finds the memories nearest to `query` (length: the store's dimensions) in one snapshot, best first; of equal
   * scores the lower sequence first. Memories without embedding are never hits.
   *
   * Scores are computed in double precision. In a store of more than a few thousand memories a true hit may be missing
   * with a probability of 1 - `recall`; with `exact` none is.
   *
   * The query is copied. The scan runs off the event loop, on up to `threads` threads. Rejects with DIMENSION, NOT_FINITE,
   * ARGUMENT (also for a query of zeros under cosine, or a wrong `filter`), CORRUPT (a hit, or what a filter had to read,
   * is damaged), ABORTED, CLOSED (also when the store is closed meanwhile).
   */
  search(query: Vector, options?: SearchOptions): Promise<Hit[]>

  /**
   * The hits of each of many queries, in their order, all in one snapshot. Goes through each part of the store once
   * for all of them. Errors: as `search`; one wrong query fails all.
   */
  searchMany(queries: readonly Vector[], options?: SearchOptions): Promise<Hit[][]>

  /** `search` on the calling thread, which it blocks: the same hits, and errors that are thrown. Other threads help it. */
  searchSync(query: Vector, options?: SearchOptions): Hit[]

  /**
   * Iterates over a snapshot taken now, in commit order: no memory twice, none missed, whatever is written meanwhile.
   * Leaving the loop early gives the snapshot back. Errors: ARGUMENT (also for a wrong `where`); `next` throws CLOSED
   * after `close`, and CORRUPT for a damaged memory, after which it goes on. Cost: one pass over the log; a `where` that
   * few memories match makes a single `next` long.
   */
  entries(options?: EntriesOptions): IterableIterator<Memory>

  /**
   * Iterates over the writes since a sequence, without gaps from `since` + 1. Ends at the present, or waits there
   * with `follow`, when it also sees the commits of other processes within 50 ms and keeps the process alive.
   * `next` rejects with CHANGES_GONE (history given back by compaction, or `since` above the present), ABORTED, CLOSED.
   *
   * @example
   * ```js
   * const since = store.sequence
   * store.put({ id: 'news' })
   * for await (const { sequence, kind, id } of store.changes({ since })) console.log(sequence, kind, id)
   * ```
   */
  changes(options?: ChangesOptions): AsyncIterableIterator<Change>

  /** Memories in the store now, in all threads and processes. Cost: one read. */
  readonly size: number

  /** Sequence of the last visible write of all threads and processes, 0 when there was none. Cost: one read. */
  readonly sequence: number

  /** Figures of the store, measured now. Cost: a few system calls per segment. */
  stats(): StoreStats

  /**
   * Resolves when everything written before the call, by any thread or process, survives a power cut. Concurrent
   * flushes share one sync, which runs off the event loop. Rejects with IO, FULL or POISONED: after a failed sync nobody
   * writes to the store any more in this boot, because the system may have dropped what it could not write.
   */
  flush(): Promise<void>

  /**
   * Gives back the space of replaced and deleted memories, off the event loop, while all others read and write on:
   * nobody waits for it longer than 2 ms at a time. What was deleted is in no file of the store afterwards, but for the
   * ids of deletions that records before them still need. Views, iterators and running searches keep what they see; its
   * space is given back when they are gone. Changes up to the last dropped one cannot be read any more (CHANGES_GONE).
   * Durable when it resolves; the store is whole wherever it ends. Rejects with BUSY (another compaction runs for longer
   * than `lockTimeout`), CORRUPT (what is damaged was left as it is, the rest compacted), FULL (copies need room first),
   * IO, POISONED, READ_ONLY, ABORTED, CLOSED. Cost: what stays in segments with something dead is copied once.
   */
  compact(options?: CompactOptions): Promise<CompactResult>

  /**
   * Checks every stored byte that has a checksum, off the event loop. Problems are reported, not thrown. Cost: one pass
   * over all files.
   */
  verify(): Promise<VerifyResult>

  /**
   * Copies a snapshot, taken when it begins, into `directory`, absent or empty, off the event loop and while writers go
   * on. The copy is a store of its own: sequences, statistics and `createdAt` are kept, the change history and what was
   * replaced or deleted are not, so its `changes` begin at its own sequence. Every checksum is looked at on the way.
   * Resolves when the copy is synced and in place; until then, and on any error, there is nothing at `directory`.
   * Rejects with EXISTS, BUSY (another copy to the same place is under way), CORRUPT, FULL, IO, CLOSED.
   */
  backup(directory: string): Promise<BackupResult>

  /** Where a memory lies; undefined when absent. For tools and tests. Errors: KEY_SIZE. */
  locate(id: string): Location | undefined

  /**
   * Closes the store. Idempotent. Pending `search`, `searchMany`, `verify`, `compact`, `backup` and followed `changes`
   * reject with CLOSED as soon as nothing of them goes on, a running `flush` completes, views get length 0. The last
   * close on a store makes it durable, unless `durability: 'none'`: at once, or when the last of these has ended, also in
   * a process that exits. Who wants to move or remove the directory awaits them, or `[Symbol.asyncDispose]`.
   */
  close(): void

  /** `close`, for `using`. */
  [Symbol.dispose](): void

  /**
   * Awaits pending searches, checks, backups and flushes, then closes. Followed `changes` never end, so they reject with
   * CLOSED.
   */
  [Symbol.asyncDispose](): Promise<void>
}
