// Warm as a Tier: the mapped store, without the records that are the tiered store's own.

import type { Filter, Hit, Memory } from '../types'
import type { WarmTier } from '../warm/warm-tier'
import { Catalogue, isControlId } from './catalogue'
import type { Tier } from './types'

export class WarmAdapter implements Tier {
  readonly name = 'warm'
  readonly store: WarmTier
  readonly #catalogue: Catalogue

  constructor(store: WarmTier) {
    this.store = store
    this.#catalogue = new Catalogue(store)
  }

  get size(): number {
    for (;;) {
      const root = this.#catalogue.root()
      const size = this.store.size - Catalogue.controlCount(root)
      if (this.#catalogue.root() === root) return size
    }
  }

  /** Of what is alive: space that was made ahead or belongs to replaced memories is not counted. */
  get bytes(): number {
    const { total, dead, reserved } = this.store.stats().bytes
    return Math.max(0, total - dead - reserved)
  }

  has(id: string): boolean {
    return !isControlId(id) && this.store.has(id)
  }

  get(id: string): Memory | undefined {
    return isControlId(id) ? undefined : this.store.get(id)
  }

  async accept(memories: readonly Memory[]): Promise<void> {
    this.store.putMany(memories)
  }

  remove(id: string): boolean {
    return this.store.delete(id)
  }

  search(query: Float32Array, options: { limit: number; minScore?: number; filter?: Filter }): Hit[] {
    return this.store.searchSync(query, { ...options, exact: true })
  }

  *entries(): Generator<Memory, undefined> {
    for (const memory of this.store.entries()) if (!isControlId(memory.id)) yield memory
  }
}
