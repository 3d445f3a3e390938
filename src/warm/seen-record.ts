// A record that was found, and what the finding depended on: while that is the same, it need not be looked up again.
//
// Whoever copies a memory asks with it whether the copy is of the newest record (`WarmTier.peekIfNewest`). Not a cache of its
// own: nothing here is believed before the core has said that nothing was committed, and no segment replaced, since.

import { addon } from '../native'

const {
  sequence: SEQUENCE,
  segment: SEGMENT,
  slot: SLOT,
  momentApplied: MOMENT_APPLIED,
  momentList: MOMENT_LIST,
} = addon.numberAt
const never = -1

export class SeenRecord {
  readonly sequence: number
  #momentApplied = never
  #momentList = never
  #segment = 0
  #slot = 0

  constructor(sequence: number) {
    this.sequence = sequence
  }

  /** For `NativeStore.locateAgain`. */
  stage(numbers: Float64Array): void {
    numbers[MOMENT_APPLIED] = this.#momentApplied
    numbers[MOMENT_LIST] = this.#momentList
    numbers[SEGMENT] = this.#segment
    numbers[SLOT] = this.#slot
  }

  /** Before the look-up: what is committed while that runs makes the next one necessary. */
  noteMoment(numbers: Float64Array): void {
    this.#momentApplied = numbers[MOMENT_APPLIED] as number
    this.#momentList = numbers[MOMENT_LIST] as number
  }

  /** After it. False: another record than this one was found. */
  notePlace(numbers: Float64Array): boolean {
    this.#segment = numbers[SEGMENT] as number
    this.#slot = numbers[SLOT] as number
    return numbers[SEQUENCE] === this.sequence
  }

  forget(): void {
    this.#momentApplied = never
  }
}
