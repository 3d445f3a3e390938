// The memory index of an open store, as TypeScript sees it: id -> newest record.
//
// Not here: the table. It is a lock-free hash table in a mapped file, shared by every thread and process that has
// the store open, because a Map per worker would cost memory times workers and go stale across processes. It is a
// cache of the content log and can be rebuilt from it.

import type { NativeStore } from '../native'
import type { Location } from '../types'
import { checkId } from './memory-id'
import type { MemoryReader } from './memory-reader'

/** Get it as `index` of an open WarmTier. It lives as long as that: afterwards everything here throws CLOSED. */
export class MemoryIndex {
  readonly #native: NativeStore
  readonly #reader: MemoryReader

  /** @internal */
  constructor(reader: MemoryReader) {
    this.#native = reader.native
    this.#reader = reader
  }

  /**
   * Whether there is a memory of that id. Errors: ARGUMENT, KEY_SIZE, CLOSED. Cost: one probe, no lock. Since
   * 0.1.0.
   */
  has(id: string): boolean {
    return this.#native.has(checkId(id))
  }

  /**
   * Where the newest record of that id lies; undefined when the memory is absent. Errors and cost: as `has`. Since
   * 0.1.0.
   */
  locate(id: string): Location | undefined {
    return this.#reader.locate(checkId(id))
  }

  /** Memories that the index leads to, deleted ones not counted. Errors: CLOSED. Since 0.1.0. */
  get size(): number {
    return this.#native.size()
  }

  /** Cells of the table. Errors: CLOSED. Since 0.1.0. */
  get cells(): number {
    return this.#native.indexInfo().cells
  }

  /** Cells in use; those of deleted memories stay in use until the table grows. Errors: CLOSED. Since 0.1.0. */
  get used(): number {
    return this.#native.indexInfo().used
  }

  /** Number of the table, counted from 1: it rises when the index grows into a new one. Errors: CLOSED. Since 0.1.0. */
  get generation(): number {
    return this.#native.indexInfo().generation
  }
}
