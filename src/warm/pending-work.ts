// Promises under way on a store: which of them end when it closes, and which its disposal awaits.
//
// A wait ends promptly, on abort and on close, whatever the native job behind it does: that one is cancelled, and
// its late answer goes nowhere. Work that changes files, or holds the store long, is waited for on close: who awaits it
// and closed may remove or copy the directory.

import { abortError } from '../errors'

type Interrupt = (error: Error) => void

export class PendingWork {
  readonly #interrupts = new Set<Interrupt>()
  readonly #awaited = new Set<Promise<unknown>>()

  /** Settles as `work` does, unless `signal` or `interruptAll` comes first: then calls `cancel` and rejects. */
  interruptible<T>(work: Promise<T>, cancel: () => void, signal?: AbortSignal): Promise<T> {
    return this.#wait(work, cancel, signal, false)
  }

  /** As `interruptible`, but after `interruptAll` it rejects when `work` has ended, whatever came of that. */
  interruptibleToItsEnd<T>(work: Promise<T>, cancel: () => void, signal?: AbortSignal): Promise<T> {
    return this.#wait(work, cancel, signal, true)
  }

  #wait<T>(work: Promise<T>, cancel: () => void, signal: AbortSignal | undefined, toItsEnd: boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let interrupted: Error | undefined
      const finish = (): void => {
        this.#interrupts.delete(interrupt)
        signal?.removeEventListener('abort', abort)
      }
      const end = (error: Error): void => {
        finish()
        reject(error)
        cancel()
      }
      const interrupt: Interrupt = (error) => {
        if (!toItsEnd) return end(error)
        interrupted = error
        cancel()
      }
      const abort = (): void => {
        if (signal !== undefined) end(abortError(signal))
      }
      this.#interrupts.add(interrupt)
      signal?.addEventListener('abort', abort, { once: true })
      work.then(
        (value) => {
          finish()
          if (interrupted === undefined) resolve(value)
          else reject(interrupted)
        },
        (error: unknown) => {
          finish()
          reject(interrupted ?? error)
        },
      )
      // An aborted signal tells nobody any more.
      if (signal?.aborted === true) abort()
    })
  }

  /** Makes `settled` wait for this work too. Returns it. */
  track<T>(work: Promise<T>): Promise<T> {
    const forget = (): void => {
      this.#awaited.delete(work)
    }
    this.#awaited.add(work)
    work.then(forget, forget)
    return work
  }

  /** Rejects every interruptible wait. */
  interruptAll(makeError: () => Error): void {
    for (const interrupt of [...this.#interrupts]) interrupt(makeError())
  }

  /** Resolves when no awaited work is left, work that began meanwhile included. */
  async settled(): Promise<void> {
    while (this.#awaited.size > 0) await Promise.allSettled(this.#awaited)
  }
}
