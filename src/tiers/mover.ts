// The mover: asks the policy what is to move, and has it moved. One at a time, in the background or by `maintain`.
//
// The lock keeps movers from doing the same work; that no memory is lost when two run after all, or one dies, is the
// doing of the frames (`cold-writer.ts`). So a lock that goes stale by file time is good enough here, and soon: a mover
// that was killed keeps the next one waiting for `lockStaleMs`, one that does not come to renew its lock shares its work.

import { existsSync } from 'node:fs'
import { setImmediate, setTimeout as wait } from 'node:timers/promises'
import { abortError, systemFailure } from '../errors'
import { loadLockfile } from '../warm/lockfile'
import type { Counting, ListedSegment } from './catalogue'
import type { ColdTier } from './cold-tier'
import { makeDirectory } from './directories'
import {
  activationAt,
  type Candidate,
  halfLifeOf,
  isWorthRewriting,
  type Policy,
  planDemotions,
  planWarm,
  pressureOf,
} from './policy'
import type { CheckedMaintain } from './tiered-options'
import type { MaintainResult, PressureLevel } from './types'
import type { WarmAdapter } from './warm-adapter'

/** Memories looked at between two turns of the event loop. */
const lookMemories = 512
const lockStaleMs = 2000 // the least that proper-lockfile takes

export interface MoverHost {
  readonly warm: WarmAdapter
  readonly cold: ColdTier
  readonly policy: Policy
  /** Of the cold files; the lock is in it. */
  readonly directory: string
  isClosed(): boolean
  migrated(ids: readonly string[]): void
}

type Work = Omit<MaintainResult, 'ran' | 'cooled'>

export class Mover {
  readonly #host: MoverHost

  constructor(host: MoverHost) {
    this.#host = host
  }

  /** Undefined: somebody else is moving. `perSecond`: most memories a second. */
  async run(options: CheckedMaintain, perSecond = Infinity): Promise<Work | undefined> {
    const { warm, cold, directory } = this.#host
    // An empty space stays as small as it is: the lock would make a directory.
    if (warm.size === 0 && cold.catalogue.root().segments.length === 0 && !existsSync(directory)) {
      return { demoted: 0, rewritten: 0, bytesRemoved: 0, pressure: this.#pressure() }
    }
    const release = await this.#lock()
    if (release === undefined) return undefined
    try {
      return await this.#move(options, perSecond)
    } finally {
      await release().catch(() => undefined) // it was broken: somebody else has it
    }
  }

  async #lock(): Promise<(() => Promise<void>) | undefined> {
    const { directory } = this.#host
    makeDirectory(directory)
    const { lock } = loadLockfile()
    try {
      return await lock(directory, { stale: lockStaleMs, retries: 0, onCompromised: () => undefined })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ELOCKED') return undefined
      throw systemFailure(error, 'the lock of the cold files')
    }
  }

  async #move(options: CheckedMaintain, perSecond: number): Promise<Work> {
    const { signal } = options
    const pressure = this.#pressure()
    const ids = options.demote === undefined ? undefined : [...new Set(options.demote)]
    const chosen = ids ?? (await this.#plan(pressure, options))
    const demoted = await this.#demote(chosen.slice(0, options.limit), perSecond, signal)
    const rewritten = await this.#rewrite(options.compactCold, signal)
    const bytesRemoved = this.#host.isClosed() ? 0 : await this.#host.cold.writer.sweep()
    return { demoted, rewritten, bytesRemoved, pressure }
  }

  #pressure(): PressureLevel {
    const { warmBytes } = this.#host.policy
    return warmBytes === Infinity ? 'normal' : pressureOf(this.#host.warm.bytes, warmBytes)
  }

  #checkGoesOn(signal: AbortSignal | undefined): boolean {
    if (signal?.aborted === true) throw abortError(signal)
    return !this.#host.isClosed()
  }

  async #plan(pressure: PressureLevel, { limit, signal }: CheckedMaintain): Promise<string[]> {
    const { warm, policy } = this.#host
    const candidates: Candidate[] = []
    const now = Date.now()
    let looked = 0
    for (const memory of warm.entries()) {
      const activation = activationAt(memory, now, halfLifeOf(policy, memory))
      candidates.push({ id: memory.id, activation, move: planWarm(memory, now, policy) })
      if (++looked % lookMemories !== 0) continue
      await setImmediate()
      if (!this.#checkGoesOn(signal)) return []
    }
    return planDemotions(candidates, pressure, limit)
  }

  async #demote(ids: readonly string[], perSecond: number, signal: AbortSignal | undefined): Promise<number> {
    const { cold, warm } = this.#host
    const startedAt = performance.now()
    const size = Math.min(cold.writer.segmentMemories, perSecond)
    let demoted = 0
    for (let from = 0; from < ids.length; from += size) {
      if (!this.#checkGoesOn(signal)) break
      const memories = ids.slice(from, from + size).flatMap((id) => warm.get(id) ?? [])
      if (memories.length === 0) continue
      const { moved } = await cold.writer.demote(memories, signal)
      demoted += moved.length
      this.#host.migrated(moved)
      const earlyMs = (demoted / perSecond) * 1000 - (performance.now() - startedAt)
      if (earlyMs > 0 && from + size < ids.length) await wait(earlyMs, undefined, { ref: false })
    }
    return demoted
  }

  /** Rewrites files that are mostly dead, and unites those that are small. */
  async #rewrite(isAll: boolean, signal: AbortSignal | undefined): Promise<number> {
    const { cold } = this.#host
    const { root, counting } = cold.catalogue.snapshot()
    const entriesMax = cold.writer.segmentMemories
    const due = root.segments.filter((segment) => {
      const alive = (counting.get(segment.number) as Counting).count
      return isWorthRewriting(alive, segment.entries, entriesMax) || (isAll && alive < segment.entries)
    })
    let rewritten = 0
    for (const group of groupsOf(due, counting, entriesMax)) {
      if (!this.#checkGoesOn(signal)) break
      const [first, ...others] = group
      // A small file that is whole is not worth writing again alone.
      if (others.length === 0 && first !== undefined && counting.get(first.number)?.count === first.entries) continue
      rewritten += (await cold.writer.rewrite(group)) ?? 0
    }
    return rewritten
  }
}

/** Files whose memories fit into one. */
function groupsOf(
  segments: readonly ListedSegment[],
  counting: ReadonlyMap<number, Counting>,
  entriesMax: number,
): ListedSegment[][] {
  const groups: ListedSegment[][] = []
  let room = 0
  for (const segment of segments) {
    const { count } = counting.get(segment.number) as Counting
    const last = groups[groups.length - 1]
    if (last !== undefined && count <= room) {
      last.push(segment)
      room -= count
    } else {
      groups.push([segment])
      room = entriesMax - count
    }
  }
  return groups
}
