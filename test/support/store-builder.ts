// Writes store directories byte by byte as docs/format.md says, so that tests can make what a killed writer or a later
// version would leave. Not here: any check; what it is told to write it writes.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32c } from './format-reader.js'

export interface BuiltRecord {
  kind?: 'put' | 'update' | 'delete'
  id: string
  content?: string
  metadata?: string
  /** Slot of its embedding; every record but a deletion has one. */
  slot?: number
  embedding?: readonly number[]
  tlv?: Buffer
}
export interface BuiltImage {
  segment: number
  slot: number
  embedding: readonly number[]
}
export interface BuiltFrame {
  position: bigint
  headerCrc: number
}

const frameKinds = { records: 1, image: 2, epoch: 3 }
const recordKinds = { put: 1, update: 2, delete: 3 }
const storeId = Buffer.from(Array.from({ length: 16 }, (_, index) => index))
const salt = Buffer.from(Array.from({ length: 16 }, (_, index) => 16 + index))
const slots = 64
const logCapacity = 1 << 20
const align8 = (size: number): number => Math.ceil(size / 8) * 8
const pad8 = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(align8(bytes.length) - bytes.length)])
const word = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes
}
const floats = (values: readonly number[]): Buffer => Buffer.from(Float32Array.from(values).buffer)

export class SegmentBuilder {
  readonly number: number
  readonly #dimensions: number
  log: Buffer
  blocks: Buffer
  logEnd = 0

  constructor(number: number, dimensions: number) {
    this.number = number
    this.#dimensions = dimensions
    const log = Buffer.alloc(4096)
    log.write('TCLNLOG1')
    log.writeUInt32LE(1, 12)
    storeId.copy(log, 16)
    log.writeUInt32LE(number, 32)
    log.writeBigUInt64LE(BigInt(logCapacity), 40)
    log.writeUInt32LE(crc32c(0, log.subarray(16, 64)), 8)
    this.log = log

    const blocks = Buffer.alloc(65536 + 4 * dimensions * slots)
    blocks.write('TCLNBLK1')
    blocks.writeUInt32LE(1, 12)
    storeId.copy(blocks, 16)
    for (const [index, value] of [number, slots, dimensions, 0].entries()) blocks.writeUInt32LE(value, 32 + 4 * index)
    const columns = [0, 8, 16, 24, 32, 40].map((perSlot) => 4096 + perSlot * slots)
    const fileBytes = Math.ceil(blocks.length / 65536) * 65536
    const words = [...columns, 0, 0, 0, 65536, 4 * dimensions, fileBytes]
    for (const [index, value] of words.entries()) blocks.writeBigUInt64LE(BigInt(value), 48 + 8 * index)
    blocks.writeUInt32LE(crc32c(0, blocks.subarray(16, 192)), 8)
    this.blocks = blocks
  }

  /** Appends a frame that names `previous` as the one before it. */
  frame(
    previous: BuiltFrame | null,
    first: number,
    records: BuiltRecord[],
    more: { images?: BuiltImage[]; memories?: number } = {},
  ): BuiltFrame {
    const sealed: Buffer[] = []
    let at = this.log.length + 128
    for (const [index, record] of records.entries()) {
      const bytes = this.#record(record, first + index)
      bytes.writeUInt32LE(crc32c(this.#frameSeed(at), bytes), 60)
      sealed.push(bytes)
      at += bytes.length
    }
    const recordBytes = Buffer.concat(sealed)
    const images = more.images ?? []
    const body = Buffer.concat([recordBytes, ...images.map((image) => this.#image(image))])
    const position = this.#positionOf(this.log.length)
    const kind = records.length > 0 ? frameKinds.records : images.length > 0 ? frameKinds.image : frameKinds.epoch
    const header = Buffer.alloc(128)
    header.write('TFRM')
    header.writeUInt16LE(kind, 12)
    header.writeBigUInt64LE(BigInt(body.length), 16)
    header.writeBigUInt64LE(BigInt(first), 24)
    header.writeUInt32LE(records.length, 32)
    header.writeUInt32LE(images.length, 36)
    header.writeBigUInt64LE(BigInt(recordBytes.length), 40)
    header.writeBigUInt64LE(1n, 48)
    header.writeBigUInt64LE(BigInt(more.memories ?? 0), 80)
    header.writeBigUInt64LE(previous?.position ?? 0n, 88)
    header.writeUInt32LE(previous?.headerCrc ?? 0, 96)
    const seed = this.#frameSeed(this.log.length)
    header.writeUInt32LE(crc32c(seed, body), 8)
    header.writeUInt32LE(crc32c(seed, header.subarray(8)), 4)
    this.log = Buffer.concat([this.log, header, body])
    return { position, headerCrc: header.readUInt32LE(4) }
  }

  #positionOf(offset: number): bigint {
    return (BigInt(this.number) << 32n) | BigInt(offset / 8)
  }

  #frameSeed(offset: number): number {
    return crc32c(crc32c(0, salt), word(this.#positionOf(offset)))
  }

  #embeddingCrc(segment: number, slot: number, embedding: Buffer): number {
    return crc32c(crc32c(crc32c(1, salt), word((BigInt(segment) << 32n) | BigInt(slot))), embedding)
  }

  #record(record: BuiltRecord, sequence: number): Buffer {
    const id = Buffer.from(record.id)
    const content = Buffer.from(record.content ?? '')
    const metadata = Buffer.from(record.metadata ?? '')
    const tlv = record.tlv ?? Buffer.alloc(0)
    const parts = pad8(Buffer.concat([Buffer.alloc(64), id, content, metadata]))
    const kind = record.kind ?? 'put'
    const slot = kind === 'delete' ? 0xffffffff : (record.slot ?? 0)
    parts.writeUInt32LE(parts.length + tlv.length, 0)
    parts.writeUInt8(recordKinds[kind], 4)
    parts.writeUInt8((record.embedding ? 1 : 0) | (record.content === undefined ? 0 : 2), 5)
    parts.writeUInt16LE(id.length, 6)
    parts.writeBigUInt64LE(BigInt(sequence), 8)
    parts.writeUInt32LE(slot, 24)
    if (record.embedding) {
      const embedding = floats(record.embedding)
      parts.writeUInt32LE(this.#embeddingCrc(this.number, slot, embedding), 28)
      embedding.copy(this.blocks, 65536 + 4 * this.#dimensions * slot)
    }
    parts.writeDoubleLE(1, 40)
    parts.writeUInt32LE(content.length, 48)
    parts.writeUInt32LE(metadata.length, 52)
    parts.writeUInt32LE(tlv.length, 56)
    return Buffer.concat([parts, tlv])
  }

  #image(image: BuiltImage): Buffer {
    const embedding = floats(image.embedding)
    const header = Buffer.alloc(64)
    header.writeUInt32LE(image.segment, 0)
    header.writeUInt32LE(image.slot, 4)
    header.writeUInt32LE(1, 8)
    header.writeUInt32LE(embedding.length, 60)
    return pad8(Buffer.concat([header, embedding]))
  }
}

/** `meta` for the segments in this order, and the files of each. */
export function writeStore(
  directory: string,
  dimensions: number,
  segments: SegmentBuilder[],
  more: {
    replaced?: { first: number; last: number; by: number }[]
    nextSegment?: number
    tlv?: Buffer
    watermark?: bigint
  } = {},
): void {
  const replaced = more.replaced ?? []
  const header = Buffer.alloc(192)
  header.write('TCLNMETA')
  header.writeUInt32LE(1, 16)
  header.writeUInt32LE(192, 20)
  storeId.copy(header, 48)
  salt.copy(header, 64)
  header.writeUInt32LE(dimensions, 80)
  header.writeBigUInt64LE(1n, 88)
  header.writeBigUInt64LE(1n, 96)
  header.writeBigUInt64LE(more.watermark ?? 0n, 104)
  header.writeUInt32LE(more.nextSegment ?? 100, 144)
  const tlv = more.tlv ?? Buffer.alloc(0)
  for (const [index, value] of [segments.length, replaced.length, tlv.length].entries())
    header.writeUInt32LE(value, 148 + 4 * index)
  const entries = segments.map(({ number, logEnd }) => {
    const entry = Buffer.alloc(48)
    entry.writeUInt32LE(number, 0)
    entry.writeUInt32LE(slots, 4)
    entry.writeBigUInt64LE(BigInt(logCapacity), 8)
    entry.writeBigUInt64LE(BigInt(logEnd), 16)
    return entry
  })
  const replacedEntries = replaced.map(({ first, last, by }) => {
    const entry = Buffer.alloc(16)
    for (const [index, value] of [first, last, by].entries()) entry.writeUInt32LE(value, 4 * index)
    return entry
  })
  const meta = Buffer.concat([header, ...entries, ...replacedEntries, tlv])
  meta.writeUInt32LE(meta.length, 12)
  meta.writeUInt32LE(crc32c(0, meta.subarray(12)), 8)
  writeFileSync(join(directory, 'meta'), meta)
  for (const segment of segments) {
    writeFileSync(join(directory, `${segment.number}.log`), segment.log)
    writeFileSync(join(directory, `${segment.number}.blocks`), segment.blocks)
  }
}
