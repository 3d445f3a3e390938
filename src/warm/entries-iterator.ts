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

export class EntriesIterator implements IterableIterator<Memory> {
  readonly #reader: MemoryReader
  readonly #isClosed: () => boolean
  #cursor: NativeCursor | undefined

  constructor(reader: MemoryReader, options: CheckedEntriesOptions, isClosed: () => boolean) {
    this.#reader = reader
    this.#isClosed = isClosed
    this.#cursor = reader.native.entries(options.since, options.where)
  }

  [Symbol.iterator](): this {
    return this
  }

  next(): IteratorResult<Memory, undefined> {
    const cursor = this.#cursor
    if (cursor === undefined) return { done: true, value: undefined }
    if (this.#isClosed()) {
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
    if (cursor !== undefined && !this.#isClosed()) cursor.close()
    return { done: true, value: undefined }
  }
}

Object.setPrototypeOf(EntriesIterator.prototype, IteratorPrototype)
