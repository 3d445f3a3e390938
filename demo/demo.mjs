// The demo: real sentences in one store, shared by three threads, asked in plain English.
//
//   node demo/demo.mjs [folder]
//
// Public API only. Prints what it does with times; exit 1 when an answer is of the wrong kind or a memory is torn or lost.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { open } from 'thermocline'
import { createEmbedder } from './embedder.mjs'
import { decodeFloat16Array } from './float16.mjs'
import { createProgress } from './progress.mjs'
import { questions } from './questions.mjs'

const dimensions = 512
const workers = 2
const workMsMin = 3000 // the workers go on at least this long, however fast the questions are answered

const startedAt = performance.now()
const failures = []

function fail(text) {
  failures.push(text)
  console.log(`  FAILED: ${text}`)
}

function milliseconds(since) {
  const elapsed = performance.now() - since
  return elapsed < 10 ? `${elapsed.toFixed(2)} ms` : `${elapsed.toFixed(0)} ms`
}

function readLines(name) {
  const text = readFileSync(new URL(name, import.meta.url), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

// In shared memory, so that the workers compare with it without a copy each.
function readEmbeddings() {
  const decoded = decodeFloat16Array(readFileSync(new URL(`embeddings-${dimensions}.f16`, import.meta.url)))
  const shared = new Float32Array(new SharedArrayBuffer(decoded.byteLength))
  shared.set(decoded)
  return shared
}

function* toMemories(glosses, embeddings, progress) {
  for (const [row, { id, lemma, partOfSpeech, gloss }] of glosses.entries()) {
    const embedding = embeddings.slice(row * dimensions, (row + 1) * dimensions)
    yield { id, embedding, content: `${lemma}: ${gloss}`, metadata: { lemma, partOfSpeech } }
    progress(row + 1)
  }
}

async function importGlosses(directory, glosses, embeddings) {
  const openedAt = performance.now()
  const store = open(directory, { dimensions })
  console.log(`opened a store of ${dimensions} dimensions in ${milliseconds(openedAt)}`)
  const importedAt = performance.now()
  const { count } = store.putMany(toMemories(glosses, embeddings, createProgress('import', glosses.length)))
  console.log(`imported ${count.toLocaleString('en')} memories in ${milliseconds(importedAt)}`)
  const flushedAt = performance.now()
  await store.flush()
  console.log(`flushed in ${milliseconds(flushedAt)}: they survive a power cut`)
  store.close()
}

function reopen(directory, glosses) {
  const reopenedAt = performance.now()
  const store = open(directory)
  const first = store.get(glosses[0].id)
  console.log(`closed; reopened and read the first memory in ${milliseconds(reopenedAt)}, ${store.size} memories`)
  if (first?.content !== `${glosses[0].lemma}: ${glosses[0].gloss}`) fail('the first memory is not what was imported')
  return store
}

/** A worker thread with promises for its stages: `ready`, `written(id)`, `done`. */
function startWorker(data) {
  const worker = new Worker(new URL('worker.mjs', import.meta.url), { workerData: data })
  const written = new Set()
  const waiting = new Map()
  const stages = {}
  stages.written = (id) =>
    written.has(id)
      ? Promise.resolve()
      : Promise.race([stages.done, new Promise((resolve) => waiting.set(id, resolve))])
  stages.ready = new Promise((resolveReady, rejectReady) => {
    stages.done = new Promise((resolveDone, rejectDone) => {
      worker.on('message', (message) => {
        if (message.ready) resolveReady()
        if (message.done) resolveDone(message.done)
        if (message.written) {
          written.add(message.written)
          waiting.get(message.written)?.()
        }
      })
      worker.on('error', (error) => {
        rejectReady(error)
        rejectDone(error)
      })
    })
  })
  stages.done.catch(() => {}) // reported where it is awaited
  return stages
}

async function ask(store, embed, { text, expected, fresh }) {
  const embeddedAt = performance.now()
  const [query] = await embed([text])
  const embedTime = milliseconds(embeddedAt)
  const searchedAt = performance.now()
  const hits = await store.search(query, { limit: 3 })
  console.log(`\n"${text}" (embedded in ${embedTime}, searched ${store.size} memories in ${milliseconds(searchedAt)})`)
  for (const { memory, score } of hits) {
    const origin = memory.metadata.worker === undefined ? '' : ` [just written by worker ${memory.metadata.worker}]`
    console.log(`  ${score.toFixed(3)}  ${(memory.content ?? '').slice(0, 90)}${origin}`)
  }
  const top = hits[0]?.memory.metadata
  if (!expected.includes(top?.lemma)) fail(`"${text}": expected ${expected.join(' or ')}, found ${top?.lemma}`)
  else if (fresh && top.worker === undefined) fail(`"${text}": the memory on top was not written by a worker`)
}

function deal(list) {
  return Array.from({ length: workers }, (_, worker) => list.filter((_, index) => index % workers === worker))
}

async function askWhileWorkersWrite(store, directory, glosses, embeddings, fresh) {
  const control = new Int32Array(new SharedArrayBuffer(4))
  const shares = deal(fresh)
  const threads = shares.map((share, worker) =>
    startWorker({ directory, worker, control, fresh: share, glosses, embeddings, dimensions }),
  )
  try {
    const embed = await createEmbedder()
    await Promise.all(threads.map(({ ready }) => ready))
    console.log(
      `\n${workers} worker threads opened the same directory; they write, update, delete and read from now on`,
    )
    const begunAt = performance.now()
    Atomics.store(control, 0, 1)
    Atomics.notify(control, 0)
    for (const question of questions) {
      if (question.fresh) {
        const { id } = fresh.find(({ lemma }) => question.expected.includes(lemma))
        await Promise.race(
          threads
            .filter((_, worker) => shares[worker].some((gloss) => gloss.id === id))
            .map((thread) => thread.written(id)),
        )
      }
      await ask(store, embed, question)
    }
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, workMsMin - (performance.now() - begunAt))))
  } finally {
    Atomics.store(control, 0, 2) // also lets go a worker that waits at the barrier while the other failed
    Atomics.notify(control, 0)
  }
  return Promise.all(threads.map(({ done }) => done))
}

/** Compares what is in the store with what the workers say they left there. */
function checkEnd(store, reports, glosses, fresh) {
  const notes = new Map(reports.flatMap((report) => report.notes))
  let lost = 0
  for (const { id, lemma, gloss } of [...glosses, ...fresh]) {
    if (store.get(id)?.content !== `${lemma}: ${gloss}`) lost++
  }
  for (const [id, version] of notes) if (store.get(id)?.metadata.version !== version) lost++
  let shared = 0
  let listed = 0
  for (const { id } of store.entries()) {
    listed++
    if (id.startsWith('note-shared-')) shared++
    else if (id.startsWith('note-') && !notes.has(id)) fail(`${id} was deleted, yet it is there`)
  }
  const wanted = glosses.length + fresh.length + notes.size + shared
  if (listed !== wanted || store.size !== wanted) {
    fail(`${listed} memories listed, size ${store.size}, expected ${wanted}`)
  }
  return lost
}

function printTotals(store, reports, lostAtEnd) {
  const sum = (key) => reports.reduce((total, report) => total + report[key], 0)
  const seconds = Math.max(...reports.map((report) => report.milliseconds)) / 1000
  const [written, updated, deleted, read] = ['written', 'updated', 'deleted', 'read'].map(sum)
  const torn = sum('torn')
  const lost = sum('lost') + lostAtEnd
  console.log(`\nthe workers, in ${seconds.toFixed(1)} s:`)
  console.log(`  embedded ${sum('embedded')} new glosses live, one by one searchable when put returned`)
  console.log(`  memories written ${written}, updated ${updated}, deleted ${deleted}, read and checked ${read}`)
  console.log(`  torn ${torn}, lost ${lost}`)
  for (const text of reports.flatMap((report) => report.wrong)) console.log(`  ${text}`)
  if (torn + lost > 0) fail(`${torn} memories torn, ${lost} lost`)
  const { segments, bytes } = store.stats()
  console.log(`the store: ${store.size} memories in ${segments} segments, ${(bytes.total / 2 ** 20).toFixed(1)} MiB`)
}

async function runDemo(directory) {
  const glosses = readLines('glosses.jsonl')
  const fresh = readLines('fresh-glosses.jsonl')
  const embeddings = readEmbeddings()
  await importGlosses(directory, glosses, embeddings)
  const store = reopen(directory, glosses)
  try {
    const reports = await askWhileWorkersWrite(store, directory, glosses, embeddings, fresh)
    const lostAtEnd = checkEnd(store, reports, glosses, fresh)
    printTotals(store, reports, lostAtEnd)
    const verifiedAt = performance.now()
    const { ok, memories, problems } = await store.verify()
    console.log(
      `verified ${memories} memories in ${milliseconds(verifiedAt)}: ${ok ? 'sound' : `${problems.length} problems`}`,
    )
    if (!ok) fail('verify found problems')
  } finally {
    store.close()
  }
}

const given = process.argv[2]
const directory = given ?? mkdtempSync(join(tmpdir(), 'thermocline-demo-'))
console.log(`store: ${directory}`)
try {
  await runDemo(directory)
} finally {
  if (given === undefined) rmSync(directory, { recursive: true, force: true })
}
console.log(
  `\ndone in ${((performance.now() - startedAt) / 1000).toFixed(1)} s${failures.length === 0 ? '' : ', with failures:'}`,
)
for (const text of failures) console.log(`  FAILED: ${text}`)
process.exitCode = failures.length === 0 ? 0 : 1
