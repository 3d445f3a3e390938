// better-sqlite3 as its documentation recommends: WAL, prepared statements, many writes in one transaction.
//
// One table, embedding as BLOB, metadata as JSON text. A read makes the Buffer of a BLOB anew, so a view over it is
// a copy already.

import { existsSync } from 'node:fs'
import Database from 'better-sqlite3'

export const name = 'better-sqlite3'
export const packageName = 'better-sqlite3'
export const settings = {
  process: 'WAL, synchronous=OFF, pages of 8 KiB, mmap, prepared statements, one transaction for many',
  flush: 'synchronous=NORMAL for writes, a commit with synchronous=FULL as flush',
  each: 'synchronous=FULL',
}

/** Pages of 8 KiB: measured faster here than 4 and 16 for rows of 2 KB. */
const schema = `PRAGMA page_size = 8192; PRAGMA journal_mode = WAL;
  CREATE TABLE memories (id TEXT PRIMARY KEY, embedding BLOB, content TEXT, metadata TEXT, confidence REAL, created_at INTEGER);
  CREATE TABLE flushes (id INTEGER PRIMARY KEY, count INTEGER);
  INSERT INTO flushes VALUES (1, 0)`
const levels = { process: 'OFF', flush: 'NORMAL', each: 'FULL' }
const columns = 'id, embedding, content, metadata, confidence, created_at'

function decode({ id, embedding, content, metadata, confidence, created_at }) {
  const floats = new Float32Array(embedding.buffer, embedding.byteOffset, embedding.byteLength / 4)
  return { id, embedding: floats, content, metadata: JSON.parse(metadata), confidence, createdAt: created_at }
}

export function open(path, { durability }) {
  const created = !existsSync(path)
  const database = new Database(path)
  if (created) database.exec(schema)
  database.pragma(`synchronous = ${levels[durability]}`)
  database.pragma('mmap_size = 17179869184')
  database.pragma('busy_timeout = 10000')
  const insert = database.prepare(`INSERT OR REPLACE INTO memories (${columns}) VALUES (?, ?, ?, ?, ?, ?)`)
  const select = database.prepare(`SELECT ${columns} FROM memories WHERE id = ?`)
  const selectAll = database.prepare(`SELECT ${columns} FROM memories`)
  const change = database.prepare('UPDATE memories SET content = ? WHERE id = ?')
  const touchFlush = database.prepare('UPDATE flushes SET count = count + 1 WHERE id = 1')
  const put = ({ id, embedding, content, metadata, confidence, createdAt }) => {
    const bytes = Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength)
    insert.run(id, bytes, content, JSON.stringify(metadata), confidence, createdAt)
  }
  const putMany = database.transaction((memories) => {
    for (const memory of memories) put(memory)
  })
  return {
    database,
    putMany: (memories) => putMany(memories),
    put,
    /** A commit with synchronous=FULL syncs the log before it returns. */
    putDurable: put,
    get: (id) => decode(select.get(id)),
    readAll(visit) {
      for (const row of selectAll.iterate()) visit(decode(row))
    },
    update: (id, content) => void change.run(content, id),
    // A commit with synchronous=FULL syncs the whole log, earlier commits included.
    flush() {
      database.pragma('synchronous = FULL')
      touchFlush.run()
      database.pragma('synchronous = NORMAL')
    },
    close: () => database.close(),
  }
}
