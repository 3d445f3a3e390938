// Makes the data files of the demo from WordNet: glosses as JSON lines, their embeddings as float16.
//
// Run by hand (`node scripts/make-demo-data.mjs`, about a minute); the output is committed. Embeddings made
// before are kept under .cache/, so that a run which was stopped goes on.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createEmbedder } from '../demo/embedder.mjs'
import { encodeFloat16 } from '../demo/float16.mjs'
import { createProgress } from '../demo/progress.mjs'
import { findWordnet, pickGlosses } from './wordnet.mjs'

const storedCount = 2400 // with embeddings in the data file
const freshCount = 240 // the demo embeds these itself, while it runs
const dimensions = 512
const batchSize = 32

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const demo = join(root, 'demo')
const cacheFile = join(root, '.cache', `demo-embeddings-${dimensions}.json`)

function readCache() {
  return new Map(existsSync(cacheFile) ? Object.entries(JSON.parse(readFileSync(cacheFile, 'utf8'))) : [])
}

async function embedAll(texts) {
  const cache = readCache()
  const missing = texts.filter((text) => !cache.has(text))
  const embed = await createEmbedder()
  const progress = createProgress('embed', missing.length)
  for (let start = 0; start < missing.length; start += batchSize) {
    const batch = missing.slice(start, start + batchSize)
    const embeddings = await embed(batch)
    batch.forEach((text, index) => {
      cache.set(text, Buffer.from(embeddings[index].buffer).toString('base64'))
    })
    progress(start + batch.length)
    if (start % (batchSize * 16) === 0) writeFileSync(cacheFile, JSON.stringify(Object.fromEntries(cache)))
  }
  writeFileSync(cacheFile, JSON.stringify(Object.fromEntries(cache)))
  return texts.map((text) => {
    const bytes = Buffer.from(cache.get(text), 'base64')
    return new Float32Array(bytes.buffer, bytes.byteOffset, dimensions).slice()
  })
}

function toLines(values) {
  return values.map((value) => `${JSON.stringify(value)}\n`).join('')
}

mkdirSync(dirname(cacheFile), { recursive: true })
const glosses = pickGlosses(storedCount + freshCount)
// Every eleventh is kept back, so that the fresh ones are of the same kinds as the stored.
const every = (storedCount + freshCount) / freshCount
const fresh = glosses.filter((_, index) => index % every === every - 1)
const stored = glosses.filter((_, index) => index % every !== every - 1)
const embeddings = await embedAll(stored.map(({ lemma, gloss }) => `${lemma}: ${gloss}`))
const halves = Buffer.alloc(stored.length * dimensions * 2)
embeddings.forEach((embedding, row) => {
  embedding.forEach((value, column) => {
    halves.writeUInt16LE(encodeFloat16(value), (row * dimensions + column) * 2)
  })
})
writeFileSync(join(demo, 'glosses.jsonl'), toLines(stored))
writeFileSync(join(demo, 'fresh-glosses.jsonl'), toLines(fresh))
writeFileSync(join(demo, `embeddings-${dimensions}.f16`), halves)
copyFileSync(findWordnet().licence, join(demo, 'LICENSE.wordnet'))
console.log(`${stored.length} glosses with embeddings, ${fresh.length} to be embedded by the demo`)
