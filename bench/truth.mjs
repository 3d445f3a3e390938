// The true nearest memories of the first queries, by a loop over everything: the oracle that every search is held to.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

function dot(a, b) {
  let sum = 0
  for (let d = 0; d < a.length; d += 1) sum += a[d] * b[d]
  return sum
}

/** Keeps the `limit` best of what it is shown, best first. */
class Best {
  #limit
  #entries = []

  constructor(limit) {
    this.#limit = limit
  }

  show(id, score) {
    if (this.#entries.length === this.#limit && score <= this.#entries.at(-1).score) return
    let at = this.#entries.length
    while (at > 0 && this.#entries[at - 1].score < score) at -= 1
    this.#entries.splice(at, 0, { id, score })
    this.#entries.length = Math.min(this.#entries.length, this.#limit)
  }

  get ids() {
    return this.#entries.map(({ id }) => id)
  }
}

/** Ids of the nearest `limit` among the first `n` memories, for each of `queries`. Computed once a run, kept as a file. */
export function findTruth({ workload, shared, options }, n, queries, limit) {
  const file = join(shared, `truth-${n}-${options.dimensions}-${queries.length}-${limit}.json`)
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'))
  const best = queries.map(() => new Best(limit))
  for (let number = 0; number < n; number += 1) {
    const { id, embedding } = workload.memory(number)
    // All are of length 1, so the dot product orders as the cosine does.
    queries.forEach((query, i) => {
      best[i].show(id, dot(query, embedding))
    })
  }
  const truth = best.map(({ ids }) => ids)
  writeFileSync(file, JSON.stringify(truth))
  return truth
}

/** Share of the true nearest that `search` finds. */
export async function measureRecall(truth, queries, search) {
  let found = 0
  for (const [i, ids] of truth.entries()) {
    const hits = new Set(await search(queries[i], ids.length))
    found += ids.filter((id) => hits.has(id)).length
  }
  return found / truth.flat().length
}
