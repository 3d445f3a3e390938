// One of the two worker threads of the demo: embeds and writes new glosses, replaces, updates and deletes memories
// of its own, and checks everything it reads.
//
// Goal: no memory torn (parts of two writes in one), none lost. Method: every note says in its embedding, content and
// metadata which version it is, so that a mixture shows; glosses are compared with the data file bit for bit.

import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { createEmbedder } from './embedder.mjs'

const { directory, worker, control, fresh, glosses, embeddings, dimensions } = workerData
const embedBatch = 8
const roundsPerBatch = 200
const sharedNotes = 8 // written by both workers, so that writers meet
const ownNotes = 24

const store = open(directory)
const embed = await createEmbedder()
const totals = { embedded: 0, written: 0, updated: 0, deleted: 0, read: 0, torn: 0, lost: 0, wrong: [] }
const noteVersions = new Map() // own notes: id -> version, absent when deleted
let state = 1 + worker

function randomBelow(bound) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * bound)
}

function makeNote(id, version) {
  return {
    id,
    embedding: new Float32Array(dimensions).fill(version),
    content: `note version ${version} `.repeat(1 + (version % 40)),
    metadata: { kind: 'note', version, worker },
  }
}

function fault(kind, text) {
  totals[kind]++
  if (totals.wrong.length < 5) totals.wrong.push(`${kind}: ${text}`)
}

function checkNote(id, note) {
  const { version } = note.metadata
  if (!Number.isInteger(version)) return fault('torn', `${id} without a version`)
  if (note.content !== makeNote(id, version).content) fault('torn', `${id}: content is not of version ${version}`)
  if (note.embedding.some((value) => value !== version)) fault('torn', `${id}: embedding is not of version ${version}`)
}

function writeNotes(version) {
  const own = `note-${worker}-${randomBelow(ownNotes)}`
  store.put(makeNote(own, version))
  noteVersions.set(own, version)
  store.put(makeNote(`note-shared-${randomBelow(sharedNotes)}`, version))
  totals.written += 2
  if (version % 5 === 0 && store.update(own, { confidence: 0.5, metadata: { kind: 'note', version, worker } })) {
    totals.updated++
  }
  if (version % 7 === 0) {
    if (!store.delete(own)) fault('lost', `${own} was not there to delete`)
    noteVersions.delete(own)
    totals.deleted++
  }
}

function readNotes() {
  const own = `note-${worker}-${randomBelow(ownNotes)}`
  const mine = store.get(own)
  totals.read++
  if (mine?.metadata.version !== noteVersions.get(own)) fault('lost', `${own}: not the version last written`)
  if (mine !== undefined) checkNote(own, mine)
  for (const id of [`note-${1 - worker}-${randomBelow(ownNotes)}`, `note-shared-${randomBelow(sharedNotes)}`]) {
    const note = store.get(id)
    totals.read++
    if (note !== undefined) checkNote(id, note)
  }
}

function readGloss() {
  const row = randomBelow(glosses.length)
  const memory = store.get(glosses[row].id)
  totals.read++
  if (memory === undefined) return fault('lost', glosses[row].id)
  const { lemma, gloss } = glosses[row]
  if (memory.content !== `${lemma}: ${gloss}` || memory.metadata.lemma !== lemma) fault('torn', glosses[row].id)
  const start = row * dimensions
  if (memory.embedding.some((value, index) => value !== embeddings[start + index])) fault('torn', glosses[row].id)
}

function readAndWrite(round) {
  writeNotes(round)
  readNotes()
  readGloss()
}

async function writeFresh(batch) {
  const made = await embed(batch.map(({ lemma, gloss }) => `${lemma}: ${gloss}`))
  batch.forEach(({ id, lemma, partOfSpeech, gloss }, index) => {
    store.put({ id, embedding: made[index], content: `${lemma}: ${gloss}`, metadata: { lemma, partOfSpeech, worker } })
    totals.written++
    totals.embedded++
    const back = store.get(id)
    totals.read++
    if (back === undefined) fault('lost', id)
    else if (back.embedding.some((value, at) => value !== made[index][at])) fault('torn', id)
    parentPort.postMessage({ written: id })
  })
}

// What an earlier run left in a folder given by name is not of this run's versions.
for (let index = 0; index < ownNotes; index++) store.delete(`note-${worker}-${index}`)
parentPort.postMessage({ ready: true })
Atomics.wait(control, 0, 0) // the barrier: both workers start together
const startedAt = performance.now()
let round = 0
// Goes on until the main thread has asked everything and all fresh glosses are written.
for (let next = 0; Atomics.load(control, 0) === 1 || next < fresh.length; ) {
  for (let count = 0; count < roundsPerBatch; count++) readAndWrite(++round)
  const batch = fresh.slice(next, next + embedBatch)
  next += batch.length
  if (batch.length > 0) await writeFresh(batch)
  else await new Promise(setImmediate)
}
const milliseconds = performance.now() - startedAt
store.close()
parentPort.postMessage({ done: { ...totals, milliseconds, notes: [...noteVersions] } })
