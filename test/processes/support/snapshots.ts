// Whether each snapshot of a history shows the state after some prefix of the commit order.
//
// The change feed gives the order: at each sequence an id and whether it is there afterwards. A snapshot is the set of
// (id, sequence) that it listed. It must equal the state after a prefix that (1) cuts no `write` in two, (2) has every
// write that was acknowledged before the snapshot began, (3) has no write that began after it ended, and it must list
// in commit order. What was read at one sequence must be the same whoever read it.

import type { Change } from 'thermocline'
import type { State } from './linearizability.js'

export interface Snapshot {
  begin: number
  end: number
  memories: { id: string; state: State; sequence: number }[]
}

/** A write whose sequences are known: from `first` to `last`, one frame. */
export interface PlacedWrite {
  first: number
  last: number
  begin: number
  /** Undefined: in doubt. */
  end: number | undefined
}

export class SnapshotJudge {
  readonly #feed: readonly Change[]
  readonly #since: number
  readonly #writes: readonly PlacedWrite[]
  readonly #isCut: Uint8Array
  /** What was read at each sequence. */
  readonly #states = new Map<number, State>()
  readonly problems: string[] = []

  constructor(feed: readonly Change[], since: number, writes: readonly PlacedWrite[]) {
    this.#feed = feed
    this.#since = since
    this.#writes = writes
    this.#isCut = new Uint8Array(feed.length + 1)
    for (const { first, last } of writes) this.#isCut.fill(1, first - since, last - since)
  }

  /** Notes that `id` was read as `state` at `sequence`. */
  read(id: string, state: State, sequence: number): void {
    if (sequence === 0) return
    const change = this.#feed[sequence - this.#since - 1]
    if (change?.id !== id || change.kind === 'delete') {
      this.problems.push(`${id} was read at ${sequence}, where the feed has ${change?.kind} of ${change?.id}`)
    }
    const known = this.#states.get(sequence)
    if (known !== undefined && known !== state) this.problems.push(`${sequence} was read as ${known} and as ${state}`)
    this.#states.set(sequence, state)
  }

  judge(snapshot: Snapshot): void {
    const { memories } = snapshot
    for (const { id, state, sequence } of memories) this.read(id, state, sequence)
    for (let at = 1; at < memories.length; at++) {
      const [before, after] = [memories[at - 1]?.sequence ?? 0, memories[at]?.sequence ?? 0]
      if (before >= after) this.problems.push(`a snapshot lists sequence ${after} after ${before}`)
    }
    const ids = new Set(memories.map(({ id }) => id))
    if (ids.size !== memories.length) this.problems.push('a snapshot lists an id twice')
    const { from, to } = this.#bounds(snapshot)
    if (!this.#isPrefix(memories, from, to)) {
      const listed = memories.map(({ id, sequence }) => `${id}@${sequence}`).join(' ')
      this.problems.push(`a snapshot is no prefix between ${from} and ${to}: ${listed}`)
    }
  }

  #bounds({ begin, end }: Snapshot): { from: number; to: number } {
    let from = this.#since
    let to = this.#since + this.#feed.length
    for (const write of this.#writes) {
      if (write.end !== undefined && write.end < begin) from = Math.max(from, write.last)
      if (write.begin > end) to = Math.min(to, write.first - 1)
    }
    return { from, to }
  }

  #isPrefix(memories: Snapshot['memories'], from: number, to: number): boolean {
    const listed = new Map(memories.map(({ id, sequence }) => [id, sequence]))
    // How many ids differ between the snapshot and the state after the prefix.
    let different = listed.size
    const state = new Map<string, number>()
    for (let at = 0; ; at++) {
      const sequence = this.#since + at
      if (sequence >= from && different === 0 && this.#isCut[at] === 0) return true
      const change = this.#feed[at]
      if (change === undefined || sequence >= to) return false
      const wasRight = state.get(change.id) === listed.get(change.id)
      if (change.kind === 'delete') state.delete(change.id)
      else state.set(change.id, change.sequence)
      const isRight = state.get(change.id) === listed.get(change.id)
      different += Number(wasRight) - Number(isRight)
    }
  }
}
