// Views: memories whose embedding is not copied and whose strings are decoded at first touch.
//
// Lifetime: the embedding is a window on a private mapping of the segment's file, which the buffer keeps; the strings
// are read later, from a segment that the view holds, rewritten or not. `close` detaches the buffer, after which every
// embedding has length 0. A record is immutable once committed, so a view goes on showing one moment.

import { addon, type NativeSegmentHold, type NativeStore, type ReadStrings } from '../native'
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

/** What the views of one segment share: while one of them lives, the segment stays mapped. */
interface ViewedSegment {
  readonly hold: NativeSegmentHold
  /** The embedding column; made at first need. */
  column?: ArrayBuffer
}

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
  readonly #segment: ViewedSegment
  readonly #logOffset: number
  #strings: ReadStrings | undefined = undefined
  #metadata: JsonObject | undefined = undefined

  /** Takes its numbers from those of the handle, as `locate` left them. */
  constructor(
    native: NativeStore,
    numbers: Float64Array,
    id: string,
    segment: ViewedSegment,
    embedding: Float32Array | null,
  ) {
    this.id = id
    this.embedding = embedding
    this.confidence = numbers[CONFIDENCE] as number
    this.createdAt = numbers[CREATED_AT] as number
    this.sequence = numbers[SEQUENCE] as number
    this.activation = numbers[ACTIVATION] as number
    this.lastAccess = numbers[LAST_ACCESS] as number
    this.recallCount = numbers[RECALL_COUNT] as number
    this.#native = native
    this.#segment = segment
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
    this.#native.stringsAt(this.#segment.hold, this.#logOffset, strings)
    this.#strings = strings
    return strings
  }
}

/** Makes the views of one handle. */
export class MemoryViewer {
  readonly #native: NativeStore
  readonly #numbers: Float64Array
  readonly #dimensions: number
  /** Weak: a segment that was rewritten must be let go when the last view on it is. */
  readonly #segments = new Map<number, WeakRef<ViewedSegment>>()
  /** Those used in the present job, by number: a WeakRef keeps what it gave out alive as long anyway, and is slow. */
  #used: (ViewedSegment | undefined)[] = []
  readonly #forgetUsed = (): void => {
    this.#used = []
  }

  constructor(native: NativeStore) {
    this.#native = native
    this.#numbers = native.numbers
    this.#dimensions = native.dimensions
  }

  /** The view of the memory of that id, or undefined. */
  view(id: string): MemoryView | undefined {
    const native = this.#native
    for (;;) {
      if (!native.locate(id)) return undefined
      const segment = this.#segment(this.#numbers[SEGMENT] as number)
      // Rewritten since: the index knows by now where the memory went.
      if (segment === undefined) continue
      return new LazyMemoryView(native, this.#numbers, id, segment, this.#embedding(segment))
    }
  }

  #segment(number: number): ViewedSegment | undefined {
    const used = this.#used[number]
    if (used !== undefined) return used
    const segment = this.#segments.get(number)?.deref() ?? this.#holdSegment(number)
    if (segment === undefined) return undefined
    if (this.#used.length === 0) queueMicrotask(this.#forgetUsed)
    this.#used[number] = segment
    return segment
  }

  #holdSegment(number: number): ViewedSegment | undefined {
    const hold = this.#native.holdSegment(number)
    if (hold === undefined) return undefined
    const segment = { hold }
    this.#segments.set(number, new WeakRef(segment))
    return segment
  }

  /** The embedding that the numbers name. */
  #embedding(segment: ViewedSegment): Float32Array | null {
    const numbers = this.#numbers
    if (numbers[HAS_EMBEDDING] !== 1) return null
    const byteLength = this.#dimensions * Float32Array.BYTES_PER_ELEMENT
    const byteOffset = (numbers[SLOT] as number) * byteLength
    // Too short: the file has grown since, or the caller transferred the buffer away; the addon makes another.
    if (segment.column === undefined || segment.column.byteLength < byteOffset + byteLength) {
      segment.column = this.#native.segmentEmbeddings(numbers[SEGMENT] as number)
    }
    return new Float32Array(segment.column, byteOffset, this.#dimensions)
  }
}
