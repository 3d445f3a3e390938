import { rmSync } from 'node:fs'
import { open } from 'lmdb'
import { makeMemories } from '/work/main/bench/workload.mjs'

const n = 100000
const ms = makeMemories(n, 384)
const out = []
for (let r = 0; r < 5; r++) {
  const db = open({ path: '/tmp/h/lm-store', mapSize: 4e9, noSync: true, encoding: 'msgpack' })
  const t = performance.now()
  db.transactionSync(() => {
    for (const m of ms)
      db.put(m.id, {
        e: Buffer.from(m.embedding.buffer, m.embedding.byteOffset, m.embedding.byteLength),
        content: m.content,
        metadata: m.metadata,
        confidence: 1,
        createdAt: m.createdAt,
      })
  })
  out.push(((performance.now() - t) * 1000) / n)
  if (r === 4) {
    let best = 1e9
    for (let k = 0; k < 4; k++) {
      const t = performance.now()
      for (const m of ms) {
        const v = db.get(m.id)
        const _f = new Float32Array(v.e.buffer.slice(v.e.byteOffset, v.e.byteOffset + v.e.byteLength))
      }
      best = Math.min(best, performance.now() - t)
    }
    console.log('get us', ((best * 1000) / n).toFixed(2))
  }
  await db.close()
  rmSync('/tmp/h/lm-store', { recursive: true })
}
console.log('put us', out.map((x) => x.toFixed(2)).join(' '))
