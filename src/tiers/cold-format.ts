// A cold file: every byte of it, written and read. docs/tiers.md has the table.
//
//   header | blocks of texts | blocks of rows | directory
//
// A file is made whole, synced, and never changed. Nothing read from one is trusted: each block has a checksum, the
// directory and the header too, and every length is held against what the file can have. Blocks are read one by one, so
// a read by id costs one block of texts and one of rows.

import { promisify } from 'node:util'
import { brotliCompress, brotliDecompressSync, constants, crc32, deflateRaw, inflateRawSync } from 'node:zlib'
import { Failure, failure } from '../errors'
import type { Memory } from '../types'
import { encodeMetadata } from '../warm/metadata-encoder'
import { bufferOf } from './bytes'
import { coldCorrupt } from './cold-damage'
import { coldEncodings, decodeRows, encodeRows, planeSizes } from './cold-rows'
import { decodeWords, encodeWords } from './cold-words'
import type { ColdCodec, ColdEmbeddings } from './types'

const compressBrotli = promisify(brotliCompress)
const compressDeflate = promisify(deflateRaw)

export const coldCodecs: readonly ColdCodec[] = ['brotli', 'deflate']
export const headerBytes = 64
export const entriesMax = 65_536
const magic = 0x646c6f636c6d6874n // 'thmlcold' in the order of the bytes
const version = 2
const textBlockBytes = 128 * 1024
const rowBlockBytes = 128 * 1024
const brotliQuality = 5
/** A plane is stored as it is unless compressing gains this much: noise is not worth the time to undo it. */
const gainMin = 0.03
/** Words take longer to undo than plain text. */
const wordsGainMin = 0.05
const textHeadBytes = 13
const noiseStride = 3
const noiseBytesMin = 8192
const blockFields = 5
/** More than the texts of one memory can be: content of 64 MiB, metadata of 16. */
const textBytesMax = 96 * 1024 * 1024

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

export interface EncodeOptions {
  readonly dimensions: number
  readonly encoding: ColdEmbeddings
  readonly codec: ColdCodec
}

const numberColumns = ['sequence', 'createdAt', 'confidence', 'activation', 'lastAccess', 'recallCount'] as const

function compress(codec: ColdCodec, bytes: Uint8Array): Promise<Buffer> {
  if (codec === 'deflate') return compressDeflate(bytes)
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: brotliQuality,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  }
  return compressBrotli(bytes, { params })
}

/** Undoes `compress`. CORRUPT unless exactly `rawBytes` come out. */
function decompress(codec: ColdCodec, bytes: Uint8Array, rawBytes: number, offset: number): Buffer {
  let raw: Buffer
  try {
    const options = { maxOutputLength: Math.max(1, rawBytes) }
    raw = codec === 'deflate' ? inflateRawSync(bytes, options) : brotliDecompressSync(bytes, options)
  } catch (error) {
    throw coldCorrupt(String((error as Error).message), offset)
  }
  if (raw.length !== rawBytes) throw coldCorrupt('a block of another size than the directory says', offset)
  return raw
}

/** A block as it will be in the file, wherever that is. */
interface PackedBlock {
  readonly bytes: Buffer
  readonly rawBytes: number
  readonly first: number
}

/** A file in the making. */
class Encoder {
  readonly #options: EncodeOptions
  readonly #parts: Buffer[] = [Buffer.alloc(headerBytes)]
  #offset = headerBytes
  /** Whether contents as words were smaller. */
  #paysWords: boolean | undefined

  constructor(options: EncodeOptions) {
    this.#options = options
  }

  append(bytes: Buffer, rawBytes: number, first: number): Block {
    const block = { offset: this.#offset, length: bytes.length, rawBytes, crc: crc32(bytes), first }
    this.#parts.push(bytes)
    this.#offset += bytes.length
    return block
  }

  /** Texts and rows at the same time, because each waits for a thread that compresses. */
  async blocks(
    texts: readonly (readonly [Buffer, Buffer])[],
    embeddings: readonly Float32Array[],
  ): Promise<{ textBlocks: Block[]; rowBlocks: Block[] }> {
    const [ofTexts, ofRows] = await Promise.all([this.#packTexts(texts), this.#packRows(embeddings)])
    const append = ({ bytes, rawBytes, first }: PackedBlock): Block => this.append(bytes, rawBytes, first)
    return { textBlocks: ofTexts.map(append), rowBlocks: ofRows.map(append) }
  }

  async #packTexts(texts: readonly (readonly [Buffer, Buffer])[]): Promise<PackedBlock[]> {
    const blocks: PackedBlock[] = []
    let bytes = 0
    let first = 0
    for (const [ordinal, [metadata, content]] of texts.entries()) {
      bytes += metadata.length + content.length
      if (bytes < textBlockBytes && ordinal + 1 < texts.length) continue
      blocks.push({ bytes: await this.#packText(texts.slice(first, ordinal + 1)), rawBytes: bytes, first })
      bytes = 0
      first = ordinal + 1
    }
    return blocks
  }

  /** Metadata of all, then contents of all: like beside like compresses better. */
  async #packText(texts: readonly (readonly [Buffer, Buffer])[]): Promise<Buffer> {
    const { codec } = this.#options
    const metadata = Buffer.concat(texts.map(([one]) => one))
    const contents = Buffer.concat(texts.map(([, one]) => one))
    const packedMetadata = await compress(codec, metadata)
    const words = this.#paysWords === false ? undefined : encodeWords(contents)
    let packed = words === undefined ? undefined : await compress(codec, words)
    let isWords = packed !== undefined
    // The first block says what the others are tried with.
    if (packed === undefined || this.#paysWords === undefined) {
      const plain = await compress(codec, contents)
      isWords = packed !== undefined && packed.length < plain.length * (1 - wordsGainMin)
      if (!isWords || packed === undefined) packed = plain
      this.#paysWords ??= isWords
    }
    const head = Buffer.alloc(textHeadBytes)
    head.writeUInt8(isWords ? 1 : 0, 0)
    head.writeUInt32LE(metadata.length, 1)
    head.writeUInt32LE(packedMetadata.length, 5)
    head.writeUInt32LE(isWords && words !== undefined ? words.length : contents.length, 9)
    return Buffer.concat([head, packedMetadata, packed])
  }

  async #packRows(embeddings: readonly Float32Array[]): Promise<PackedBlock[]> {
    const { dimensions, encoding } = this.#options
    const perBlock = Math.max(1, Math.floor(rowBlockBytes / (dimensions * Float32Array.BYTES_PER_ELEMENT)))
    const blocks: PackedBlock[] = []
    for (let first = 0; first < embeddings.length; first += perBlock) {
      const chosen = embeddings.slice(first, first + perBlock)
      const rows = new Float32Array(chosen.length * dimensions)
      for (const [at, embedding] of chosen.entries()) rows.set(embedding, at * dimensions)
      const parts: Buffer[] = []
      for (const plane of encodeRows(encoding, rows, dimensions)) parts.push(await encodePlane(plane))
      blocks.push({ bytes: Buffer.concat(parts), rawBytes: chosen.length, first })
    }
    return blocks
  }

  /** The whole file. */
  async finish(directory: Buffer, entries: number): Promise<Buffer> {
    const { dimensions, encoding, codec } = this.#options
    const packed = await compress(codec, directory)
    const { offset, length, crc } = this.append(packed, directory.length, 0)
    const file = Buffer.concat(this.#parts)
    file.writeBigUInt64LE(magic, 0)
    file.writeUInt32LE(version, 8)
    file.writeUInt32LE(dimensions, 12)
    file.writeUInt32LE(coldEncodings.indexOf(encoding), 16)
    file.writeUInt32LE(coldCodecs.indexOf(codec), 20)
    file.writeUInt32LE(entries, 24)
    file.writeUInt32LE(crc, 28)
    file.writeDoubleLE(offset, 32)
    file.writeDoubleLE(length, 40)
    file.writeDoubleLE(directory.length, 48)
    file.writeUInt32LE(crc32(file.subarray(0, 60)), 60)
    return file
  }
}

/** Whether codes by the frequency of each byte gain too little, from some of the bytes: to count is faster than to try. */
function isNoise(plane: Uint8Array): boolean {
  const counts = new Uint32Array(256)
  let looked = 0
  for (let at = 0; at < plane.length; at += noiseStride, looked++) {
    const byte = plane[at] as number
    counts[byte] = (counts[byte] as number) + 1
  }
  let bits = 0
  for (const count of counts) if (count > 0) bits += count * Math.log2(looked / count)
  // So few bytes cannot show 256 of them as often as they come.
  return looked >= noiseBytesMin && bits >= 8 * looked * (1 - gainMin)
}

/** A plane with its length and how it is stored in front. */
async function encodePlane(plane: Uint8Array): Promise<Buffer> {
  const packed = isNoise(plane) ? plane : await compressDeflate(plane, { strategy: constants.Z_HUFFMAN_ONLY })
  const isPacked = packed.length < plane.length * (1 - gainMin)
  const bytes = isPacked ? packed : plane
  const head = Buffer.alloc(5)
  head.writeUInt8(isPacked ? 1 : 0, 0)
  head.writeUInt32LE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** Numbers as planes of bytes, which lets neighbours that differ little compress. */
function encodeNumbers(values: readonly number[]): Buffer {
  const bytes = new Uint8Array(Float64Array.from(values).buffer)
  const planes = Buffer.alloc(bytes.length)
  for (let at = 0; at < bytes.length; at++) planes[(at % 8) * values.length + Math.floor(at / 8)] = bytes[at] as number
  return planes
}

function decodeNumbers(planes: Buffer, count: number): Float64Array {
  const bytes = new Uint8Array(count * 8)
  for (let at = 0; at < bytes.length; at++) bytes[at] = planes[(at % 8) * count + Math.floor(at / 8)] as number
  return new Float64Array(bytes.buffer)
}

/**
 * A file of these memories, which are in ascending order of sequence. `metadata`: of each, as JSON. Compresses on other
 * threads, a block at a time.
 */
export async function encodeColdFile(memories: readonly Memory[], options: EncodeOptions): Promise<Uint8Array> {
  const encoder = new Encoder(options)
  const texts = memories.map(({ metadata, content }): [Buffer, Buffer] => {
    const text = encodeMetadata(metadata)
    return [Buffer.from(text === '{}' ? '' : text), content === null ? Buffer.alloc(0) : Buffer.from(content)]
  })
  const embeddings = memories.flatMap(({ embedding }) => (embedding === null ? [] : [embedding]))
  const { textBlocks, rowBlocks } = await encoder.blocks(texts, embeddings)
  const ids = memories.map(({ id }) => Buffer.from(id))
  const counts = Buffer.alloc(12)
  counts.writeUInt32LE(textBlocks.length, 0)
  counts.writeUInt32LE(rowBlocks.length, 4)
  counts.writeUInt32LE(embeddings.length, 8)
  const blocks = [...textBlocks, ...rowBlocks].flatMap(({ offset, length, rawBytes, crc, first }) => {
    return [offset, length, rawBytes, crc, first]
  })
  const directory = Buffer.concat([
    counts,
    Buffer.from(Float64Array.from(blocks).buffer),
    ...numberColumns.map((column) => encodeNumbers(memories.map((memory) => memory[column]))),
    Buffer.from(Uint8Array.from(memories, ({ embedding }) => (embedding === null ? 0 : 1))),
    Buffer.from(Int32Array.from(memories, ({ content }, at) => contentLength(content, texts[at])).buffer),
    Buffer.from(Int32Array.from(texts, ([metadata]) => metadata.length).buffer),
    Buffer.from(Uint16Array.from(ids, ({ length }) => length).buffer),
    ...ids,
  ])
  return await encoder.finish(directory, memories.length)
}

function contentLength(content: string | null, text: readonly [Buffer, Buffer] | undefined): number {
  return content === null || text === undefined ? -1 : text[1].length
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
  const counts = reader.take(12)
  const [textCount, rowCount, rows] = [counts.readUInt32LE(0), counts.readUInt32LE(4), counts.readUInt32LE(8)]
  if (textCount > entries || rowCount > entries || rows > entries) throw coldCorrupt('its directory')
  const fields = new Float64Array(reader.takeBuffer((textCount + rowCount) * blockFields * 8))
  const blocks: Block[] = []
  for (let at = 0; at < fields.length; at += blockFields) {
    const [offset, length, rawBytes, crc, first] = fields.subarray(at, at + blockFields) as unknown as number[]
    blocks.push({ offset, length, rawBytes, crc, first } as Block)
  }
  const textBlocks = blocks.slice(0, textCount)
  const rowBlocks = blocks.slice(textCount)
  const textEnd = textBlocks.reduce((end, { length }) => end + length, headerBytes)
  checkBlocks(textBlocks, entries, textBytesMax + textBlockBytes, headerBytes, directory.offset)
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

/** The texts of a block, of which `packed` is the bytes in the file. */
export function decodeTextBlock(packed: Uint8Array, block: Block, codec: ColdCodec): Uint8Array {
  const head = bufferOf(packed)
  const { offset, rawBytes } = block
  if (head.length < textHeadBytes) throw coldCorrupt('its texts', offset)
  const [metadataBytes, contentsAt] = [head.readUInt32LE(1), textHeadBytes + head.readUInt32LE(5)]
  const contentBytes = rawBytes - metadataBytes
  const codedBytes = head.readUInt32LE(9)
  // A list of words and their numbers take less than five bytes for one of text.
  if (contentBytes < 0 || contentsAt > head.length || codedBytes > 5 * contentBytes + textHeadBytes) {
    throw coldCorrupt('its texts', offset)
  }
  const metadata = decompress(codec, head.subarray(textHeadBytes, contentsAt), metadataBytes, offset)
  const coded = decompress(codec, head.subarray(contentsAt), codedBytes, offset)
  if (head[0] !== 1 && codedBytes !== contentBytes) throw coldCorrupt('its texts', offset)
  const contents = head[0] === 1 ? decodeWords(coded, contentBytes, offset) : coded
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
