// The pair that an application would build by hand: lmdb holds the memories, a usearch matrix their embeddings.
//
// The matrix lives in memory and has to be filled again at every opening; that is not counted against the pair.

import { open as openRows } from './lmdb.mjs'
import { ExactMatrix } from './usearch.mjs'

export const name = 'lmdb + usearch'
export const packageName = 'usearch'
export const settings = { flush: 'lmdb as above; usearch exactSearch beside it, in memory' }

export function open(path, options) {
  const rows = openRows(path, options)
  const matrix = new ExactMatrix(options.dimensions, 0, options.expected)
  const ids = []
  const note = ({ id, embedding }) => {
    matrix.add(embedding)
    ids.push(id)
  }
  return {
    ...rows,
    /** What the pair has to do at every opening. */
    attach: () => rows.readAll(note),
    put(memory) {
      note(memory)
      return rows.put(memory)
    },
    searchAndRead: (query, limit) => matrix.search(query, limit).map((row) => rows.get(ids[row])),
  }
}
