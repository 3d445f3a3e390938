// The score of a query and an embedding, as the core scores its hits in the end (`ExactScore`), so that hits of cold and
// warm merge exactly: double precision, four interleaved sums, always in this order.

import type { Hit, Metric } from '../types'

/** Scores the row that begins at an element. */
export type Scorer = (rows: Float32Array, at: number) => number

function product(a: Float32Array, at: number, b: Float32Array, from: number, count: number): number {
  let sum0 = 0
  let sum1 = 0
  let sum2 = 0
  let sum3 = 0
  let index = 0
  for (; index + 4 <= count; index += 4) {
    sum0 += (a[at + index] as number) * (b[from + index] as number)
    sum1 += (a[at + index + 1] as number) * (b[from + index + 1] as number)
    sum2 += (a[at + index + 2] as number) * (b[from + index + 2] as number)
    sum3 += (a[at + index + 3] as number) * (b[from + index + 3] as number)
  }
  for (; index < count; index++) sum0 += (a[at + index] as number) * (b[from + index] as number)
  return sum0 + sum1 + (sum2 + sum3)
}

function distance(query: Float32Array, rows: Float32Array, at: number): number {
  const sums = [0, 0, 0, 0]
  const whole = query.length - (query.length % 4)
  for (let index = 0; index < query.length; index++) {
    const difference = (query[index] as number) - (rows[at + index] as number)
    const place = index < whole ? index % 4 : 0
    sums[place] = (sums[place] as number) + difference * difference
  }
  return Math.sqrt((sums[0] as number) + (sums[1] as number) + ((sums[2] as number) + (sums[3] as number)))
}

/** How a store of that metric scores against the query. */
export function makeScorer(metric: Metric, query: Float32Array): Scorer {
  const { length } = query
  if (metric === 'dot') return (rows, at) => product(query, 0, rows, at, length)
  // From zero: the opposite of no distance would be -0.
  if (metric === 'l2') return (rows, at) => 0 - distance(query, rows, at)
  const querySquare = product(query, 0, query, 0, length)
  return (rows, at) => {
    const rowSquare = product(rows, at, rows, at, length)
    if (querySquare === 0 || rowSquare === 0) return 0
    const score = product(query, 0, rows, at, length) / Math.sqrt(querySquare * rowSquare)
    return Math.min(1, Math.max(-1, score))
  }
}

/** Best first; ties by lower sequence. */
export function byScore(a: { score: number; memory: { sequence: number } }, b: typeof a): number {
  return b.score - a.score || a.memory.sequence - b.memory.sequence
}

/** The best of several lists of hits. */
export function mergeHits(lists: readonly Hit[][], limit: number): Hit[] {
  return lists.flat().sort(byScore).slice(0, limit)
}

/** The best `limit` of what is offered, by score and then lower sequence. */
export class Top<Place> {
  readonly #limit: number
  readonly #minScore: number
  /** best first */
  readonly kept: { score: number; sequence: number; place: Place }[] = []

  constructor(limit: number, minScore: number) {
    this.#limit = limit
    this.#minScore = minScore
  }

  wants(score: number, sequence: number): boolean {
    if (score < this.#minScore) return false
    if (this.kept.length < this.#limit) return true
    const last = this.kept[this.kept.length - 1] as { score: number; sequence: number }
    return score > last.score || (score === last.score && sequence < last.sequence)
  }

  add(score: number, sequence: number, place: Place): void {
    let low = 0
    let high = this.kept.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.kept[middle] as { score: number; sequence: number }
      if (other.score > score || (other.score === score && other.sequence < sequence)) low = middle + 1
      else high = middle
    }
    this.kept.splice(low, 0, { score, sequence, place })
    if (this.kept.length > this.#limit) this.kept.pop()
  }
}
