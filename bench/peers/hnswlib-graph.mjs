// hnswlib's HNSW graph. It takes plain arrays only.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import hnswlib from 'hnswlib-node'

export const name = 'hnswlib HNSW'
export const packageName = 'hnswlib-node'
export const settings = { flush: 'HNSW, m 16, efConstruction 128, float32, read into memory from its file' }

export function open(path, { dimensions, expected }) {
  mkdirSync(path, { recursive: true })
  const file = join(path, 'graph.hnswlib')
  const idsFile = join(path, 'ids.json')
  const index = new hnswlib.HierarchicalNSW('cosine', dimensions)
  const ids = existsSync(idsFile) ? JSON.parse(readFileSync(idsFile, 'utf8')) : []
  if (existsSync(file)) index.readIndexSync(file)
  else index.initIndex({ maxElements: expected, m: 16, efConstruction: 128 })
  return {
    efforts: [16, 32, 64, 128, 256, 512, 1024, 2048],
    putMany(memories) {
      for (const { id, embedding } of memories) {
        index.addPoint(Array.from(embedding), ids.length)
        ids.push(id)
      }
    },
    afterFill() {
      index.writeIndexSync(file)
      writeFileSync(idsFile, JSON.stringify(ids))
    },
    setEffort: (ef) => index.setEf(ef),
    search: (query, limit) => index.searchKnn(Array.from(query), limit).neighbors.map((row) => ids[row]),
    close() {},
  }
}
