// What a row is given: its subject, the workload, and stores that hold it.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findVersion } from './peers/index.mjs'
import { openWorkload, streamMemories } from './workload.mjs'

const fillBatch = 20_000
const verifiedMemories = 100
const keptFolder = fileURLToPath(new URL('./.cache/kept', import.meta.url))
const addon = fileURLToPath(new URL('../build/Release/thermocline.node', import.meta.url))

/**
 * Writes the first `n` memories in batches, so that nobody needs them all in memory or in one transaction. Resolves
 * with the seconds that the subject took, its indexes included.
 */
async function fillOpened(opened, workload, n) {
  let milliseconds = 0
  const time = async (run) => {
    const begin = performance.now()
    await run()
    milliseconds += performance.now() - begin
  }
  for (let begin = 0; begin < n; begin += fillBatch) {
    const batch = [...streamMemories(workload, begin, Math.min(n, begin + fillBatch))]
    await time(() => opened.putMany(batch))
  }
  await time(() => opened.afterFill?.())
  return milliseconds / 1000
}

/** Fails where a subject gives back anything but the workload: nobody may win by losing bytes. */
async function verify(name, opened, workload, n) {
  for (let i = 0; i < verifiedMemories; i += 1) {
    const expected = workload.memory(Math.floor((i * n) / verifiedMemories))
    const found = await opened.get(expected.id)
    const differing = ['id', 'content', 'confidence', 'createdAt'].filter((key) => found[key] !== expected[key])
    if (JSON.stringify(found.metadata) !== JSON.stringify(expected.metadata)) differing.push('metadata')
    if (!expected.embedding.every((value, d) => value === found.embedding[d])) differing.push('embedding')
    if (differing.length > 0) throw new Error(`${name}: ${expected.id} has another ${differing.join(', ')}`)
  }
}

/** What a kept store depends on besides its size: ours on the build, a peer's on its version. */
function stampOf(subject) {
  // Without dots: a path that has one is a file to lmdb.
  if (!subject.startsWith('thermocline')) return findVersion(subject).replaceAll('.', '-')
  return createHash('sha256').update(readFileSync(addon)).digest('hex').slice(0, 12)
}

/** Beside a kept store: how long it took. */
const secondsFile = (path) => `${path}-seconds`

export function makeContext(subject, peer, options, scratch) {
  const { dimensions, n } = options
  const workload = openWorkload(options)
  const own = join(scratch, subject)
  const filled = join(own, 'filled')
  mkdirSync(own, { recursive: true })

  async function makeStore(path, count) {
    const opened = await peer.open(path, { dimensions, durability: 'flush', expected: count })
    const seconds = await fillOpened(opened, workload, count)
    await opened.flush?.()
    await opened.close()
    return seconds
  }

  async function openWith(path, count, settings) {
    const opened = await peer.open(path, { dimensions, durability: 'process', expected: count, ...settings })
    if (peer.keepsNothing) await fillOpened(opened, workload, count)
    return opened
  }

  /** The path of a store of `count` memories that outlives the run, made where it is missing. */
  async function keptStore(count) {
    const source = options.embeddings === undefined ? '' : `${basename(options.embeddings).replaceAll('.', '-')}-`
    const prefix = `${source}${subject}-${count}-${dimensions}-`
    const path = join(keptFolder, prefix + stampOf(subject))
    if (existsSync(path)) return path
    mkdirSync(keptFolder, { recursive: true })
    for (const name of readdirSync(keptFolder)) {
      if (name.startsWith(prefix)) rmSync(join(keptFolder, name), { recursive: true })
    }
    const unfinished = join(keptFolder, `unfinished-${subject}`)
    rmSync(unfinished, { recursive: true, force: true })
    const seconds = await makeStore(unfinished, count)
    writeFileSync(secondsFile(path), String(seconds))
    renameSync(unfinished, path)
    return path
  }

  return {
    subject,
    peer,
    options,
    workload,
    /** A folder of this subject alone, and one of all subjects. */
    scratch: own,
    shared: scratch,
    /** A closed store that holds the n memories. Rows that write work on a copy of it. */
    filled,
    time: options.quick ? 50 : 500,
    memories: () => [...streamMemories(workload, 0, n)],
    async fill() {
      if (!existsSync(filled) && !peer.keepsNothing) await makeStore(filled, n)
    },
    openFilled: (settings) => openWith(filled, n, settings),
    keptStore,
    /** Seconds that the subject took for a kept store. */
    async keptSeconds(count) {
      const file = secondsFile(await keptStore(count))
      return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 'unknown'
    },
    openKept: async (count, settings) => openWith(peer.keepsNothing ? own : await keptStore(count), count, settings),
    verify: (opened) => verify(peer.name, opened, workload, n),
    discard: (path) => rmSync(path, { recursive: true, force: true }),
  }
}
