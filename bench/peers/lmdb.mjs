// lmdb-js as its README recommends: msgpack records with shared structures, the embedding as binary inside, bulk
// writes in one synchronous transaction (measured faster than queued puts here), reads by get.
//
// Trap: getBinaryFast returns a buffer that the next get overwrites, so reads here are the copying ones.

import { open as openEnvironment } from 'lmdb'

export const name = 'lmdb'
export const packageName = 'lmdb'
export const settings = {
  process: 'noSync, noMemInit, pages of 8 KiB, shared structures; transactionSync for many, putSync for one',
  flush: 'the same without noSync; put, then flushed',
  each: 'put and await flushed',
}

function encode({ embedding, content, metadata, confidence, createdAt }) {
  const bytes = Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength)
  return { embedding: bytes, content, metadata, confidence, createdAt }
}

/** msgpackr's copy of the bytes starts a buffer of its own, so a view over it is a copy already. */
function decode(id, { embedding, content, metadata, confidence, createdAt }) {
  const floats = new Float32Array(embedding.buffer, embedding.byteOffset, embedding.byteLength / 4)
  return { id, embedding: floats, content, metadata, confidence, createdAt }
}

export function open(path, { durability }) {
  const synced = durability !== 'process'
  const environment = openEnvironment(path, {
    noSync: !synced,
    sharedStructuresKey: Symbol.for('structures'),
    noMemInit: true,
    // Three memories of 384 floats a page; with the default of 4,096 each takes a page of its own and more.
    pageSize: 8192,
  })
  const putQueued = (memory) => environment.put(memory.id, encode(memory))
  const get = (id) => decode(id, environment.get(id))
  return {
    environment,
    putMany(memories) {
      environment.transactionSync(() => {
        for (const memory of memories) environment.put(memory.id, encode(memory))
      })
    },
    // One put that is waited for is fastest as a transaction of its own; many in flight, as the README says, queued.
    put: synced ? putQueued : (memory) => void environment.putSync(memory.id, encode(memory)),
    putQueued,
    async putDurable(memory) {
      await putQueued(memory)
      await environment.flushed
    },
    get,
    readAll(visit) {
      for (const { key, value } of environment.getRange()) visit(decode(key, value))
    },
    update(id, content) {
      const value = environment.get(id)
      value.content = content
      return synced ? environment.put(id, value) : void environment.putSync(id, value)
    },
    flush: () => environment.flushed,
    close: () => environment.close(),
  }
}
