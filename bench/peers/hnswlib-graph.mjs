// hnswlib's HNSW graph. It takes plain arrays only.

import hnswlib from 'hnswlib-node'

export const name = 'hnswlib HNSW'
export const packageName = 'hnswlib-node'
export const keepsNothing = true
export const settings = { process: 'HNSW, m 16, efConstruction 128, float32, in memory' }

export function open(_path, { dimensions, expected }) {
  const index = new hnswlib.HierarchicalNSW('cosine', dimensions)
  index.initIndex({ maxElements: expected, m: 16, efConstruction: 128 })
  const ids = []
  return {
    efforts: [16, 32, 64, 128, 256, 512],
    putMany(memories) {
      for (const { id, embedding } of memories) {
        index.addPoint(Array.from(embedding), ids.length)
        ids.push(id)
      }
    },
    setEffort: (ef) => index.setEf(ef),
    search: (query, limit) => index.searchKnn(Array.from(query), limit).neighbors.map((row) => ids[row]),
    close() {},
  }
}
