// Iteration over a snapshot, on top of a native cursor.
//
// Ends once: at the last memory, at `return`, or at an error other than CORRUPT. A corrupt memory is reported and
// stepped over, so that a caller who goes on calling `next` still reads the others.

import { closedError, Failure, isThermoclineError } from '../errors'
import type { NativeCursor } from '../native'
import type { CheckedEntriesOptions } from '../options'
import type { Memory } from '../types'
import type { MemoryReader } from './memory-reader'

/**
 * What the iterator helpers of newer engines (`map`, `filter`, `take`) are found on; an empty object's worth in
 * Node 20.
 */
const IteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())) as object

/** What an iterator asks of its store. No closure of its own: V8 throws away what it compiled with one that is gone. */
interface EntriesHost {
  readonly reader: MemoryReader
  isClosed(): boolean
}

export class EntriesIterator implements IterableIterator<Memory> {
  readonly #host: EntriesHost
  readonly #reader: MemoryReader
  #cursor: NativeCursor | undefined

  constructor(host: EntriesHost, options: CheckedEntriesOptions) {
    const { reader } = host
    this.#host = host
    this.#reader = reader
    this.#cursor = reader.native.entries(options.since, options.where)
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<Memory, undefined> {
    const cursor = this.#cursor
    if (cursor === undefined) return { done: true, value: undefined }
    if (this.#host.isClosed()) {
      this.#cursor = undefined // the store's close gave it back
      throw closedError()
    }
    try {
      const memory = this.#reader.next(cursor)
      if (memory !== undefined) return { done: false, value: memory }
    } catch (error) {
      if (!isThermoclineError(error) || error.code !== Failure.CORRUPT.code) this.return()
      throw error
    }
    return this.return()
  }

  return(): IteratorReturnResult<undefined> {
    const cursor = this.#cursor
    this.#cursor = undefined
    if (cursor !== undefined && !this.#host.isClosed()) this.#reader.native.entriesClose(cursor)
    return { done: true, value: undefined }
  }
}

Object.setPrototypeOf(EntriesIterator.prototype, IteratorPrototype)
