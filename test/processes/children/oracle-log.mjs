// The oracle's half in the writer: a file per worker with one line before each operation and one after it.
//
// Its holes, and why none hides a loss: a line is written by writeSync, so it is in the page cache, which outlives the
// process, before the operation begins, and again before the next one. Killed between an operation and its second
// line, or within either line, a worker leaves at most one operation in doubt. A line that was cut counts as not
// written: a first line is cut only when its operation never began, a second line leaves its operation in doubt.
// Only the last line may be cut; anywhere else the log itself is wrong, and its reader says so.

import { openSync, writeSync } from 'node:fs'

export class OracleLog {
  #descriptor
  #count = 0

  constructor(path) {
    this.#descriptor = openSync(path, 'ax')
  }

  #line(value) {
    const bytes = Buffer.from(`${JSON.stringify(value)}\n`)
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at)
  }

  /** Does what `action` does, between the two lines. */
  run(intent, action) {
    const n = this.#count++
    this.#line({ n, intent })
    const result = action()
    this.#line({ n, result })
    return result
  }
}
