// Bytes as they come, cut into numbered lines.
//
// Takes LF and CRLF (JSON counts the CR as a blank), a byte order mark at the beginning, blank lines, and a last line
// without its end. Holds one line at a time; one that no memory can have is an error before it fills the memory.

import { isUtf8 } from 'node:buffer'
import { Failure } from '../errors'
import { addon } from '../native'
import { CommandFailure } from './failure'
import { formatBytes } from './text'

const newline = 10
const blanks: readonly number[] = [32, 13, 9]
const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf])

/** JSON spells one byte of text with at most six (`\u0000`); a mebibyte holds all that is neither text nor metadata. */
const lineBytesMax = 6 * addon.limits.contentBytesMax + addon.limits.metadataBytesMax + 1024 * 1024

export interface Line {
  /** From 1; blank lines count. */
  readonly number: number
  readonly text: string
  /** Bytes of it in the input. */
  readonly bytes: number
}

export class LineSplitter {
  /** Bytes taken so far. */
  bytes = 0
  /** Lines taken so far, blank ones included. */
  lines = 0
  #parts: Buffer[] = []
  #partBytes = 0;

  /** The lines that end in this chunk, but blank ones. */
  *push(chunk: Buffer): Generator<Line> {
    this.bytes += chunk.length
    let start = 0
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      const line = this.#take(chunk.subarray(start, end))
      start = end + 1
      if (line !== undefined) yield line
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
  }

  /** The line that the end of the input ends. */
  end(): Line | undefined {
    return this.#partBytes === 0 ? undefined : this.#take(Buffer.alloc(0))
  }

  #keep(part: Buffer): void {
    this.#parts.push(part)
    this.#partBytes += part.length
    if (this.#partBytes <= lineBytesMax) return
    const message = `line ${this.lines + 1} has more than ${formatBytes(lineBytesMax)}: is this JSON Lines?`
    throw new CommandFailure(Failure.TOO_LARGE, message, { details: { line: this.lines + 1 } })
  }

  #take(last: Buffer): Line | undefined {
    let bytes = last
    if (this.#partBytes > 0) {
      this.#keep(last)
      bytes = Buffer.concat(this.#parts, this.#partBytes)
      this.#parts = []
      this.#partBytes = 0
    }
    this.lines += 1
    if (this.lines === 1 && bytes.subarray(0, byteOrderMark.length).equals(byteOrderMark)) {
      bytes = bytes.subarray(byteOrderMark.length)
    }
    if (bytes.every((byte) => blanks.includes(byte))) return undefined
    // Decoding would put a replacement character in the place of what it cannot read, and nobody would know.
    if (!isUtf8(bytes)) {
      throw new CommandFailure(Failure.ARGUMENT, `line ${this.lines} is not UTF-8`, { details: { line: this.lines } })
    }
    return { number: this.lines, text: bytes.toString('utf8'), bytes: bytes.length }
  }
}
