// Which native handle stages the next frame.
//
// A native handle has one stage, and code of the caller runs while it is filled: the iterator given to `putMany`,
// accessors of its items. That code may itself write in batches to the same store. Its frame must not mix with the
// one half staged around it, nor force that one out early, so it is staged by a second handle on the same store.
// Copying every item into JavaScript first would also do, at the price of a copy of every embedding ever written.
//
// Invariant: a handle is taken by one frame at a time; `close` closes them all, so that nothing can be committed
// after it.

import type { NativeStore } from '../native'

export class Stages {
  readonly #reopen: () => NativeStore
  readonly #all: NativeStore[]
  readonly #free: NativeStore[]

  /** `reopen` opens one more handle on the store of `first`. */
  constructor(first: NativeStore, reopen: () => NativeStore) {
    this.#reopen = reopen
    this.#all = [first]
    this.#free = [first]
  }

  /**
   * A handle with an empty stage, for the caller alone until it gives it back. Opens one only when writes are
   * nested.
   */
  take(): NativeStore {
    const free = this.#free.pop()
    if (free !== undefined) return free
    const opened = this.#reopen()
    this.#all.push(opened)
    return opened
  }

  give(stage: NativeStore): void {
    this.#free.push(stage)
  }

  /** Closes every handle, also those that are taken: what they stage can then not be committed any more. */
  close(): void {
    const errors: unknown[] = []
    // The first handle last: it is the one whose close makes the store durable and may have to say that it failed.
    for (const handle of this.#all.reverse()) {
      try {
        handle.close()
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[errors.length - 1]
  }
}
