// Hot: decoded memories of this thread, within a budget of bytes; the least recently read makes room.
//
// Write-through: nothing is only here. What is here may be out of date, so `MemoryStore` asks at each read whether it is of
// the newest record and hands out nothing older (docs/tiers.md); `sweep` follows the change feed, so that what
// others replaced does not take room either.
//
// Thread rule: one HotTier a handle, used by its thread alone.

import { LRUCache } from 'lru-cache'
import type { Filter, Hit, Memory, Metric } from '../types'
import type { LogRecord } from '../warm/content-log'
import { SeenRecord } from '../warm/seen-record'
import { compileFilter } from './filter-match'
import { copyMemory, ownMemory, sizeOf } from './plain'
import { byScore, makeScorer } from './score'
import type { Tier } from './types'

const historyMax = 10

/** A memory that is kept, with the activations it had at its last accesses, oldest first. */
export class HotEntry extends SeenRecord {
  readonly memory: Memory
  readonly bytes: number
  readonly history: number[]

  constructor(memory: Memory, bytes: number, history: number[]) {
    super(memory.sequence)
    this.memory = memory
    this.bytes = bytes
    this.history = history
  }
}

export interface HotTierOptions {
  /** Most bytes, estimated. At least 1. */
  readonly bytes: number
  readonly metric: Metric
  readonly onEvicted?: (id: string, bytes: number) => void
}

export class HotTier implements Tier {
  readonly name = 'hot'
  readonly budgetBytes: number
  readonly #metric: Metric
  readonly #cache: LRUCache<string, HotEntry>

  constructor({ bytes, metric, onEvicted }: HotTierOptions) {
    this.budgetBytes = bytes
    this.#metric = metric
    this.#cache = new LRUCache<string, HotEntry>({
      maxSize: Math.max(1, bytes),
      sizeCalculation: (entry) => entry.bytes,
      ...(onEvicted === undefined
        ? {}
        : {
            dispose: (entry, id, reason) => {
              if (reason === 'evict') onEvicted(id, entry.bytes)
            },
          }),
    })
  }

  get size(): number {
    return this.#cache.size
  }

  get bytes(): number {
    return this.#cache.calculatedSize
  }

  /** What is kept of an id, now the most recently used. Not a copy. */
  entry(id: string): HotEntry | undefined {
    return this.#cache.get(id)
  }

  /** Keeps a copy. False when it is larger than the budget. */
  keep(memory: Memory): boolean {
    const bytes = sizeOf(memory)
    if (bytes > this.budgetBytes) {
      this.#cache.delete(memory.id)
      return false
    }
    const history = this.#cache.peek(memory.id)?.history ?? []
    this.#cache.set(memory.id, new HotEntry(ownMemory(memory), bytes, history))
    return true
  }

  /** Notes the activation of an access. */
  note(id: string, activation: number): void {
    const entry = this.#cache.peek(id)
    if (entry === undefined) return
    entry.history.push(activation)
    if (entry.history.length > historyMax) entry.history.shift()
  }

  /** Lets go of what these records replaced. */
  sweep(records: Iterable<LogRecord>): void {
    for (const { id, sequence } of records) {
      const entry = this.#cache.peek(id)
      if (entry !== undefined && entry.memory.sequence < sequence) this.#cache.delete(id)
    }
  }

  *all(): Generator<HotEntry, undefined> {
    // Copied, because whoever looks may remove.
    yield* [...this.#cache.values()]
  }

  clear(): void {
    this.#cache.clear()
  }

  has(id: string): boolean {
    return this.#cache.has(id)
  }

  get(id: string): Memory | undefined {
    const memory = this.#cache.get(id)?.memory
    return memory && copyMemory(memory, memory.activation, memory.lastAccess, memory.recallCount)
  }

  async accept(memories: readonly Memory[]): Promise<void> {
    for (const memory of memories) this.keep(memory)
  }

  remove(id: string): boolean {
    return this.#cache.delete(id)
  }

  search(query: Float32Array, options: { limit: number; minScore?: number; filter?: Filter }): Hit[] {
    const { limit, minScore = -Infinity, filter } = options
    const matches = filter === undefined ? undefined : compileFilter(filter)
    const score = makeScorer(this.#metric, query)
    const hits: Hit[] = []
    for (const { memory } of this.#cache.values()) {
      if (memory.embedding === null) continue
      const value = score(memory.embedding, 0)
      if (value < minScore || matches?.(memory, () => memory.metadata) === false) continue
      hits.push({ memory, score: value })
    }
    return hits
      .sort(byScore)
      .slice(0, limit)
      .map(({ memory, score: value }) => ({ memory: this.#copy(memory), score: value }))
  }

  *entries(): Generator<Memory, undefined> {
    const memories = [...this.#cache.values()].map(({ memory }) => memory)
    for (const memory of memories.sort((a, b) => a.sequence - b.sequence)) yield this.#copy(memory)
  }

  #copy(memory: Memory): Memory {
    return copyMemory(memory, memory.activation, memory.lastAccess, memory.recallCount)
  }
}
