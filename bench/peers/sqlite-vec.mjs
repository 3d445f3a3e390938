// better-sqlite3 with sqlite-vec in one database: the rows of better-sqlite3's module and a vec0 table beside them.
//
// vec0 has integer keys: the rowid of the row in `memories` is the key of its embedding.

import { load } from 'sqlite-vec'
import { open as openRows } from './better-sqlite3.mjs'

export const name = 'sqlite-vec'
export const packageName = 'sqlite-vec'
export const settings = {
  process: 'better-sqlite3 as above; vec0 table with distance_metric=cosine, kept in step in the same transaction',
  flush: 'as better-sqlite3',
}

export function open(path, options) {
  const rows = openRows(path, options)
  const { database } = rows
  load(database)
  database.exec(`CREATE VIRTUAL TABLE IF NOT EXISTS embeddings
                 USING vec0(embedding float[${options.dimensions}] distance_metric=cosine)`)
  const rowOf = database.prepare('SELECT rowid FROM memories WHERE id = ?').pluck()
  const idOf = database.prepare('SELECT id FROM memories WHERE rowid = ?').pluck()
  const insert = database.prepare('INSERT INTO embeddings (rowid, embedding) VALUES (?, ?)')
  const nearest = database.prepare('SELECT rowid FROM embeddings WHERE embedding MATCH ? AND k = ?').pluck()
  const putBoth = (memory) => {
    const { embedding } = memory
    rows.put(memory)
    // vec0 takes keys as BigInt only: a JavaScript number is bound as a float.
    insert.run(BigInt(rowOf.get(memory.id)), Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength))
  }
  const putMany = database.transaction((memories) => {
    for (const memory of memories) putBoth(memory)
  })
  const put = database.transaction(putBoth)
  const search = (query, limit) =>
    nearest.all(Buffer.from(query.buffer, query.byteOffset, query.byteLength), limit).map((row) => idOf.get(row))
  return {
    ...rows,
    putMany: (memories) => putMany(memories),
    put: (memory) => put(memory),
    search,
    searchAndRead: (query, limit) => search(query, limit).map(rows.get),
  }
}
