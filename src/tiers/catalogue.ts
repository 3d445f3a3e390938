// Which cold files there are and which of their entries count: written in the warm log, as memories of reserved ids.
//
// That one log is the truth of both tiers: a frame that takes memories out of warm also says that their entries in a cold
// file count, and the other way round. So at any moment, in any snapshot and after any crash a memory is in one place,
// and nothing has to be brought in step afterwards. docs/tiers.md has the table of states.
//
// Invariants, kept by `MoveFrame`:
//   1 an id that is in warm counts in no cold file, and it counts in one at most
//   2 an entry begins to count only in a frame that also writes the root, so whoever saw the root knows of every entry
//     that may count
//   3 everything in a frame that is no write of a user follows its marker, which says how many records to pass over

import { addDetails, isThermoclineError, outOfRange } from '../errors'
import { addon } from '../native'
import type { JsonObject, Memory, Operation } from '../types'
import { type EncodedOperation, encodeOperation } from '../warm/batch-writer'
import { checkId } from '../warm/memory-id'
import type { WarmTier } from '../warm/warm-tier'
import { coldCorrupt } from './cold-damage'
import { entriesMax } from './cold-format'

/** A noncharacter, which no text has by chance. */
const prefix = '\u{10ffff}thermocline/'
const rootId = `${prefix}cold`
const markerPrefix = `${prefix}moved/`
const { sequence: SEQUENCE } = addon.numberAt

/** Whether an id is the store's own. */
export function isControlId(id: string): boolean {
  return id.startsWith(prefix)
}

/** An id that users may write. */
export function checkUserId(id: unknown): string {
  const checked = checkId(id)
  if (isControlId(checked)) throw outOfRange("ids that begin so are the store's own")
  return checked
}

/** How many records after a record of this id are no writes of users; undefined: it is no marker. */
export function recordsToPass(id: string): number | undefined {
  return id.startsWith(markerPrefix) ? Number(id.slice(markerPrefix.length)) : undefined
}

const segmentId = (number: number): string => `${rootId}/${number}`

/** A cold file as the root lists it. */
export interface ListedSegment {
  readonly number: number
  /** Name of the file. */
  readonly file: string
  readonly entries: number
  readonly bytes: number
  /** Checksum of the file's header. */
  readonly crc: number
}

/** The root at one moment. */
export interface Root {
  /** Of its record; 0: there is none. */
  readonly sequence: number
  readonly segments: readonly ListedSegment[]
  /** Number of the next segment. */
  readonly next: number
}

/** Which entries of a segment count, at one moment. */
export interface Counting {
  readonly sequence: number
  /** A bit an entry. */
  readonly bits: Uint8Array
  readonly count: number
}

/** The whole of it at one moment. */
export interface CatalogueSnapshot {
  readonly root: Root
  readonly counting: ReadonlyMap<number, Counting>
}

const emptyRoot: Root = { sequence: 0, segments: [], next: 1 }

export function hasBit(bits: Uint8Array, at: number): boolean {
  return ((bits[at >> 3] as number) & (1 << (at & 7))) !== 0
}

function countBits(bits: Uint8Array): number {
  let count = 0
  for (const byte of bits) for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1
  return count
}

function readNumber(object: JsonObject, key: string, max = Number.MAX_SAFE_INTEGER): number {
  const value = object[key]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) return value
  throw coldCorrupt(`its list (${key})`)
}

function decodeSegment(value: unknown): ListedSegment {
  if (typeof value !== 'object' || value === null) throw coldCorrupt('its list')
  const object = value as JsonObject
  const { file } = object
  // The name becomes part of a path.
  if (typeof file !== 'string' || !/^[0-9]+-[0-9a-f]+\.cold$/.test(file)) throw coldCorrupt('its list (file)')
  return {
    number: readNumber(object, 'number'),
    file,
    entries: readNumber(object, 'entries', entriesMax),
    bytes: readNumber(object, 'bytes'),
    crc: readNumber(object, 'crc', 2 ** 32 - 1),
  }
}

function decodeRoot(memory: Memory): Root {
  const { segments, next } = memory.metadata
  if (!Array.isArray(segments)) throw coldCorrupt('its list')
  return {
    sequence: memory.sequence,
    segments: segments.map(decodeSegment),
    next: readNumber({ next: next ?? null }, 'next'),
  }
}

/** What the warm log says of cold, read again only when it changed. Cost of a look: one look-up in the memory index. */
export class Catalogue {
  readonly #warm: WarmTier
  #root = emptyRoot
  readonly #counting = new Map<number, Counting>()

  constructor(warm: WarmTier) {
    this.#warm = warm
  }

  #sequenceOf(id: string): number {
    return this.#warm.peek(id)?.[SEQUENCE] ?? 0
  }

  root(): Root {
    if (this.#sequenceOf(rootId) === this.#root.sequence) return this.#root
    const memory = this.#warm.get(rootId)
    this.#root = memory === undefined ? emptyRoot : decodeRoot(memory)
    const listed = new Set(this.#root.segments.map(({ number }) => number))
    for (const number of this.#counting.keys()) if (!listed.has(number)) this.#counting.delete(number)
    return this.#root
  }

  /** Which entries of a listed segment count; undefined when it is not listed any more. */
  counting(segment: ListedSegment): Counting | undefined {
    const id = segmentId(segment.number)
    const known = this.#counting.get(segment.number)
    if (known !== undefined && known.sequence === this.#sequenceOf(id)) return known
    const memory = this.#warm.get(id)
    if (memory === undefined) return undefined
    const bits = new Uint8Array(Buffer.from(memory.content ?? '', 'base64'))
    if (bits.length !== (segment.entries + 7) >> 3) throw coldCorrupt('its list of what counts')
    const counting = { sequence: memory.sequence, bits, count: countBits(bits) }
    this.#counting.set(segment.number, counting)
    return counting
  }

  /** Root and segments as they were together at one moment. */
  snapshot(): CatalogueSnapshot {
    for (;;) {
      const root = this.root()
      const counting = new Map<number, Counting>()
      for (const segment of root.segments) {
        const each = this.counting(segment)
        if (each !== undefined) counting.set(segment.number, each)
      }
      const snapshot = { root, counting }
      if (this.isCurrent(snapshot)) return snapshot
    }
  }

  /** Whether nothing has moved since. */
  isCurrent({ root, counting }: CatalogueSnapshot): boolean {
    if (counting.size !== root.segments.length || this.#sequenceOf(rootId) !== root.sequence) return false
    for (const [number, { sequence }] of counting) {
      if (this.#sequenceOf(segmentId(number)) !== sequence) return false
    }
    return true
  }

  /** Memories of reserved ids that are in warm for a root. */
  static controlCount(root: Root): number {
    return root.sequence === 0 ? 0 : 1 + root.segments.length
  }
}

const anySequence = -1

/** An operation under the condition that the id has this sequence at the commit: 0 absent, -1 any. */
export function operationIf(operation: Operation, ifSequence: number): EncodedOperation {
  // Embeddings among these have been checked when they were stored; the core checks them again.
  const dimensions = 'put' in operation ? (operation.put.embedding?.length ?? 0) : 0
  return encodeOperation(operation, dimensions, ifSequence)
}

/** A condition alone. */
export function checkIf(id: string, ifSequence: number): EncodedOperation {
  return { kind: 'check', id, ifSequence }
}

/**
 * One frame that moves memories or writes those that may be in cold: all of it is committed at one moment, or CONFLICT,
 * when anything that it was built on has changed.
 */
export class MoveFrame {
  readonly #root: Root
  /** Bits to change, by segment. */
  readonly #changes = new Map<number, { counting: Counting; bits: Uint8Array }>()
  #segments: ListedSegment[] | undefined
  #next: number
  readonly #dropped: number[] = []
  readonly #hidden: EncodedOperation[] = []
  readonly #shown: EncodedOperation[] = []

  constructor(root: Root) {
    this.#root = root
    this.#next = root.next
  }

  /** Lists a new segment, none of whose entries counts yet. */
  list(segment: ListedSegment): void {
    this.#segments = [...(this.#segments ?? this.#root.segments), segment]
    this.#next = Math.max(this.#next, segment.number + 1)
    const none = new Uint8Array((segment.entries + 7) >> 3)
    this.#changes.set(segment.number, { counting: { sequence: 0, bits: none, count: 0 }, bits: none })
  }

  /** Lists a segment no more, under the condition that what counts in it has not changed. */
  drop(segment: ListedSegment, counting: Counting): void {
    this.#segments = (this.#segments ?? this.#root.segments).filter(({ number }) => number !== segment.number)
    this.#hidden.push(operationIf({ delete: segmentId(segment.number) }, counting.sequence))
    this.#dropped.push(segment.number)
  }

  /** An entry counts from this frame on, or no more. */
  setCounting(segment: ListedSegment, counting: Counting, ordinal: number, counts: boolean): void {
    let change = this.#changes.get(segment.number)
    if (change === undefined) {
      change = { counting, bits: Uint8Array.from(counting.bits) }
      this.#changes.set(segment.number, change)
    }
    const bit = 1 << (ordinal & 7)
    const byte = change.bits[ordinal >> 3] as number
    change.bits[ordinal >> 3] = counts ? byte | bit : byte & ~bit
    // Invariant 2.
    if (counts) this.#segments ??= [...this.#root.segments]
  }

  /** The root as it is, written anew: every frame that was built on the one before it conflicts from now on. */
  renewRoot(): void {
    this.#segments ??= [...this.#root.segments]
  }

  /** Part of a move. It must take effect unless its condition fails. */
  hide(operation: EncodedOperation): void {
    this.#hidden.push(operation)
  }

  /** A write of the user, told by `changes`. */
  show(operation: EncodedOperation): void {
    this.#shown.push(operation)
  }

  /** Commits, and returns the sequence of the last record. Throws CONFLICT. `index` in details counts what is shown. */
  commit(warm: WarmTier): number {
    const moves = this.#moves()
    const before = [checkIf(rootId, this.#root.sequence)]
    if (moves.length > 0) {
      // Marked before everything else; the marker goes in the same frame, so that none is left behind.
      const marker = `${markerPrefix}${moves.length + 1}`
      before.push(
        operationIf({ put: { id: marker } }, anySequence),
        operationIf({ delete: marker }, anySequence),
        ...moves,
      )
    }
    try {
      return warm.writeIf([...before, ...this.#shown]).lastSequence
    } catch (error) {
      const index = isThermoclineError(error) ? error.details.index : undefined
      throw index === undefined ? error : addDetails(error, { index: Math.max(0, index - before.length) })
    }
  }

  #moves(): EncodedOperation[] {
    const moves: EncodedOperation[] = []
    if (this.#segments !== undefined) {
      const metadata = { segments: this.#segments.map((segment) => ({ ...segment })), next: this.#next }
      moves.push(operationIf({ put: { id: rootId, metadata } }, this.#root.sequence))
    }
    for (const [number, { counting, bits }] of this.#changes) {
      if (this.#dropped.includes(number)) continue
      const content = Buffer.from(bits).toString('base64')
      moves.push(operationIf({ put: { id: segmentId(number), content } }, counting.sequence))
    }
    return [...moves, ...this.#hidden]
  }
}

export { rootId }
