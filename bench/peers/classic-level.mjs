// classic-level: one batch for many, a value encoding of its own, synchronous gets.

import { ClassicLevel } from 'classic-level'
import { Packr } from 'msgpackr'

export const name = 'classic-level'
export const packageName = 'classic-level'
export const settings = {
  process: 'batch of 1,000 for many, msgpack values, getSync, no compression, 64 MiB write buffer, 512 MiB cache',
  each: 'put with sync',
}

const batchSize = 1000
const mebibyte = 1024 * 1024

/** The shapes of our workload, known beforehand as an application would know them: the fastest that msgpackr has. */
const structures = [
  ['embedding', 'content', 'metadata', 'confidence', 'createdAt'],
  ['source', 'turn', 'pinned'],
]

function makeEncoding() {
  const packr = new Packr({ structures })
  return {
    name: 'memory',
    format: 'buffer',
    encode({ embedding, content, metadata, confidence, createdAt }) {
      const bytes = Buffer.from(embedding.buffer, embedding.byteOffset, embedding.byteLength)
      return packr.pack({ embedding: bytes, content, metadata, confidence, createdAt })
    },
    decode(bytes) {
      const value = packr.unpack(bytes)
      value.embedding = new Float32Array(
        value.embedding.buffer,
        value.embedding.byteOffset,
        value.embedding.byteLength / 4,
      )
      return value
    },
  }
}

export async function open(path, { multithreading = false } = {}) {
  const level = new ClassicLevel(path, { keyEncoding: 'utf8', valueEncoding: makeEncoding() })
  await level.open({ multithreading, compression: false, writeBufferSize: 64 * mebibyte, cacheSize: 512 * mebibyte })
  const get = (id) => {
    const memory = level.getSync(id)
    memory.id = id
    return memory
  }
  return {
    level,
    async putMany(memories) {
      let batch = []
      for (const memory of memories) {
        batch.push({ type: 'put', key: memory.id, value: memory })
        if (batch.length < batchSize) continue
        await level.batch(batch)
        batch = []
      }
      if (batch.length > 0) await level.batch(batch)
    },
    put: (memory) => level.put(memory.id, memory),
    putDurable: (memory) => level.put(memory.id, memory, { sync: true }),
    get,
    async readAll(visit) {
      const iterator = level.iterator()
      for (
        let entries = await iterator.nextv(batchSize);
        entries.length > 0;
        entries = await iterator.nextv(batchSize)
      ) {
        for (const [id, memory] of entries) {
          memory.id = id
          visit(memory)
        }
      }
      await iterator.close()
    },
    flush() {},
    close: () => level.close(),
  }
}
