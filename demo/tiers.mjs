// The demo of the tiers: a day of an agent's memories, real glosses, watched moving between hot, warm and cold.
//
//   npm run demo -- tiers [folder]
//
// Public API only. The past is written with times of the past, so that nothing has to wait. Exit 1 when a memory is lost.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTiered } from 'thermocline'
import { decodeFloat16Array } from './float16.mjs'

const dimensions = 512
const dayMs = 86_400_000
const hourMs = 3_600_000
const given = process.argv[2]
const directory = given ?? mkdtempSync(join(tmpdir(), 'thermocline-tiers-'))
const read = (name) => readFileSync(new URL(name, import.meta.url))
const glosses = read('glosses.jsonl')
  .toString()
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line))
const embeddings = decodeFloat16Array(read(`embeddings-${dimensions}.f16`))
const embeddingOf = (row) => embeddings.slice(row * dimensions, (row + 1) * dimensions)

/** Memories of the last twelve weeks, the oldest first; every tenth is of today. */
function* toMemories() {
  const now = Date.now()
  for (const [row, { id, lemma, gloss }] of glosses.entries()) {
    const ageMs = row % 10 === 0 ? (row % 24) * hourMs : dayMs * 84 * (1 - row / glosses.length)
    yield {
      id,
      embedding: embeddingOf(row),
      content: `${lemma}: ${gloss}`,
      metadata: { lemma },
      createdAt: now - ageMs,
    }
  }
}

function show(store, what) {
  const { hot, warm, cold } = store.stats().tiers
  const kilobytes = (bytes) => `${Math.round(bytes / 1024)} KiB`
  console.log(
    `${what}\n  hot ${hot.memories} (${kilobytes(hot.bytes)} decoded), warm ${warm.memories}, ` +
      `cold ${cold.memories} in ${cold.segments} files (${kilobytes(cold.bytes)}), together ${store.size}`,
  )
}

const store = openTiered(directory, { dimensions, mover: false, hot: { bytes: 1024 * 1024 } })
store.on('evicted', () => {
  evictions += 1
})
let evictions = 0
try {
  store.putMany(toMemories())
  show(store, `Morning: ${glosses.length} memories of twelve weeks, as they came. All are warm.`)

  for (const memory of store.entries({ where: { createdAt: { gt: Date.now() - dayMs } } })) store.get(memory.id)
  show(store, `What is of today was read. It stays decoded within 1 MiB; ${evictions} made room for others.`)

  const { demoted } = await store.maintain()
  show(
    store,
    `Noon: the mover applied the policy. ${demoted} memories had faded (below 0.3, or idle for a week): cold.`,
  )

  const faded = glosses.findIndex(({ id }) => store.tierOf(id) === 'cold')
  const cue = { embedding: embeddingOf(faded), limit: 3 }
  console.log(`Asked for what is like "${glosses[faded].lemma}":`)
  for (const { memory, score, tier } of await store.recall(cue)) {
    console.log(`  ${score.toFixed(3)} from ${tier}: ${memory.content.slice(0, 80)}`)
  }
  show(store, 'Recalling brought what it found in cold back to warm, and raised its activation.')

  const { forgotten } = await store.forget({ olderThanMs: 70 * dayMs })
  show(store, `Evening: ${forgotten.length} memories older than ten weeks are forgotten, most of them from cold.`)

  const { rewritten, bytesRemoved } = await store.maintain({ compactCold: true })
  show(
    store,
    `Night: ${rewritten} cold memories were written anew; ${Math.round(bytesRemoved / 1024)} KiB of old files are gone.`,
  )

  const { ok, memories } = await store.verify()
  if (!ok || memories !== glosses.length - forgotten.length) throw new Error('memories were lost')
  console.log(`Checked: ${memories} memories, each in one place, every checksum right.`)
} finally {
  store.close()
  if (given === undefined) rmSync(directory, { recursive: true, force: true })
}
