// The check of an id: a string of well-formed Unicode of 1..511 bytes in UTF-8.

import { Failure, failure, wrongType } from '../errors'
import { addon } from '../native'
import { describe } from '../options'

const { idBytesMax } = addon.limits
// No UTF-16 unit takes more than three bytes of UTF-8, so ids up to this length need not be measured.
const idUnitsSafe = Math.floor(idBytesMax / 3)

/**
 * Returns the id. TypeError ARGUMENT: not a string, or a lone surrogate; RangeError KEY_SIZE: wrong size. Cost:
 * about 10 ns.
 */
export function checkId(id: unknown): string {
  if (typeof id !== 'string') throw wrongType(`an id must be a string, not ${describe(id)}`)
  const { length } = id
  if (length === 0 || length > idUnitsSafe) checkIdSize(id)
  if (!id.isWellFormed()) throw wrongType('an id must be well-formed Unicode: this one has a lone surrogate')
  return id
}

function checkIdSize(id: string): void {
  // A lone surrogate is counted as three bytes, as its replacement character would be.
  const bytes = Buffer.byteLength(id)
  if (bytes >= 1 && bytes <= idBytesMax) return
  throw failure(Failure.KEY_SIZE, `an id must have 1 to ${idBytesMax} bytes of UTF-8, not ${bytes}`, { bytes })
}
