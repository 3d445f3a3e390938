// One cold file, open: finds ids, reads memories, scans rows. What was decoded is kept in a cache that all files share.
//
// Not here: which entries count. That is written in the warm log (`catalogue.ts`); a file itself never changes.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import type { JsonObject, Memory } from '../types'
import { decodeMetadata } from '../warm/metadata-encoder'
import { bufferOf } from './bytes'
import { coldCorrupt } from './cold-damage'
import {
  type Block,
  type ColdShape,
  type Directory,
  decodeDirectory,
  decodeHeader,
  decodeRowBlock,
  decodeTextBlock,
  decodeWordList,
  headerBytes,
} from './cold-format'
import type { WordList } from './cold-words'
import type { Facts } from './filter-match'

interface CachedPart {
  readonly bytes: number
  readonly part: unknown
}

/** Decoded parts of cold files, by file and part. Says no more of the cache than is used: declarations are a consumer's too. */
export interface ColdCache {
  get(key: string): CachedPart | undefined
  set(key: string, value: CachedPart): unknown
  clear(): void
}

const entryBytes = 96 // of a directory, decoded, without its ids
const noOrdinal = 0xffffffff

/** FNV-1a over UTF-16 units, begun with a number of the file's own. */
function hashOf(id: string, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

/** Reads exactly so many bytes. */
function readAt(descriptor: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let done = 0
  while (done < length) {
    const count = readSync(descriptor, bytes, done, length - done, offset + done)
    if (count === 0) throw coldCorrupt('it ends early', offset + done)
    done += count
  }
  return bytes
}

export class ColdSegment {
  readonly number: number
  readonly bytes: number
  readonly shape: ColdShape & { directory: Block }
  readonly #descriptor: number
  readonly #cache: ColdCache
  /** Ordinals by hash of their ids; open addressing. Kept: a look-up for an id asks every file. */
  #table: Uint32Array | undefined

  /** Opens a file and checks its header. `crc`: of the header, by which the catalogue names the file. */
  constructor(number: number, path: string, crc: number, cache: ColdCache) {
    this.number = number
    this.#cache = cache
    this.#descriptor = openSync(path, 'r')
    try {
      this.bytes = fstatSync(this.#descriptor).size
      if (this.bytes < headerBytes) throw coldCorrupt('it ends early')
      const header = readAt(this.#descriptor, 0, headerBytes)
      this.shape = decodeHeader(header, this.bytes)
      if (crc32(header) !== crc) throw coldCorrupt('it is another file than the one that was listed')
    } catch (error) {
      closeSync(this.#descriptor)
      throw error
    }
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  /** Ordinal of an id, or -1. */
  find(id: string): number {
    this.#table ??= this.#makeTable()
    const table = this.#table
    const mask = table.length - 1
    for (let at = hashOf(id, this.number) & mask; ; at = (at + 1) & mask) {
      const ordinal = table[at] as number
      if (ordinal === noOrdinal) return -1
      if (this.idAt(ordinal) === id) return ordinal
    }
  }

  #makeTable(): Uint32Array {
    const { entries } = this.shape
    const directory = this.directory()
    // Never full, so that a probe ends.
    const table = new Uint32Array(2 ** Math.ceil(Math.log2(entries * 2 + 2))).fill(noOrdinal)
    const mask = table.length - 1
    for (let ordinal = 0; ordinal < entries; ordinal++) {
      let at = hashOf(this.idAt(ordinal, directory), this.number) & mask
      while (table[at] !== noOrdinal) at = (at + 1) & mask
      table[at] = ordinal
    }
    return table
  }

  idAt(ordinal: number, { ids, idEnd } = this.directory()): string {
    return bufferOf(ids).toString('utf8', ordinal === 0 ? 0 : idEnd[ordinal - 1], idEnd[ordinal])
  }

  sequenceAt(ordinal: number): number {
    return this.directory().sequence[ordinal] as number
  }

  factsAt(ordinal: number): Facts {
    const { createdAt, lastAccess, confidence } = this.directory()
    return {
      id: this.idAt(ordinal),
      createdAt: createdAt[ordinal] as number,
      lastAccess: lastAccess[ordinal] as number,
      confidence: confidence[ordinal] as number,
    }
  }

  /** The whole memory. */
  read(ordinal: number): Memory {
    const embedding = this.embeddingAt(ordinal)
    return { ...this.readTexts(ordinal), embedding }
  }

  /** The memory as if it had no embedding. */
  readTexts(ordinal: number): Memory {
    const directory = this.directory()
    const [metadata, content] = this.#texts(ordinal)
    return {
      id: this.idAt(ordinal),
      embedding: null,
      content,
      metadata,
      confidence: directory.confidence[ordinal] as number,
      createdAt: directory.createdAt[ordinal] as number,
      sequence: directory.sequence[ordinal] as number,
      activation: directory.activation[ordinal] as number,
      lastAccess: directory.lastAccess[ordinal] as number,
      recallCount: directory.recallCount[ordinal] as number,
    }
  }

  metadataAt(ordinal: number): JsonObject {
    return this.#texts(ordinal)[0]
  }

  #texts(ordinal: number): [JsonObject, string | null] {
    const { textBlocks, metadataBytes, contentBytes } = this.directory()
    const place = blockOf(textBlocks, ordinal)
    const block = textBlocks[place] as Block
    const texts = this.#textBlock(place)
    const next = textBlocks[place + 1]?.first ?? this.shape.entries
    let metadataAt = 0
    let contentAt = 0 // behind all metadata of the block
    for (let other = block.first; other < next; other++) {
      const length = metadataBytes[other] as number
      contentAt += length
      if (other >= ordinal) continue
      metadataAt += length
      contentAt += Math.max(0, contentBytes[other] as number)
    }
    const metadataEnd = metadataAt + (metadataBytes[ordinal] as number)
    const contentLength = contentBytes[ordinal] as number
    if (contentAt + Math.max(0, contentLength) > texts.length) throw coldCorrupt('its texts', block.offset)
    const content = contentLength < 0 ? null : texts.toString('utf8', contentAt, contentAt + contentLength)
    const metadata = texts.toString('utf8', metadataAt, metadataEnd)
    return [decodeMetadata(metadata === '' ? undefined : metadata), content]
  }

  /** A copy of an entry's embedding, or null. */
  embeddingAt(ordinal: number): Float32Array | null {
    const { row, rowBlocks } = this.directory()
    const wanted = row[ordinal] as number
    if (wanted < 0) return null
    const place = blockOf(rowBlocks, wanted)
    const { dimensions } = this.shape
    const at = (wanted - (rowBlocks[place] as Block).first) * dimensions
    const rows = this.rowBlock(place)
    if (at + dimensions > rows.length) throw coldCorrupt('its rows', (rowBlocks[place] as Block).offset)
    return rows.slice(at, at + dimensions)
  }

  directory(): Directory {
    return this.#cached('directory', () => {
      const directory = decodeDirectory(this.#block(this.shape.directory), this.shape)
      return [directory, this.shape.entries * entryBytes + directory.ids.length]
    })
  }

  #textBlock(place: number): Buffer {
    return this.#cached(`texts ${place}`, () => {
      const block = this.directory().textBlocks[place] as Block
      const texts = bufferOf(decodeTextBlock(this.#block(block), block, this.shape.codec, () => this.#words()))
      return [texts, texts.length]
    })
  }

  #words(): WordList | undefined {
    const block = this.directory().words
    if (block === undefined) return undefined
    return this.#cached('words', () => {
      const list = this.#readWords(block)
      return [list, list.bytes]
    })
  }

  #readWords(block: Block): WordList {
    return decodeWordList(this.#block(block), block, this.shape.codec)
  }

  /** Rows of a block, one after another. */
  rowBlock(place: number): Float32Array {
    return this.#cached(`rows ${place}`, () => {
      const block = this.directory().rowBlocks[place] as Block
      const rows = decodeRowBlock(this.#block(block), block, this.shape)
      return [rows, rows.byteLength]
    })
  }

  /** Reads every block, cached or not. Throws CORRUPT at the first that is damaged. */
  check(): void {
    const directory = decodeDirectory(this.#block(this.shape.directory), this.shape)
    const list = directory.words && this.#readWords(directory.words)
    for (const block of directory.textBlocks) {
      decodeTextBlock(this.#block(block), block, this.shape.codec, () => list)
    }
    for (const block of directory.rowBlocks) decodeRowBlock(this.#block(block), block, this.shape)
  }

  #block(block: Block): Buffer {
    const bytes = readAt(this.#descriptor, block.offset, block.length)
    if (crc32(bytes) !== block.crc) throw coldCorrupt('a checksum', block.offset)
    return bytes
  }

  #cached<Part>(name: string, make: () => [Part, number]): Part {
    const key = `${this.number} ${name}`
    const found = this.#cache.get(key)
    if (found !== undefined) return found.part as Part // one kind of part a name
    const [part, bytes] = make()
    this.#cache.set(key, { part, bytes: Math.max(1, bytes) })
    return part
  }
}

/** The block that holds an entry or a row: the last that begins at or before it. */
function blockOf(blocks: readonly Block[], wanted: number): number {
  let low = 0
  let high = blocks.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((blocks[middle] as Block).first <= wanted) low = middle
    else high = middle - 1
  }
  return low
}
