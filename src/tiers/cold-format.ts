// A cold file: every byte of it, as it is read; `cold-encoder.ts` writes it. docs/tiers.md has the table.
//
//   header | list of words | blocks of texts | blocks of rows | directory
//
// A file is made whole, synced, and never changed. Nothing read from one is trusted: each block has a checksum, the
// directory and the header too, and every length is held against what the file can have. Blocks are read one by one, so
// a read by id costs one block of texts and one of rows, and the first one of a file its list of words.

import { crc32 } from 'node:zlib'
import { Failure, failure } from '../errors'
import { bufferOf } from './bytes'
import { coldCodecs, decompress } from './cold-codec'
import { coldCorrupt } from './cold-damage'
import { coldEncodings, decodeRows, planeSizes } from './cold-rows'
import { WordList } from './cold-words'
import type { ColdCodec, ColdEmbeddings } from './types'

export const headerBytes = 64
export const entriesMax = 65_536
export const magic = 0x646c6f636c6d6874n // 'thmlcold' in the order of the bytes
export const version = 3
export const textBlockBytes = 128 * 1024
export const textHeadBytes = 13
const blockFields = 5
export const directoryHeadBytes = 16
/** More than the texts of one memory can be: content of 64 MiB, metadata of 16. */
const textBytesMax = 96 * 1024 * 1024
export const listBytesMax = 256 * 1024 * 1024

/** What a file holds, by the numbers in its header. */
export interface ColdShape {
  readonly dimensions: number
  readonly encoding: ColdEmbeddings
  readonly codec: ColdCodec
  readonly entries: number
}

/** A block: where it lies, and which entries or rows it holds from `first` on. */
export interface Block {
  readonly offset: number
  readonly length: number
  readonly rawBytes: number
  readonly crc: number
  readonly first: number
}

/** Everything about the entries but their texts and rows. Columns are parallel, by ordinal. */
export interface Directory {
  /** The list of words; undefined when texts are plain. */
  readonly words: Block | undefined
  readonly textBlocks: readonly Block[]
  readonly rowBlocks: readonly Block[]
  readonly rows: number
  readonly sequence: Float64Array
  readonly createdAt: Float64Array
  readonly confidence: Float64Array
  readonly activation: Float64Array
  readonly lastAccess: Float64Array
  readonly recallCount: Float64Array
  /** Row of the entry's embedding, -1: none. */
  readonly row: Int32Array
  /** Bytes; -1: no content. */
  readonly contentBytes: Int32Array
  readonly metadataBytes: Int32Array
  /** Ids one after another; the entry's ends at idEnd. */
  readonly ids: Uint8Array
  readonly idEnd: Uint32Array
}

export const numberColumns = ['sequence', 'createdAt', 'confidence', 'activation', 'lastAccess', 'recallCount'] as const

function decodeNumbers(planes: Buffer, count: number): Float64Array {
  const bytes = new Uint8Array(count * 8)
  for (let at = 0; at < bytes.length; at++) bytes[at] = planes[(at % 8) * count + Math.floor(at / 8)] as number
  return new Float64Array(bytes.buffer)
}

/** What a header says. CORRUPT: not a header of this version, or a damaged one. */
export function decodeHeader(bytes: Uint8Array, fileBytes: number): ColdShape & { directory: Block } {
  const header = bufferOf(bytes)
  if (header.length !== headerBytes || header.readBigUInt64LE(0) !== magic) throw coldCorrupt('not a cold file')
  if (crc32(header.subarray(0, 60)) !== header.readUInt32LE(60)) throw coldCorrupt('its header', 60)
  if (header.readUInt32LE(8) !== version) {
    throw failure(Failure.VERSION, 'a cold file was written by another version', { version: header.readUInt32LE(8) })
  }
  const encoding = coldEncodings[header.readUInt32LE(16)]
  const codec = coldCodecs[header.readUInt32LE(20)]
  const entries = header.readUInt32LE(24)
  const offset = header.readDoubleLE(32)
  const length = header.readDoubleLE(40)
  const rawBytes = header.readDoubleLE(48)
  if (encoding === undefined || codec === undefined || entries > entriesMax) throw coldCorrupt('its header', 16)
  if (!(offset >= headerBytes && length >= 0 && offset + length === fileBytes)) throw coldCorrupt('its size', 32)
  if (!(rawBytes >= 0 && rawBytes <= 1 << 30)) throw coldCorrupt('its header', 48)
  const dimensions = header.readUInt32LE(12)
  return {
    dimensions,
    encoding,
    codec,
    entries,
    directory: { offset, length, rawBytes, crc: header.readUInt32LE(28), first: 0 },
  }
}

/** Takes parts off the front of a directory. */
class DirectoryReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw coldCorrupt('its directory ends early', this.#at)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** A copy, aligned for typed arrays. */
  takeBuffer(length: number): ArrayBuffer {
    return Uint8Array.from(this.take(length)).buffer
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw coldCorrupt('its directory is too long', this.#at)
  }
}

/** Blocks follow one another in `[begin, end)` and begin with entries in ascending order. */
function checkBlocks(blocks: readonly Block[], firstMax: number, rawMax: number, begin: number, end: number): void {
  let offset = begin
  let first = -1
  for (const block of blocks) {
    const fits = block.offset === offset && block.length >= 0 && block.offset + block.length <= end
    const ordered = Number.isInteger(block.first) && block.first > first && block.first < firstMax
    if (!fits || !ordered || !(block.rawBytes >= 0 && block.rawBytes <= rawMax)) throw coldCorrupt('its blocks', offset)
    offset += block.length
    first = block.first
  }
  if ((blocks[0]?.first ?? 0) !== 0) throw coldCorrupt('its blocks', begin)
}

/** The directory. `packed`: its bytes in the file, whose checksum held. */
export function decodeDirectory(packed: Uint8Array, shape: ColdShape & { directory: Block }): Directory {
  const { entries, codec, directory } = shape
  const reader = new DirectoryReader(decompress(codec, packed, directory.rawBytes, directory.offset))
  const counts = reader.take(directoryHeadBytes)
  const [listCount, textCount] = [counts.readUInt32LE(0), counts.readUInt32LE(4)]
  const [rowCount, rows] = [counts.readUInt32LE(8), counts.readUInt32LE(12)]
  const isSound = listCount <= 1 && textCount <= entries && rowCount <= entries && rows <= entries
  if (!isSound) throw coldCorrupt('its directory')
  const fields = new Float64Array(reader.takeBuffer((listCount + textCount + rowCount) * blockFields * 8))
  const blocks: Block[] = []
  for (let at = 0; at < fields.length; at += blockFields) {
    const [offset, length, rawBytes, crc, first] = fields.subarray(at, at + blockFields) as unknown as number[]
    blocks.push({ offset, length, rawBytes, crc, first } as Block)
  }
  const lists = blocks.slice(0, listCount)
  const textBlocks = blocks.slice(listCount, listCount + textCount)
  const rowBlocks = blocks.slice(listCount + textCount)
  const listEnd = headerBytes + (lists[0]?.length ?? 0)
  const textEnd = textBlocks.reduce((end, { length }) => end + length, listEnd)
  checkBlocks(lists, 1, listBytesMax, headerBytes, directory.offset)
  checkBlocks(textBlocks, entries, textBytesMax + textBlockBytes, listEnd, directory.offset)
  checkBlocks(rowBlocks, rows, entriesMax, textEnd, directory.offset)
  const columns = numberColumns.map((column) => [column, decodeNumbers(reader.take(entries * 8), entries)])
  const hasRow = reader.take(entries)
  const row = new Int32Array(entries).fill(-1)
  let nextRow = 0
  for (let at = 0; at < entries; at++) if (hasRow[at] !== 0) row[at] = nextRow++
  if (nextRow !== rows) throw coldCorrupt('its rows')
  const contentBytes = new Int32Array(reader.takeBuffer(entries * 4))
  const metadataBytes = new Int32Array(reader.takeBuffer(entries * 4))
  const idEnd = Uint32Array.from(new Uint16Array(reader.takeBuffer(entries * 2)))
  for (let at = 1; at < entries; at++) idEnd[at] = (idEnd[at] as number) + (idEnd[at - 1] as number)
  const ids = Buffer.from(reader.take(entries === 0 ? 0 : (idEnd[entries - 1] as number)))
  reader.end()
  if (contentBytes.some((bytes) => bytes < -1) || metadataBytes.some((bytes) => bytes < 0))
    throw coldCorrupt('its texts')
  return {
    words: lists[0],
    textBlocks,
    rowBlocks,
    rows,
    ...(Object.fromEntries(columns) as Record<(typeof numberColumns)[number], Float64Array>),
    row,
    contentBytes,
    metadataBytes,
    ids,
    idEnd,
  }
}

/** The list of words, of which `packed` is the bytes in the file. */
export function decodeWordList(packed: Uint8Array, { rawBytes, offset }: Block, codec: ColdCodec): WordList {
  return new WordList(decompress(codec, packed, rawBytes, offset), offset)
}

/** The texts of a block, of which `packed` is the bytes in the file. `words`: gives the list of the file, if it has one. */
export function decodeTextBlock(
  packed: Uint8Array,
  block: Block,
  codec: ColdCodec,
  words: () => WordList | undefined,
): Uint8Array {
  const head = bufferOf(packed)
  const { offset, rawBytes } = block
  if (head.length < textHeadBytes) throw coldCorrupt('its texts', offset)
  const [metadataBytes, contentsAt] = [head.readUInt32LE(1), textHeadBytes + head.readUInt32LE(5)]
  const contentBytes = rawBytes - metadataBytes
  const codedBytes = head.readUInt32LE(9)
  // A number has four bytes at most, and there are at most two for a byte of text.
  if (contentBytes < 0 || contentsAt > head.length || codedBytes > 8 * contentBytes + textHeadBytes) {
    throw coldCorrupt('its texts', offset)
  }
  const metadata = decompress(codec, head.subarray(textHeadBytes, contentsAt), metadataBytes, offset)
  const coded = decompress(codec, head.subarray(contentsAt), codedBytes, offset)
  if (head[0] !== 1 && codedBytes !== contentBytes) throw coldCorrupt('its texts', offset)
  const list = head[0] === 1 ? words() : undefined
  if (head[0] === 1 && list === undefined) throw coldCorrupt('its words', offset)
  const contents = list === undefined ? coded : list.decode(coded, contentBytes, offset)
  return Buffer.concat([metadata, contents], rawBytes)
}

/** The rows of a block. */
export function decodeRowBlock(packed: Uint8Array, block: Block, { encoding, dimensions }: ColdShape): Float32Array {
  const header = bufferOf(packed)
  const planes: Uint8Array[] = []
  let at = 0
  for (const size of planeSizes(encoding, block.rawBytes, dimensions)) {
    if (at + 5 > packed.length) throw coldCorrupt('a block of rows ends early', block.offset + at)
    const length = header.readUInt32LE(at + 1)
    const bytes = packed.subarray(at + 5, at + 5 + length)
    if (bytes.length !== length) throw coldCorrupt('a block of rows ends early', block.offset + at)
    const plane = packed[at] === 1 ? decompress('deflate', bytes, size, block.offset + at) : bytes
    if (plane.length !== size) throw coldCorrupt('a plane of another size', block.offset + at)
    planes.push(plane)
    at += 5 + length
  }
  if (at !== packed.length) throw coldCorrupt('a block of rows is too long', block.offset + at)
  return decodeRows(encoding, planes, dimensions)
}
