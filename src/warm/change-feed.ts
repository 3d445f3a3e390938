// The change feed: the writes of the log since a sequence, as an async iterator.
//
// Not an async generator: the `return` of one waits for the step that is pending, which with `follow` may be for
// ever. Here `return` ends that step.

import { abortError, closedError } from '../errors'
import type { NativeLogRecord, NativeStore } from '../native'
import type { CheckedChangesOptions } from '../options'
import type { Change, ChangeKind } from '../types'
import type { PendingWork } from './pending-work'

/** Records fetched per native call: few enough that a step stays short. */
export const recordsPerFetch = 256

const kinds: readonly ChangeKind[] = ['put', 'update', 'delete']

/** The name of a record's kind. */
export function changeKind(record: NativeLogRecord): ChangeKind {
  // The addon counts kinds from 1, and gives out no other.
  return kinds[record.kind - 1] as ChangeKind
}

/** What the feed needs of the store around it. */
export interface FeedHost {
  readonly native: NativeStore
  readonly pending: PendingWork
  isClosed(): boolean
}

const end: IteratorReturnResult<undefined> = { done: true, value: undefined }

export class ChangeFeed implements AsyncIterableIterator<Change> {
  readonly #host: FeedHost
  readonly #follow: boolean
  readonly #signal: AbortSignal | undefined
  /** sequence of the last record fetched */
  #fetched: number
  #records: NativeLogRecord[] = []
  #position = 0
  #done = false
  /** The step asked for last: steps run one after the other, however many are asked for at once. */
  #turn: Promise<unknown> = Promise.resolve()
  #stopWaiting: (() => void) | undefined = undefined

  constructor(host: FeedHost, options: CheckedChangesOptions) {
    this.#host = host
    this.#follow = options.follow
    this.#signal = options.signal
    this.#fetched = options.since
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    const step = this.#turn.then(() => this.#step())
    // A failed step must not fail those behind it: they find the feed at its end.
    this.#turn = step.catch(() => undefined)
    return step
  }

  /** Ends the feed, a pending step included. */
  return(): Promise<IteratorResult<Change, undefined>> {
    this.#finish()
    this.#stopWaiting?.()
    return Promise.resolve(end)
  }

  #finish(): void {
    this.#done = true
    this.#records = []
    this.#position = 0
  }

  async #step(): Promise<IteratorResult<Change, undefined>> {
    try {
      for (;;) {
        if (this.#done) return end
        if (this.#signal?.aborted === true) throw abortError(this.#signal)
        if (this.#host.isClosed()) throw closedError()
        const record = this.#records[this.#position]
        if (record !== undefined) {
          this.#position += 1
          return { done: false, value: { sequence: record.sequence, kind: changeKind(record), id: record.id } }
        }
        if (this.#fetch()) continue
        if (!this.#follow) {
          this.#finish()
          return end
        }
        await this.#wait()
      }
    } catch (error) {
      this.#finish()
      throw error
    }
  }

  /** False when there is nothing to fetch now. */
  #fetch(): boolean {
    this.#records = this.#host.native.changes(this.#fetched, recordsPerFetch)
    this.#position = 0
    const last = this.#records[this.#records.length - 1]
    if (last === undefined) return false
    this.#fetched = last.sequence
    return true
  }

  /** Resolves when there may be more to fetch or `return` was called; rejects on abort and on close. */
  async #wait(): Promise<void> {
    const { native, pending } = this.#host
    let token = 0
    const woken = new Promise<void>((resolve) => {
      token = native.changesWait(this.#fetched, resolve)
      this.#stopWaiting = () => {
        // A store that closed meanwhile has ended the wait by itself.
        if (!this.#host.isClosed()) native.changesCancel(token)
        resolve()
      }
    })
    try {
      await pending.interruptible(woken, () => native.changesCancel(token), this.#signal)
    } finally {
      this.#stopWaiting = undefined
    }
  }
}
