// Measured figures of one tier: reads, hits, moves, latencies. Never constants.

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { LatencyStats, TierName, TierStats } from './types'

const nanosecondsPerMicrosecond = 1000
/** One of so many answers is timed: a clock costs as much as a hot read. */
const sampleEvery = 16

export class TierMeter {
  readonly #name: TierName
  readonly #latency: RecordableHistogram = createHistogram()
  reads = 0
  hits = 0
  movedIn = 0
  movedOut = 0

  constructor(name: TierName) {
    this.#name = name
  }

  /** Whether the read that begins now is to be timed. The first one is. */
  isSampled(): boolean {
    return this.reads % sampleEvery === 0
  }

  /** Times an answer. `startedAt`: of performance.now(). */
  answered(startedAt: number): void {
    this.#latency.record(Math.max(1, Math.round((performance.now() - startedAt) * 1e6)))
  }

  stats(memories: number, bytes: number, budgetBytes: number | null): TierStats {
    const { reads, hits, movedIn, movedOut } = this
    return {
      name: this.#name,
      memories,
      bytes,
      budgetBytes,
      reads,
      hits,
      hitRate: reads === 0 ? 0 : hits / reads,
      latency: this.#latencyStats(),
      movedIn,
      movedOut,
    }
  }

  #latencyStats(): LatencyStats {
    const { count } = this.#latency
    if (count === 0) return { count: 0, p50: 0, p99: 0, max: 0 }
    const of = (nanoseconds: number): number => nanoseconds / nanosecondsPerMicrosecond
    return {
      count,
      p50: of(this.#latency.percentile(50)),
      p99: of(this.#latency.percentile(99)),
      max: of(this.#latency.max),
    }
  }
}
