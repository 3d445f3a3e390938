// Reading: what the addon fills in (numbers, strings, a slab of embeddings) made into plain Memory objects.
//
// Thread rule: one reader per handle, used by its thread alone; no code of the caller runs between the native call
// and the end of the decoding, so the shared arrays cannot be overwritten in between.

import { Failure, failure } from '../errors'
import { addon, type NativeCursor, type NativeStore, type ReadStrings, type ReadTexts } from '../native'
import type { JsonObject, JsonValue, Location, LogOffset, Memory, SegmentNumber, SlotNumber } from '../types'
import { decodeMetadata } from './metadata-encoder'
import { makeSlab } from './slab'

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
  logLength: LOG_LENGTH,
  slabOffset: SLAB_OFFSET,
  idLength: ID_LENGTH,
  contentLength: CONTENT_LENGTH,
  metadataShape: METADATA_SHAPE,
  metadataVersion: METADATA_VERSION,
  metadataValues: METADATA_VALUES,
} = addon.numberAt

/** Metadata of the same keys in the same order. */
interface MetadataShape {
  readonly version: number
  readonly keys: readonly string[]
  /** Has the keys and no values. */
  readonly template: JsonObject
}

function makeShape(version: number, metadata: JsonObject): MetadataShape {
  const keys = Object.keys(metadata)
  return { version, keys, template: Object.fromEntries(keys.map((key) => [key, null])) }
}

/** A value as NumberAt.metadataValues has it. */
function readValue(first: number, second: number, text: string, begin: number): JsonValue {
  if (first >= 0) return text.slice(begin + first, begin + second)
  if (first === -1) return second
  return first === -4 ? null : first === -2
}

export class MemoryReader {
  readonly native: NativeStore
  readonly numbers: Float64Array
  readonly #dimensions: number
  readonly #strings: ReadStrings = [null, undefined, '']
  readonly #shapes: (MetadataShape | undefined)[] = []
  #slab = new Float32Array(0)
  #slabBuffer = this.#slab.buffer
  #slabOffset = 0

  constructor(native: NativeStore) {
    this.native = native
    this.numbers = native.numbers
    this.#dimensions = native.dimensions
  }

  /** The memory of that id, or undefined. */
  get(id: string): Memory | undefined {
    this.#makeRoom()
    const texts = this.native.get(id, this.#strings)
    return texts === false ? undefined : this.#decode(texts, id)
  }

  /** The next memory of a cursor, or undefined at its end. */
  next(cursor: NativeCursor): Memory | undefined {
    this.#makeRoom()
    const texts = this.native.entriesNext(cursor, this.#strings)
    return texts === false ? undefined : this.#decode(texts, undefined)
  }

  /** The memory that the record at a place describes. CORRUPT when none begins there. */
  readAt(segment: number, logOffset: number): Memory {
    this.#makeRoom()
    const texts = this.native.readAt(segment, logOffset, this.#strings)
    // The core knows aligned places only: one inside the record's first bytes would lead it to the record.
    if (this.numbers[LOG_OFFSET] !== logOffset) {
      throw failure(Failure.CORRUPT, 'no record begins at that place', { segment, offset: logOffset })
    }
    return this.#decode(texts, undefined)
  }

  /** Where the memory of that id lies, or undefined. */
  locate(id: string): Location | undefined {
    if (!this.native.locate(id)) return undefined
    const { numbers } = this
    return {
      // The addon writes these four on success; it is what gives such numbers out.
      segment: numbers[SEGMENT] as SegmentNumber,
      slot: numbers[SLOT] as SlotNumber,
      logOffset: numbers[LOG_OFFSET] as LogOffset,
      logLength: numbers[LOG_LENGTH] as number,
    }
  }

  /**
   * Sees to it that the slab has room for one more embedding. A slab whose buffer the caller transferred away has
   * none.
   */
  #makeRoom(): void {
    if (this.#slabOffset + this.#dimensions > this.#slab.length) {
      this.#slab = makeSlab(this.#dimensions)
      this.#slabBuffer = this.#slab.buffer
      this.#slabOffset = 0
      this.native.setSlab(this.#slab)
    }
    this.numbers[SLAB_OFFSET] = this.#slabOffset
  }

  /** `id`: the one that was asked for; undefined when it was read. */
  #decode(texts: ReadTexts, id: string | undefined): Memory {
    const { numbers } = this
    if (texts === true) {
      const [content, metadata, idRead] = this.#strings
      // Not kept alive until the next read: contents may be large.
      this.#strings[0] = null
      return this.#make(id ?? idRead, content, metadata === undefined ? {} : this.#decodeMetadata(metadata, 0))
    }
    const idEnd = numbers[ID_LENGTH] as number
    const contentLength = numbers[CONTENT_LENGTH] as number
    const contentEnd = contentLength < 0 ? idEnd : idEnd + contentLength
    const content = contentLength < 0 ? null : texts.slice(idEnd, contentEnd)
    const metadata = contentEnd === texts.length ? {} : this.#decodeMetadata(texts, contentEnd)
    return this.#make(id ?? texts.slice(0, idEnd), content, metadata)
  }

  /** The metadata whose JSON is the rest of a text from `begin` on, as `numbers` describe it. */
  #decodeMetadata(text: string, begin: number): JsonObject {
    const { numbers } = this
    const number = numbers[METADATA_SHAPE] as number
    if (number === 0) return decodeMetadata(text.slice(begin))
    const shape = this.#shapes[number]
    const version = numbers[METADATA_VERSION] as number
    if (shape !== undefined && shape.version === version) return this.#fill(shape, text, begin)
    const metadata = decodeMetadata(text.slice(begin))
    this.#shapes[number] = makeShape(version, metadata)
    return metadata
  }

  #fill({ keys, template }: MetadataShape, text: string, begin: number): JsonObject {
    const { numbers } = this
    // A copy that has the keys already, so that no value meets a setter that somebody gave to Object.prototype.
    const metadata = { ...template }
    let at = METADATA_VALUES
    for (let index = 0; index < keys.length; index++) {
      metadata[keys[index] as string] = readValue(numbers[at] as number, numbers[at + 1] as number, text, begin)
      at += 2
    }
    return metadata
  }

  #make(id: string, content: string | null, metadata: JsonObject): Memory {
    const { numbers } = this
    return {
      id,
      embedding: numbers[HAS_EMBEDDING] === 1 ? this.#takeEmbedding() : null,
      content,
      metadata,
      confidence: numbers[CONFIDENCE] as number,
      createdAt: numbers[CREATED_AT] as number,
      sequence: numbers[SEQUENCE] as number,
      activation: numbers[ACTIVATION] as number,
      lastAccess: numbers[LAST_ACCESS] as number,
      recallCount: numbers[RECALL_COUNT] as number,
    }
  }

  /** The embedding just read. Its part of the slab is never written again. */
  #takeEmbedding(): Float32Array {
    const byteOffset = this.#slabOffset * Float32Array.BYTES_PER_ELEMENT
    this.#slabOffset += this.#dimensions
    return new Float32Array(this.#slabBuffer, byteOffset, this.#dimensions)
  }
}
