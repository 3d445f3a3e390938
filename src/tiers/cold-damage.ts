// What a cold file that does not hold what it must is called.

import { Failure, failure } from '../errors'

/** CORRUPT: a file in cold does not hold what it must. */
export function coldCorrupt(what: string, offset = 0): Error {
  return failure(Failure.CORRUPT, `a cold file is damaged: ${what}`, { offset })
}
