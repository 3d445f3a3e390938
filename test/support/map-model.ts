// The slow twin of a store: a plain Map, and searches by a naive loop in double precision.

import type { Memory, MemoryInput, MemoryPatch, Metric } from 'thermocline'

export type ModelMemory = Memory

/** What the store must be: each method does to a Map what the contract says of its namesake. */
export class MapModel {
  readonly memories = new Map<string, ModelMemory>()
  sequence = 0

  /** `now`: the createdAt of a memory that was given none; tests give it always. */
  put(input: MemoryInput & { createdAt: number }): void {
    this.sequence += 1
    const { id, createdAt } = input
    this.memories.delete(id) // to stand last, in commit order
    this.memories.set(id, {
      id,
      embedding: input.embedding ? Float32Array.from(input.embedding) : null,
      content: input.content ?? null,
      metadata: input.metadata ?? {},
      confidence: input.confidence ?? 1,
      createdAt,
      sequence: this.sequence,
      activation: input.activation ?? 1,
      lastAccess: input.lastAccess ?? createdAt,
      recallCount: input.recallCount ?? 0,
    })
  }

  update(id: string, patch: MemoryPatch): boolean {
    const old = this.memories.get(id)
    if (old === undefined) return false
    this.sequence += 1
    this.memories.delete(id)
    this.memories.set(id, {
      ...old,
      content: patch.content === undefined ? old.content : patch.content,
      metadata: patch.metadata ?? old.metadata,
      confidence: patch.confidence ?? old.confidence,
      sequence: this.sequence,
    })
    return true
  }

  delete(id: string): boolean {
    if (!this.memories.delete(id)) return false
    this.sequence += 1
    return true
  }

  /** `lastAccess`: the time that the store noted, checked by the caller. */
  touch(id: string, lastAccess: number, activation: number | undefined): void {
    const memory = this.memories.get(id)
    if (memory === undefined) return
    memory.recallCount += 1
    memory.lastAccess = lastAccess
    if (activation !== undefined) memory.activation = activation
  }

  /** 0 when absent: what `ifSequence` is compared with. */
  sequenceOf(id: string): number {
    return this.memories.get(id)?.sequence ?? 0
  }

  entries(since: number): ModelMemory[] {
    return [...this.memories.values()].filter(({ sequence }) => sequence > since)
  }

  /** Every memory with an embedding and its score, best first, lower sequence first among equals. */
  search(query: Float32Array, metric: Metric): { id: string; sequence: number; score: number }[] {
    const hits = []
    for (const { id, sequence, embedding } of this.memories.values()) {
      if (embedding !== null) hits.push({ id, sequence, score: scoreOf(query, embedding, metric) })
    }
    return hits.sort((a, b) => b.score - a.score || a.sequence - b.sequence)
  }
}

/** In double precision, term by term. */
export function scoreOf(query: Float32Array, embedding: Float32Array, metric: Metric): number {
  let dot = 0
  let querySquared = 0
  let embeddingSquared = 0
  let distanceSquared = 0
  query.forEach((q, at) => {
    const e = embedding[at] as number
    dot += q * e
    querySquared += q * q
    embeddingSquared += e * e
    distanceSquared += (q - e) * (q - e)
  })
  if (metric === 'dot') return dot
  if (metric === 'l2') return -Math.sqrt(distanceSquared)
  if (embeddingSquared === 0) return 0
  return Math.min(1, Math.max(-1, dot / (Math.sqrt(querySquared) * Math.sqrt(embeddingSquared))))
}
