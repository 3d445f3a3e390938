// The writer of cold files: what `cold-format.ts` reads. A file is made whole in memory; compresses on other threads.

import { setImmediate } from 'node:timers/promises'
import { constants, crc32 } from 'node:zlib'
import type { Memory } from '../types'
import { encodeMetadata } from '../warm/metadata-encoder'
import { bufferOf } from './bytes'
import { coldCodecs, compress, compressDeflate } from './cold-codec'
import {
  type Block,
  directoryHeadBytes,
  headerBytes,
  listBytesMax,
  magic,
  numberColumns,
  textBlockBytes,
  textHeadBytes,
  version,
} from './cold-format'
import { coldEncodings, encodeRows } from './cold-rows'
import { WordEncoder } from './cold-words'
import type { ColdCodec, ColdEmbeddings } from './types'

const rowBlockBytes = 128 * 1024
/** A plane is stored as it is unless compressing gains this much: noise is not worth the time to undo it. */
const gainMin = 0.03
/** A list of words is kept in memory for as long as its file is read. */
const wordsGainMin = 0.05
const noiseStride = 3
const noiseBytesMin = 8192

export interface EncodeOptions {
  readonly dimensions: number
  readonly encoding: ColdEmbeddings
  readonly codec: ColdCodec
}

/** A block as it will be in the file, wherever that is. */
interface PackedBlock {
  readonly bytes: Buffer
  readonly rawBytes: number
  readonly first: number
}

/** Entries whose texts go together, and the bytes of these. */
interface TextGroup {
  readonly first: number
  readonly metadata: Buffer
  /** Where its contents begin, among the contents of the file, and where each of them ends. */
  readonly begin: number
  readonly ends: readonly number[]
}

/** A file in the making. */
class Encoder {
  readonly #options: EncodeOptions
  readonly #parts: Buffer[] = [Buffer.alloc(headerBytes)]
  #offset = headerBytes

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
  ): Promise<{ words: Block | undefined; textBlocks: Block[]; rowBlocks: Block[] }> {
    const [{ list, blocks }, ofRows] = await Promise.all([this.#packTexts(texts), this.#packRows(embeddings)])
    const append = ({ bytes, rawBytes, first }: PackedBlock): Block => this.append(bytes, rawBytes, first)
    return { words: list && append(list), textBlocks: blocks.map(append), rowBlocks: ofRows.map(append) }
  }

  async #packTexts(
    texts: readonly (readonly [Buffer, Buffer])[],
  ): Promise<{ list: PackedBlock | undefined; blocks: PackedBlock[] }> {
    const groups = groupTexts(texts)
    const contents = Buffer.concat(texts.map(([, content]) => content))
    const words = await this.#makeWords(groups, contents)
    const blocks: PackedBlock[] = []
    for (const [place, group] of groups.entries()) {
      const plain = contentsOf(group, contents)
      const coded = words === undefined ? plain : bufferOf(words.encoder.encode(place))
      const bytes = await this.#packText(group.metadata, coded, words !== undefined)
      blocks.push({ bytes, rawBytes: group.metadata.length + plain.length, first: group.first })
    }
    return { list: words?.list, blocks }
  }

  /** Undefined: contents are smaller as they are, going by the first block and its part of the list. */
  async #makeWords(
    groups: readonly TextGroup[],
    contents: Buffer,
  ): Promise<{ encoder: WordEncoder; list: PackedBlock } | undefined> {
    const { codec } = this.#options
    const [first] = groups
    if (first === undefined || contents.length === 0) return undefined
    const encoder = new WordEncoder(contents)
    for (const { begin, ends } of groups) {
      encoder.add(begin, ends)
      await setImmediate() // a whole file takes longer than others should wait
    }
    const list = encoder.list()
    if (list === undefined || list.length > listBytesMax) return undefined
    const packed = await compress(codec, list)
    const plain = contentsOf(first, contents)
    const share = packed.length * (plain.length / contents.length)
    const asWords = (await compress(codec, encoder.encode(0))).length + share
    const asText = (await compress(codec, plain)).length
    if (asWords > asText * (1 - wordsGainMin)) return undefined
    return { encoder, list: { bytes: packed, rawBytes: list.length, first: 0 } }
  }

  /** Metadata of all, then contents of all: like beside like compresses better. */
  async #packText(metadata: Buffer, contents: Buffer, isWords: boolean): Promise<Buffer> {
    const { codec } = this.#options
    const packedMetadata = await compress(codec, metadata)
    const packed = await compress(codec, contents)
    const head = Buffer.alloc(textHeadBytes)
    head.writeUInt8(isWords ? 1 : 0, 0)
    head.writeUInt32LE(metadata.length, 1)
    head.writeUInt32LE(packedMetadata.length, 5)
    head.writeUInt32LE(contents.length, 9)
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

/** Texts of about `textBlockBytes` each. */
function groupTexts(texts: readonly (readonly [Buffer, Buffer])[]): TextGroup[] {
  const groups: TextGroup[] = []
  let metadata: Buffer[] = []
  let ends: number[] = []
  let bytes = 0
  let begin = 0
  let end = 0
  for (const [ordinal, [own, content]] of texts.entries()) {
    metadata.push(own)
    end += content.length
    ends.push(end)
    bytes += own.length + content.length
    if (bytes < textBlockBytes && ordinal + 1 < texts.length) continue
    groups.push({ first: ordinal + 1 - ends.length, metadata: Buffer.concat(metadata), begin, ends })
    metadata = []
    ends = []
    bytes = 0
    begin = end
  }
  return groups
}

function contentsOf({ begin, ends }: TextGroup, contents: Buffer): Buffer {
  return contents.subarray(begin, ends[ends.length - 1])
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
  const { words, textBlocks, rowBlocks } = await encoder.blocks(texts, embeddings)
  const ids = memories.map(({ id }) => Buffer.from(id))
  const lists = words === undefined ? [] : [words]
  const counts = Buffer.alloc(directoryHeadBytes)
  counts.writeUInt32LE(lists.length, 0)
  counts.writeUInt32LE(textBlocks.length, 4)
  counts.writeUInt32LE(rowBlocks.length, 8)
  counts.writeUInt32LE(embeddings.length, 12)
  const blocks = [...lists, ...textBlocks, ...rowBlocks].flatMap(({ offset, length, rawBytes, crc, first }) => {
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
