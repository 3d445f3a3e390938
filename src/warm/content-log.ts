// The content log of an open store, as TypeScript sees it: every record in commit order. It is the truth, of which
// the memory index is a cache.
//
// Not here: frames, checksums and the write lock, which the core keeps. Reading takes no lock.

import type { NativeStore } from '../native'
import { checkInteger, readLogOptions } from '../options'
import type { ChangeKind, LogOffset, Memory, SegmentNumber } from '../types'
import { changeKind, recordsPerFetch } from './change-feed'
import type { MemoryReader } from './memory-reader'

/** One put, update or delete, and where it is written. */
export interface LogRecord {
  /** Counted from 1, without gaps over the whole store. */
  sequence: number
  /** What the write did. */
  kind: ChangeKind
  /** Of the memory that was written. */
  id: string
  /** The segment in whose log it lies. */
  segment: SegmentNumber
  /** Bytes from the start of the segment's log. */
  offset: LogOffset
  /** Bytes of the record. */
  length: number
}

/** The end of the last complete frame. */
export interface LogTail {
  /** The segment that is written to. */
  segment: SegmentNumber
  /** Bytes from the start of the segment's log. */
  offset: LogOffset
  /** Sequence of the last record before it. */
  sequence: number
}

/** Get it as `log` of an open WarmTier. It lives as long as that: afterwards everything here throws CLOSED. */
export class ContentLog {
  readonly #native: NativeStore
  readonly #reader: MemoryReader

  /** @internal */
  constructor(reader: MemoryReader) {
    this.#native = reader.native
    this.#reader = reader
  }

  /** The tail as it is now. Errors: CLOSED. Since 0.1.0. */
  get tail(): LogTail {
    const { segment, offset, sequence } = this.#native.logTail()
    return { segment: segment as SegmentNumber, offset: offset as LogOffset, sequence }
  }

  /**
   * Iterates over the records with a sequence above `since` (default 0: all), in order and without gaps, up to the
   * present: records that come meanwhile are included.
   *
   * Errors: ARGUMENT at the call; CHANGES_GONE (history given back by compaction, or `since` above the present)
   * and CLOSED from `next`. Cost: one native call per 256 records, no lock. Since 0.1.0.
   */
  records(options?: { since?: number | undefined }): IterableIterator<LogRecord> {
    return this.#iterateRecords(readLogOptions(options))
  }

  *#iterateRecords(since: number): Generator<LogRecord, undefined> {
    let fetched = since
    for (;;) {
      const records = this.#native.changes(fetched, recordsPerFetch)
      if (records.length === 0) return
      for (const record of records) {
        const { sequence, id, segment, offset, length } = record
        // The addon is what gives such numbers out.
        const place = { segment: segment as SegmentNumber, offset: offset as LogOffset }
        yield { sequence, kind: changeKind(record), id, ...place, length }
        fetched = sequence
      }
    }
  }

  /**
   * Reads the memory that a put or an update wrote, newest of its id or not.
   *
   * `segment` and `offset`: of a LogRecord or a Location of this store; other numbers are refused as far as the
   * checks of the record tell (CORRUPT). Statistics are those of now. Errors: ARGUMENT, CORRUPT, CLOSED, CHANGES_GONE
   * (compaction gave the record's segment back). Cost: as `get`. Since 0.1.0.
   */
  read(segment: SegmentNumber, offset: LogOffset): Memory {
    return this.#reader.readAt(checkInteger(segment, 'segment', 0), checkInteger(offset, 'offset', 0))
  }
}
