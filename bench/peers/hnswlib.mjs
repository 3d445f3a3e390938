// hnswlib-node: BruteforceSearch for exact search, HierarchicalNSW for approximate. It takes plain arrays only.

import hnswlib from 'hnswlib-node'

export const name = 'hnswlib'
export const packageName = 'hnswlib-node'
export const keepsNothing = true
export const settings = { process: 'BruteforceSearch, cosine, one thread' }

export function open(_path, { dimensions, expected }) {
  const index = new hnswlib.BruteforceSearch('cosine', dimensions)
  index.initIndex(expected)
  const ids = []
  return {
    putMany(memories) {
      for (const { id, embedding } of memories) {
        index.addPoint(Array.from(embedding), ids.length)
        ids.push(id)
      }
    },
    search: (query, limit) => index.searchKnn(Array.from(query), limit).neighbors.map((row) => ids[row]),
    close() {},
  }
}
