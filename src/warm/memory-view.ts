// Views: memories whose embedding is not copied and whose strings are decoded at first touch.
//
// Lifetime: the embedding is a window on a private mapping of the segment's file, which the buffer pins; `close`
// detaches the buffer, after which every embedding has length 0. A record is immutable once committed, so a view
// goes on showing one moment.

import { addon, type NativeStore, type ReadStrings } from '../native'
import type { JsonObject, MemoryView } from '../types'
import { decodeMetadata } from './metadata-encoder'

const {
  confidence: CONFIDENCE,
  createdAt: CREATED_AT,
  activation: ACTIVATION,
  lastAccess: LAST_ACCESS,
  recallCount: RECALL_COUNT,
  sequence: SEQUENCE,
  hasEmbedding: HAS_EMBEDDING,
  segment: SEGMENT,
  slot: SLOT,
  logOffset: LOG_OFFSET,
} = addon.numberAt

/** The view of one record. Its own properties are those that cost nothing to have; the others are accessors. */
class LazyMemoryView implements MemoryView {
  readonly id: string
  readonly embedding: Float32Array | null
  readonly confidence: number
  readonly createdAt: number
  readonly sequence: number
  readonly activation: number
  readonly lastAccess: number
  readonly recallCount: number
  readonly #native: NativeStore
  readonly #segment: number
  readonly #logOffset: number
  #strings: ReadStrings | undefined = undefined
  #metadata: JsonObject | undefined = undefined

  /** Takes its numbers from `native.numbers`, as `locate` left them. */
  constructor(native: NativeStore, id: string, embedding: Float32Array | null) {
    const { numbers } = native
    this.id = id
    this.embedding = embedding
    this.confidence = numbers[CONFIDENCE] as number
    this.createdAt = numbers[CREATED_AT] as number
    this.sequence = numbers[SEQUENCE] as number
    this.activation = numbers[ACTIVATION] as number
    this.lastAccess = numbers[LAST_ACCESS] as number
    this.recallCount = numbers[RECALL_COUNT] as number
    this.#native = native
    this.#segment = numbers[SEGMENT] as number
    this.#logOffset = numbers[LOG_OFFSET] as number
  }

  get content(): string | null {
    return this.#read()[0]
  }

  get metadata(): JsonObject {
    this.#metadata ??= decodeMetadata(this.#read()[1])
    return this.#metadata
  }

  #read(): ReadStrings {
    if (this.#strings !== undefined) return this.#strings
    const strings: ReadStrings = [null, undefined, '']
    this.#native.stringsAt(this.#segment, this.#logOffset, strings)
    this.#strings = strings
    return strings
  }
}

/** Makes the views of one handle. */
export class MemoryViewer {
  readonly #native: NativeStore
  readonly #dimensions: number
  /**
   * The embedding column of each segment seen. Weak, because a buffer pins the mapping of its segment: one that
   * was rewritten must be let go when the last view on it is.
   */
  readonly #columns = new Map<number, WeakRef<ArrayBuffer>>()
  /** Those used in the present job: a WeakRef keeps what it gave out alive as long anyway, and asking it is slow. */
  readonly #held = new Map<number, ArrayBuffer>()

  constructor(native: NativeStore) {
    this.#native = native
    this.#dimensions = native.dimensions
  }

  /** The view of the memory of that id, or undefined. */
  view(id: string): MemoryView | undefined {
    const native = this.#native
    if (!native.locate(id)) return undefined
    const { numbers } = native
    if (numbers[HAS_EMBEDDING] !== 1) return new LazyMemoryView(native, id, null)
    const byteOffset = (numbers[SLOT] as number) * this.#dimensions * Float32Array.BYTES_PER_ELEMENT
    const byteLength = this.#dimensions * Float32Array.BYTES_PER_ELEMENT
    const column = this.#column(numbers[SEGMENT] as number, byteOffset + byteLength)
    return new LazyMemoryView(native, id, new Float32Array(column, byteOffset, this.#dimensions))
  }

  #column(segment: number, bytesNeeded: number): ArrayBuffer {
    const held = this.#held.get(segment)
    // Too short: the file has grown since, or the caller transferred the buffer away; the addon makes another.
    if (held !== undefined && held.byteLength >= bytesNeeded) return held
    let column = this.#columns.get(segment)?.deref()
    if (column === undefined || column.byteLength < bytesNeeded) {
      column = this.#native.segmentEmbeddings(segment)
      this.#columns.set(segment, new WeakRef(column))
    }
    if (this.#held.size === 0) queueMicrotask(() => this.#held.clear())
    this.#held.set(segment, column)
    return column
  }
}
