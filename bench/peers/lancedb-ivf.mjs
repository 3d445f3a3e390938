// LanceDB's IVF_PQ index over the embeddings of lancedb.mjs's table. An effort is how many partitions are looked through,
// and how many times the hits asked for are scored by their full embeddings.

import { Index } from '@lancedb/lancedb'
import { findNearest, open as openTable } from './lancedb.mjs'

export const name = 'lancedb IVF_PQ'
export const packageName = '@lancedb/lancedb'
export const settings = { flush: 'partitions and sub-vectors by its own defaults, cosine; nprobes/refineFactor tuned' }

const efforts = ['4/5', '16/20', '64/50', '256/200']

export async function open(path, options) {
  const { table, putMany, close } = await openTable(path, options)
  let shape
  const setEffort = (effort) => {
    const [nprobes, refineFactor] = effort.split('/').map(Number)
    shape = (search) => search.nprobes(nprobes).refineFactor(refineFactor)
  }
  setEffort(efforts[0])
  return {
    efforts,
    setEffort,
    putMany,
    afterFill: () => table.createIndex('embedding', { config: Index.ivfPq({ distanceType: 'cosine' }) }),
    search: (query, limit) => findNearest(table, query, limit, shape),
    close,
  }
}
