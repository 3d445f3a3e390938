// usearch's HNSW graph, half precision, saved and viewed from its file as its documentation recommends for serving.
//
// Its JavaScript sets the effort of a search only when an index is made, so each effort views the file anew.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import usearch from 'usearch'

export const name = 'usearch HNSW'
export const packageName = 'usearch'
export const settings = { flush: 'HNSW, connectivity 16, expansion_add 128, f16, viewed from a file' }

const batchSize = 10_000

export function open(path, { dimensions }) {
  mkdirSync(path, { recursive: true })
  const file = join(path, 'graph.usearch')
  const idsFile = join(path, 'ids.json')
  const ids = existsSync(idsFile) ? JSON.parse(readFileSync(idsFile, 'utf8')) : []
  let index = makeIndex(64)

  function makeIndex(expansion) {
    return new usearch.Index({
      dimensions,
      metric: usearch.MetricKind.Cos,
      quantization: usearch.ScalarKind.F16,
      connectivity: 16,
      expansion_add: 128,
      expansion_search: expansion,
      multi: false,
    })
  }

  function add(batch) {
    const floats = new Float32Array(batch.length * dimensions)
    batch.forEach(({ embedding }, i) => {
      floats.set(embedding, i * dimensions)
    })
    index.add(
      BigUint64Array.from(batch, (_, i) => BigInt(ids.length + i)),
      floats,
      0,
    )
    for (const { id } of batch) ids.push(id)
  }

  return {
    efforts: [16, 32, 64, 128, 256, 512, 1024, 2048],
    putMany(memories) {
      for (let at = 0; at < memories.length; at += batchSize) add(memories.slice(at, at + batchSize))
    },
    afterFill() {
      index.save(file)
      writeFileSync(idsFile, JSON.stringify(ids))
    },
    setEffort(expansion) {
      index = makeIndex(expansion)
      index.view(file)
    },
    search: (query, limit) =>
      Array.from(index.search(Float32Array.from(query), limit, 1).keys, (key) => ids[Number(key)]),
    searchMany(queries, limit) {
      const floats = new Float32Array(queries.length * dimensions)
      queries.forEach((query, i) => {
        floats.set(query, i * dimensions)
      })
      const { keys } = index.search(floats, limit, 1)
      return Array.from(keys, (key) => ids[Number(key)])
    },
    close() {},
  }
}
