// usearch's exactSearch over one matrix in memory: embeddings and nothing else.
//
// Trap: it ignores a typed array's byteOffset, so the matrix and the query begin their own buffers.

import usearch from 'usearch'

export const name = 'usearch'
export const packageName = 'usearch'
export const keepsNothing = true
export const settings = { process: 'exactSearch, cosine, float32, matrix in memory' }

/** A matrix of rows that grows by doubling, and its exact search. Rows are numbered from 0. */
export class ExactMatrix {
  #rows
  #count = 0
  #dimensions
  #threads

  constructor(dimensions, threads, capacity = 1024) {
    this.#dimensions = dimensions
    this.#threads = threads
    this.#rows = new Float32Array(capacity * dimensions)
  }

  add(embedding) {
    const at = this.#count * this.#dimensions
    if (at === this.#rows.length) {
      const grown = new Float32Array(this.#rows.length * 2)
      grown.set(this.#rows)
      this.#rows = grown
    }
    this.#rows.set(embedding, at)
    this.#count += 1
    return this.#count - 1
  }

  /** Numbers of the nearest rows, best first. */
  search(query, limit) {
    const used = this.#rows.subarray(0, this.#count * this.#dimensions)
    const own = query.byteOffset === 0 ? query : Float32Array.from(query)
    const { keys } = usearch.exactSearch(used, own, this.#dimensions, limit, usearch.MetricKind.Cos, this.#threads)
    return Array.from(keys, Number)
  }
}

export function open(_path, { dimensions, threads = 0, expected }) {
  const matrix = new ExactMatrix(dimensions, threads, expected)
  const ids = []
  return {
    putMany(memories) {
      for (const { id, embedding } of memories) {
        matrix.add(embedding)
        ids.push(id)
      }
    },
    search: (query, limit) => matrix.search(query, limit).map((row) => ids[row]),
    close() {},
  }
}
