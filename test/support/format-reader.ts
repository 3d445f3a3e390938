// The second reader of a store directory, written from docs/format.md alone. It shares nothing with the addon and maps
// the files with mmap-io, so that what it finds proves the bytes and the document, not the code.
//
// All in one file, so that it can be read beside the document from top to bottom.
// Not here: speed, and use by anything but tests. It reads `meta` and the listed logs and blocks, never `cache` or `lock`.
// Thread rule: a store may be written meanwhile; the answer is then a prefix of its history.

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

interface MemoryMap {
  map(size: number, protection: number, flags: number, fd: number): Buffer
  readonly PROT_READ: number
  readonly MAP_SHARED: number
}
const memoryMap = createRequire(import.meta.url)('mmap-io') as MemoryMap

export interface ReadSegment {
  number: number
  slots: number
  logCapacity: number
  logEnd: number
}
export interface ReadMeta {
  storeId: bigint
  dimensions: number
  metric: 'cosine' | 'dot' | 'l2'
  epoch: number
  listGeneration: number
  watermark: bigint
  watermarkSequence: number
  checkpoint: bigint
  changesFloor: number
  createdAt: number
  nextSegment: number
  segments: ReadSegment[]
  replaced: { first: number; last: number; by: number }[]
}
export interface ReadMemory {
  id: string
  embedding: Float32Array | null
  content: string | null
  metadata: Record<string, unknown>
  confidence: number
  createdAt: number
  sequence: number
  activation: number
  lastAccess: number
  recallCount: number
  segment: number
  slot: number
  logOffset: number
  logLength: number
}
export interface ReadChange {
  sequence: number
  kind: 'put' | 'update' | 'delete'
  id: string
}
export interface ReadProblem {
  file: string
  offset: number
  what: string
  id?: string
}
export interface ReadFrame {
  segment: number
  offset: number
  kind: number
}
export interface ReadStore {
  meta: ReadMeta
  memories: Map<string, ReadMemory>
  changes: ReadChange[]
  problems: ReadProblem[]
  /** The frames that count, in commit order, and how many were orphans. */
  frames: ReadFrame[]
  orphans: number
}

/** Section 6. Throws when `meta` is refused; everything else that is wrong is a problem in the answer. */
export function readStore(directory: string): ReadStore {
  return new StoreReader(directory).read()
}

// Section 1 ----------------------------------------------------------------------------------------------------------

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ ((value & 1) === 1 ? 0x82f63b78 : 0)
  return value
})

export function crc32c(seed: number, bytes: Uint8Array): number {
  let value = (seed ^ 0xffffffff) >>> 0
  for (const byte of bytes) value = (value >>> 8) ^ (crcTable[(value ^ byte) & 0xff] ?? 0)
  return (value ^ 0xffffffff) >>> 0
}

function seedOf(start: number, salt: Uint8Array, word: bigint): number {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(word)
  return crc32c(crc32c(start, salt), bytes)
}

/**
 * Writes the checksum of the record at `offset` of a log whose bytes a test has changed, so that it is read as written.
 * `meta`: the bytes of the store's file `meta`.
 */
export function sealRecord(meta: Buffer, segment: number, log: Buffer, offset: number): void {
  const record = log.subarray(offset, offset + log.readUInt32LE(offset))
  record.writeUInt32LE(0, 60)
  const seed = seedOf(0, meta.subarray(64, 80), positionOf(segment, offset))
  record.writeUInt32LE(crc32c(seed, record), 60)
}

const align8 = (size: number): number => Math.ceil(size / 8) * 8
const align64K = (size: number): number => Math.ceil(size / 65536) * 65536
const positionOf = (segment: number, offset: number): bigint => (BigInt(segment) << 32n) | BigInt(offset / 8)

const headerBytes = 4096
const frameHeaderBytes = 128
const recordHeaderBytes = 64
const imageHeaderBytes = 64
const frameBytesMax = 1_073_741_824
const frameMagic = 0x4d524654
const noSlot = 0xffffffff
const hasEmbedding = 1
const hasContent = 2
const contentAscii = 4
const metadataAscii = 8
const knownRecordFlags = 15
const kRecords = 1
const kImage = 2
const kEpoch = 3
const kDelete = 3
const recordKinds = ['', 'put', 'update', 'delete'] as const

/** A number that JavaScript holds exactly; a larger one in a file is a lie and becomes NaN, which no check passes. */
function u64(bytes: Buffer, offset: number): number {
  const value = bytes.readBigUInt64LE(offset)
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : Number.NaN
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Whether a run of TLV holds and has no critical type: version 1 knows none. */
function tlvHolds(run: Buffer): boolean {
  let at = 0
  while (at < run.length) {
    if (run.length - at < 8) return false
    if ((run.readUInt16LE(at + 2) & 1) === 1) return false
    at += 8 + align8(run.readUInt32LE(at + 4))
  }
  return at === run.length
}

// Section 3 ----------------------------------------------------------------------------------------------------------

interface DecodedMeta extends ReadMeta {
  salt: Buffer
  storeIdBytes: Buffer
}

function decodeMeta(file: Buffer): DecodedMeta {
  const refuse = (why: string): never => {
    throw new Error(`meta: ${why}`)
  }
  if (file.length < 192 || file.toString('latin1', 0, 8) !== 'TCLNMETA') refuse('not a store')
  if (file.readUInt32LE(12) !== file.length) refuse('length')
  if (file.readUInt32LE(8) !== crc32c(0, file.subarray(12))) refuse('checksum')
  if (file.readUInt32LE(16) !== 1) refuse('a later version')
  if (file.readBigUInt64LE(40) !== 0n) refuse('incompatible features')
  const [segmentCount, replacedCount, tlvBytes] = [148, 152, 156].map((at) => file.readUInt32LE(at)) as [
    number,
    number,
    number,
  ]
  if (file.readUInt32LE(20) !== 192) refuse('header_bytes')
  if (192 + 48 * segmentCount + 16 * replacedCount + tlvBytes !== file.length || segmentCount === 0) refuse('counts')
  const dimensions = file.readUInt32LE(80)
  if (dimensions < 1 || dimensions > 4096) refuse('dimensions')
  const metric = (['cosine', 'dot', 'l2'] as const)[file.readUInt32LE(84)] ?? refuse('metric')
  const nextSegment = file.readUInt32LE(144)

  const segments = Array.from({ length: segmentCount }, (_, index): ReadSegment => {
    const at = 192 + 48 * index
    const entry = {
      number: file.readUInt32LE(at),
      slots: file.readUInt32LE(at + 4),
      logCapacity: u64(file, at + 8),
      logEnd: u64(file, at + 16),
    }
    const endHolds = entry.logEnd === 0 || (entry.logEnd >= headerBytes && entry.logEnd <= entry.logCapacity)
    if (entry.number < 1 || entry.number >= nextSegment || !endHolds || entry.logEnd % 8 !== 0) refuse('segment list')
    return entry
  })
  if (new Set(segments.map(({ number }) => number)).size !== segmentCount) refuse('segment listed twice')
  const replaced = Array.from({ length: replacedCount }, (_, index) => {
    const at = 192 + 48 * segmentCount + 16 * index
    return { first: file.readUInt32LE(at), last: file.readUInt32LE(at + 4), by: file.readUInt32LE(at + 8) }
  })
  if (!tlvHolds(file.subarray(file.length - tlvBytes))) refuse('extensions')
  return {
    storeId: file.readBigUInt64LE(48) | (file.readBigUInt64LE(56) << 64n),
    storeIdBytes: Buffer.from(file.subarray(48, 64)),
    salt: Buffer.from(file.subarray(64, 80)),
    dimensions,
    metric,
    epoch: u64(file, 88),
    listGeneration: u64(file, 96),
    watermark: file.readBigUInt64LE(104),
    watermarkSequence: u64(file, 112),
    checkpoint: file.readBigUInt64LE(120),
    changesFloor: u64(file, 128),
    createdAt: file.readDoubleLE(136),
    nextSegment,
    segments,
    replaced,
  }
}

// Sections 4 and 5 ---------------------------------------------------------------------------------------------------

interface Frame extends ReadFrame {
  log: Buffer
  position: bigint
  headerCrc: number
  previous: bigint
  previousCrc: number
  bodyBytes: number
  firstSequence: number
  recordCount: number
  imageCount: number
  recordBytes: number
  memoriesAfter: number
}

interface DecodedRecord {
  kind: 'put' | 'update' | 'delete'
  flags: number
  sequence: number
  slot: number
  embeddingCrc: number
  createdAt: number
  confidence: number
  id: string
  content: string | null
  metadata: Record<string, unknown>
  logOffset: number
  logLength: number
}

interface Blocks {
  bytes: Buffer
  slots: number
  statisticsOffset: number
  embeddingOffset: number
  embeddingStride: number
}

class StoreReader {
  readonly #directory: string
  readonly #meta: DecodedMeta
  readonly #problems: ReadProblem[] = []
  readonly #counted: Frame[] = []
  readonly #blocks = new Map<number, Blocks | undefined>()
  /** Newest image of a block, by `segment << 32 | slot`. */
  readonly #images = new Map<bigint, Buffer>()
  #orphans = 0

  constructor(directory: string) {
    this.#directory = directory
    this.#meta = decodeMeta(readFileSync(join(directory, 'meta')))
  }

  read(): ReadStore {
    for (const segment of this.#meta.segments) this.#readLog(segment)
    const newest = new Map<string, { record: DecodedRecord; segment: number }>()
    const changes: ReadChange[] = []
    for (const frame of this.#counted) {
      this.#readImages(frame)
      for (const record of this.#readRecords(frame)) {
        changes.push({ sequence: record.sequence, kind: record.kind, id: record.id })
        newest.delete(record.id) // so that the map is in commit order
        if (record.kind !== 'delete') newest.set(record.id, { record, segment: frame.segment })
      }
      this.#checkHistory(frame, changes, newest.size)
    }
    const memories = new Map<string, ReadMemory>()
    for (const [id, { record, segment }] of newest) memories.set(id, this.#complete(record, segment))
    const { salt: _salt, storeIdBytes: _bytes, ...meta } = this.#meta
    const frames = this.#counted.map(({ segment, offset, kind }) => ({ segment, offset, kind }))
    return { meta, memories, changes, problems: this.#problems, frames, orphans: this.#orphans }
  }

  #problem(file: string, offset: number, what: string, id?: string): void {
    this.#problems.push(id === undefined ? { file, offset, what } : { file, offset, what, id })
  }

  /** The whole file, mapped; undefined and a problem when that is not possible. */
  #map(name: string): Buffer | undefined {
    let fd: number | undefined
    try {
      fd = openSync(join(this.#directory, name), 'r')
      const { size } = fstatSync(fd)
      if (size === 0) throw new Error('is empty')
      return memoryMap.map(size, memoryMap.PROT_READ, memoryMap.MAP_SHARED, fd)
    } catch (error) {
      this.#problem(name, 0, String(error))
      return undefined
    } finally {
      if (fd !== undefined) closeSync(fd) // a mapping outlives its descriptor
    }
  }

  /** Step 2 of section 6 for one segment. */
  #readLog(segment: ReadSegment): void {
    const name = `${segment.number}.log`
    const log = this.#map(name)
    if (log === undefined) return
    const headerHolds =
      log.length >= headerBytes &&
      log.toString('latin1', 0, 8) === 'TCLNLOG1' &&
      log.readUInt32LE(8) === crc32c(0, log.subarray(16, 64)) &&
      log.readUInt32LE(12) === 1 &&
      log.subarray(16, 32).equals(this.#meta.storeIdBytes) &&
      log.readUInt32LE(32) === segment.number &&
      u64(log, 40) === segment.logCapacity
    if (!headerHolds) {
      this.#problem(name, 0, 'header')
      return
    }

    const limit = segment.logEnd === 0 ? log.length : Math.min(segment.logEnd, log.length)
    let offset = headerBytes
    for (;;) {
      const frame = this.#frameAt(log, segment.number, offset, limit)
      if (frame === undefined || !this.#link(frame)) break
      this.#counted.push(frame)
      offset += frameHeaderBytes + frame.bodyBytes
    }
    const watermark =
      Number(this.#meta.watermark >> 32n) === segment.number ? 8 * Number(this.#meta.watermark & 0xffffffffn) : 0
    if (segment.logEnd !== 0 && offset !== segment.logEnd) this.#problem(name, offset, 'frames end before log_end')
    else if (offset < watermark) this.#problem(name, offset, 'frames end before the watermark')
  }

  /** Whether the frame goes on from a frame that counts; drops orphans behind that one. */
  #link(frame: Frame): boolean {
    const last = this.#counted.at(-1)
    const names = (earlier: Frame): boolean =>
      earlier.position === frame.previous && earlier.headerCrc === frame.previousCrc
    if (last === undefined) return frame.previous === 0n && frame.previousCrc === 0
    if (names(last)) return true
    if (frame.offset !== headerBytes) return false
    const named = this.#counted.findLastIndex(names)
    if (named >= 0) {
      this.#orphans += this.#counted.length - named - 1
      this.#counted.length = named + 1
      return true
    }
    if (frame.previous === 0n && frame.previousCrc === 0) {
      this.#orphans += this.#counted.length
      this.#counted.length = 0
      return true
    }
    return this.#replacedBy(Number(frame.previous >> 32n)) === last.segment
  }

  /** The listed segment that holds what is left of a replaced one. */
  #replacedBy(segment: number): number | undefined {
    const listed = (number: number): boolean => this.#meta.segments.some((entry) => entry.number === number)
    let now = segment
    if (listed(now)) return undefined
    for (const { first, last, by } of this.#meta.replaced) if (!listed(now) && first <= now && now <= last) now = by
    return listed(now) ? now : undefined
  }

  #frameAt(log: Buffer, segment: number, offset: number, limit: number): Frame | undefined {
    if (offset + frameHeaderBytes > limit || log.readUInt32LE(offset) !== frameMagic) return undefined
    const position = positionOf(segment, offset)
    const seed = seedOf(0, this.#meta.salt, position)
    // Copied before it is judged: while writers run, the bytes may change between two looks.
    const header = Buffer.from(log.subarray(offset, offset + frameHeaderBytes))
    if (header.readUInt32LE(4) !== crc32c(seed, header.subarray(8))) return undefined
    const frame: Frame = {
      log,
      segment,
      offset,
      position,
      headerCrc: header.readUInt32LE(4),
      kind: header.readUInt16LE(12),
      bodyBytes: u64(header, 16),
      firstSequence: u64(header, 24),
      recordCount: header.readUInt32LE(32),
      imageCount: header.readUInt32LE(36),
      recordBytes: u64(header, 40),
      memoriesAfter: u64(header, 80),
      previous: header.readBigUInt64LE(88),
      previousCrc: header.readUInt32LE(96),
    }
    const { bodyBytes, recordBytes, recordCount } = frame
    const kindKnown = frame.kind === kRecords || frame.kind === kImage || frame.kind === kEpoch
    const records = frame.kind === kRecords
    const bodyFits = bodyBytes % 8 === 0 && bodyBytes <= frameBytesMax && offset + frameHeaderBytes + bodyBytes <= limit
    const recordsFit =
      recordBytes % 8 === 0 &&
      recordBytes <= bodyBytes &&
      records === recordCount > 0 &&
      records === recordBytes > 0 &&
      recordCount * recordHeaderBytes <= recordBytes
    if (!kindKnown || !bodyFits || !recordsFit) return undefined
    return header.readUInt32LE(8) === crc32c(seed, bodyOf(frame)) ? frame : undefined
  }

  #readRecords(frame: Frame): DecodedRecord[] {
    const records: DecodedRecord[] = []
    const body = bodyOf(frame)
    let at = 0
    for (let index = 0; frame.kind === kRecords && index < frame.recordCount; index += 1) {
      const logOffset = frame.offset + frameHeaderBytes + at
      const seed = seedOf(0, this.#meta.salt, positionOf(frame.segment, logOffset))
      const record = decodeRecord(body.subarray(at, frame.recordBytes), logOffset, seed)
      if (typeof record === 'string') {
        this.#problem(`${frame.segment}.log`, logOffset, `record: ${record}`)
        return records
      }
      if (!this.#rewritten(frame.segment) && record.sequence !== frame.firstSequence + index) {
        this.#problem(`${frame.segment}.log`, logOffset, 'sequence is not that of the frame', record.id)
      }
      records.push(record)
      at += record.logLength
    }
    if (frame.kind === kRecords && at !== frame.recordBytes) {
      this.#problem(`${frame.segment}.log`, frame.offset, 'records do not fill record_bytes')
    }
    return records
  }

  #rewritten(segment: number): boolean {
    return this.#meta.replaced.some(({ by }) => by === segment)
  }

  #readImages(frame: Frame): void {
    const body = bodyOf(frame)
    let at = frame.recordBytes
    for (let index = 0; index < frame.imageCount; index += 1) {
      if (body.length - at < imageHeaderBytes) break
      const key = (BigInt(body.readUInt32LE(at)) << 32n) | BigInt(body.readUInt32LE(at + 4))
      const begin = at + imageHeaderBytes + body.readUInt32LE(at + 56)
      const end = begin + body.readUInt32LE(at + 60)
      if (end > body.length) break
      this.#images.set(key, body.subarray(begin, end))
      at = align8(end)
    }
    if (at !== frame.bodyBytes) this.#problem(`${frame.segment}.log`, frame.offset, 'images do not fill the body')
  }

  /** What section 6 says of sequences and of memories_after. */
  #checkHistory(frame: Frame, changes: ReadChange[], memories: number): void {
    if (frame.kind !== kRecords || this.#meta.replaced.length > 0) return
    const file = `${frame.segment}.log`
    const before = changes.at(-1 - frame.recordCount)?.sequence ?? 0
    if (frame.firstSequence - 1 > Math.max(before, this.#meta.changesFloor))
      this.#problem(file, frame.offset, 'gap in the sequences')
    if (frame.memoriesAfter !== memories) this.#problem(file, frame.offset, `memories_after is not ${memories}`)
  }

  /** Step 4 of section 6. */
  #complete(record: DecodedRecord, segment: number): ReadMemory {
    const name = `${segment}.blocks`
    if (!this.#blocks.has(segment)) this.#blocks.set(segment, this.#mapBlocks(segment))
    const blocks = this.#blocks.get(segment)
    const statisticsAt = (blocks?.statisticsOffset ?? 0) + 24 * record.slot
    const slotHolds = blocks !== undefined && record.slot < blocks.slots && statisticsAt + 24 <= blocks.bytes.length
    if (!slotHolds) this.#problem(name, statisticsAt, 'no such slot', record.id)
    return {
      id: record.id,
      embedding: (record.flags & hasEmbedding) === 0 ? null : this.#embedding(record, segment, blocks),
      content: record.content,
      metadata: record.metadata,
      confidence: record.confidence,
      createdAt: record.createdAt,
      sequence: record.sequence,
      activation: slotHolds ? blocks.bytes.readDoubleLE(statisticsAt) : Number.NaN,
      lastAccess: slotHolds ? blocks.bytes.readDoubleLE(statisticsAt + 8) : Number.NaN,
      recallCount: slotHolds ? u64(blocks.bytes, statisticsAt + 16) : Number.NaN,
      segment,
      slot: record.slot,
      logOffset: record.logOffset,
      logLength: record.logLength,
    }
  }

  #embedding(record: DecodedRecord, segment: number, blocks: Blocks | undefined): Float32Array | null {
    const size = 4 * this.#meta.dimensions
    const block = (BigInt(segment) << 32n) | BigInt(record.slot)
    const seed = seedOf(1, this.#meta.salt, block)
    const begin = blocks === undefined ? 0 : blocks.embeddingOffset + record.slot * blocks.embeddingStride
    const candidates = [blocks?.bytes.subarray(begin, begin + size), this.#images.get(block)]
    for (const bytes of candidates) {
      if (bytes?.length !== size || crc32c(seed, bytes) !== record.embeddingCrc) continue
      return Float32Array.from({ length: this.#meta.dimensions }, (_, index) => bytes.readFloatLE(4 * index))
    }
    this.#problem(`${segment}.blocks`, begin, 'embedding', record.id)
    return null
  }

  #mapBlocks(segment: number): Blocks | undefined {
    const bytes = this.#map(`${segment}.blocks`)
    if (bytes === undefined) return undefined
    const slots = align64(this.#meta.segments.find(({ number }) => number === segment)?.slots ?? 0)
    const { dimensions } = this.#meta
    const sketchKind = bytes.length >= headerBytes ? bytes.readUInt32LE(44) : 0
    const sketches = sketchColumns(sketchKind, 4096 + 64 * slots, slots, dimensions)
    const embeddingOffset = align64K(sketches.end)
    const fileBytes = align64K(embeddingOffset + 4 * dimensions * slots)
    const columns = [0, 8, 16, 24, 32, 40].map((perSlot) => 4096 + perSlot * slots)
    const expected = [...columns, ...sketches.first, embeddingOffset, 4 * dimensions, fileBytes, ...sketches.rows]
    const holds =
      bytes.length >= headerBytes &&
      bytes.toString('latin1', 0, 8) === 'TCLNBLK1' &&
      bytes.readUInt32LE(8) === crc32c(0, bytes.subarray(16, 192)) &&
      bytes.readUInt32LE(12) === 1 &&
      bytes.subarray(16, 32).equals(this.#meta.storeIdBytes) &&
      bytes.readUInt32LE(32) === segment &&
      bytes.readUInt32LE(36) === slots &&
      bytes.readUInt32LE(40) === dimensions &&
      sketchKind <= 1 &&
      expected.every((value, index) => u64(bytes, 48 + 8 * index) === value) &&
      bytes.subarray(160, 192).every((byte) => byte === 0)
    if (!holds) {
      this.#problem(`${segment}.blocks`, 0, 'header')
      return undefined
    }
    return { bytes, slots, statisticsOffset: 4096 + 40 * slots, embeddingOffset, embeddingStride: 4 * dimensions }
  }
}

/** Places of section 5.1: centre, sketch and its stride; rows and theirs; where the columns end. */
function sketchColumns(kind: number, begin: number, slots: number, dimensions: number) {
  if (kind === 0) return { first: [0, 0, 0], rows: [0, 0], end: begin }
  const bits = align64(dimensions)
  const prefixBits = Math.min(bits, bits <= 384 ? 128 : bits <= 1024 ? 192 : 256)
  const [stride, rowStride] = [prefixBits / 8 + 8, (bits - prefixBits) / 8 + 8]
  const sketch = begin + 4 * bits
  const rows = sketch + stride * slots
  return { first: [begin, sketch, stride], rows: [rows, rowStride], end: rows + rowStride * slots }
}

const align64 = (count: number): number => Math.ceil(count / 64) * 64

function bodyOf(frame: Frame): Buffer {
  const begin = frame.offset + frameHeaderBytes
  return frame.log.subarray(begin, begin + frame.bodyBytes)
}

/** The record at the front of `bytes`, or what is wrong with it. */
function decodeRecord(bytes: Buffer, logOffset: number, seed: number): DecodedRecord | string {
  if (bytes.length < recordHeaderBytes) return 'no room for its header'
  const length = bytes.readUInt32LE(0)
  const kind = recordKinds[bytes.readUInt8(4)] || undefined
  const flags = bytes.readUInt8(5)
  const idBytes = bytes.readUInt16LE(6)
  const slot = bytes.readUInt32LE(24)
  const contentBytes = bytes.readUInt32LE(48)
  const metadataBytes = bytes.readUInt32LE(52)
  const tlvBytes = bytes.readUInt32LE(56)
  const partsEnd = recordHeaderBytes + idBytes + contentBytes + metadataBytes
  if (kind === undefined) return 'kind'
  if ((flags & ~knownRecordFlags) !== 0) return 'flags'
  if (idBytes < 1 || idBytes > 511) return 'id_bytes'
  if (contentBytes > 67_108_864 || metadataBytes > 16_777_216 || tlvBytes % 8 !== 0) return 'lengths'
  if (length > bytes.length || length !== align8(partsEnd) + tlvBytes) return 'length'
  const deletion = bytes.readUInt8(4) === kDelete
  if (deletion !== (slot === noSlot)) return 'slot'
  if (deletion && (flags & hasEmbedding) !== 0) return 'a deletion with an embedding'
  if ((flags & hasContent) === 0 && contentBytes !== 0) return 'content without its flag'
  if (!tlvHolds(bytes.subarray(align8(partsEnd), length))) return 'extensions'
  if (bytes.subarray(partsEnd, align8(partsEnd)).some((byte) => byte !== 0)) return 'padding'
  const withoutCrc = Buffer.from(bytes.subarray(0, length))
  withoutCrc.writeUInt32LE(0, 60)
  if (bytes.readUInt32LE(60) !== crc32c(seed, withoutCrc)) return 'checksum'

  const contentBegin = recordHeaderBytes + idBytes
  const content = bytes.subarray(contentBegin, contentBegin + contentBytes)
  const metadata = bytes.subarray(contentBegin + contentBytes, partsEnd)
  const high = (part: Buffer): boolean => part.some((byte) => byte >= 0x80)
  if ((flags & contentAscii) !== 0 && high(content)) return 'content is not ASCII'
  if ((flags & metadataAscii) !== 0 && high(metadata)) return 'metadata is not ASCII'
  try {
    return {
      kind,
      flags,
      sequence: u64(bytes, 8),
      slot,
      embeddingCrc: bytes.readUInt32LE(28),
      createdAt: bytes.readDoubleLE(32),
      confidence: bytes.readDoubleLE(40),
      id: utf8.decode(bytes.subarray(recordHeaderBytes, contentBegin)),
      content: (flags & hasContent) === 0 ? null : utf8.decode(content),
      metadata: metadata.length === 0 ? {} : JSON.parse(utf8.decode(metadata)),
      logOffset,
      logLength: length,
    }
  } catch (error) {
    return String(error)
  }
}
