// T9: when the cache is believed, and that every store opens right, believed or not.
//
// Method: a child runs a script whose state after each prefix is known, and is closed or killed. The directory is left,
// moved, copied, or copied while the child writes; the cache is left or torn; the parent opens in the same boot or in
// another one (THERMOCLINE_BOOT_ID), and compares everything with the script. Then it writes, closes, and opens again.

import {
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { open, type Store } from 'thermocline'
import { stampedProblem } from '../support/memories.mjs'
import { runScript, scriptState } from './children/script.mjs'
import { expectNone, isNightly, processTest, type Scene, sleep } from './support/scene.js'

const dimensions = 12
const repetitions = isNightly ? 40 : 1
const liveStores = isNightly ? 40 : 1
const copiesPerLiveStore = 6
const operationsMin = 30
const operationsMax = 700 // more than a segment of 256 slots
const afterwards = 20
const bootWordsOffset = 4096
const bootWordsBytes = 384
const headerBytes = 64

const endings = ['closed', 'killed'] as const
const boots = ['same boot', 'other boot'] as const
const places = ['left', 'moved', 'copied'] as const
const tears = ['whole', 'truncated', 'words zeroed', 'header flipped', 'missing', 'empty'] as const

const durabilities = ['flush', 'none'] as const

interface Script {
  path: string
  seed: string
  operations: number
  durability: Case['durability']
}

interface Case {
  ending: (typeof endings)[number]
  boot: (typeof boots)[number]
  place: (typeof places)[number]
  tear: (typeof tears)[number]
  durability: (typeof durabilities)[number]
}

/** Everything that differs from the state after `count` operations, by reads and by iteration. */
async function compare(store: Store, seed: string, count: number): Promise<string[]> {
  const state = scriptState(seed, count)
  const problems: string[] = []
  if (store.sequence !== count) problems.push(`the sequence is ${store.sequence}, not ${count}`)
  if (store.size !== state.size) problems.push(`the size is ${store.size}, not ${state.size}`)
  const listed = new Set<string>()
  for (const memory of store.entries()) {
    const expected = state.get(memory.id)
    if (expected === undefined) problems.push(`${memory.id} is there and must not be`)
    if (listed.has(memory.id)) problems.push(`entries gives ${memory.id} twice`)
    listed.add(memory.id)
  }
  for (const [id, { number, base, sequence }] of state) {
    const memory = store.get(id)
    if (memory === undefined || !listed.has(id)) {
      problems.push(`${id} is lost`)
      continue
    }
    const torn = stampedProblem(memory, id, dimensions)
    if (torn !== undefined) problems.push(torn)
    if (memory.metadata.number !== number || memory.metadata.base !== base || memory.sequence !== sequence) {
      problems.push(`${id} is write ${memory.metadata.number} at ${memory.sequence}, not ${number} at ${sequence}`)
    }
  }
  let changes = 0
  for await (const { sequence } of store.changes())
    if (sequence !== ++changes) problems.push(`the feed has a gap at ${changes}`)
  if (changes !== count) problems.push(`the feed has ${changes} changes, not ${count}`)
  const { ok, problems: found } = await store.verify()
  if (!ok) problems.push(`verify finds ${JSON.stringify(found.slice(0, 2))}`)
  return problems
}

function tearCache(scene: Scene, directory: string, tear: Case['tear']): void {
  const cache = join(directory, 'cache')
  if (tear === 'missing') rmSync(cache)
  if (tear === 'empty') truncateSync(cache, 0)
  if (tear === 'truncated') truncateSync(cache, scene.below(statSync(cache).size - 1))
  if (tear !== 'words zeroed' && tear !== 'header flipped') return
  const file = openSync(cache, 'r+')
  if (tear === 'words zeroed') writeSync(file, Buffer.alloc(bootWordsBytes), 0, bootWordsBytes, bootWordsOffset)
  else {
    // Any bit, the checksum's own included.
    const at = scene.below(headerBytes)
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, at)
    byte[0] = (byte[0] as number) ^ (1 << scene.below(8))
    writeSync(file, byte, 0, 1, at)
  }
  closeSync(file)
}

/** With another boot identity for as long as `action` runs. The addon reads the environment of the process. */
async function inBoot<T>(boot: string | undefined, action: () => Promise<T>): Promise<T> {
  if (boot !== undefined) process.env.THERMOCLINE_BOOT_ID = boot
  try {
    return await action()
  } finally {
    if (boot !== undefined) delete process.env.THERMOCLINE_BOOT_ID
  }
}

/** Opens, compares, writes on, closes, and opens twice more. */
async function checkStore(path: string, seed: string, count: number, isRecovered: boolean): Promise<string[]> {
  const problems: string[] = []
  let done = count
  for (let opening = 1; opening <= 3; opening++) {
    const store = open(path)
    try {
      const { recovered, participants } = store.stats()
      const expected = opening === 1 ? isRecovered : false
      if (recovered !== expected) problems.push(`opening ${opening}: recovered is ${recovered}`)
      if (participants !== 1) problems.push(`opening ${opening}: participants is ${participants}`)
      problems.push(...(await compare(store, seed, done)).map((problem) => `opening ${opening}: ${problem}`))
      if (problems.length > 0) return problems
      // The third opening follows a session that wrote nothing.
      for (const end = done + (opening === 1 ? afterwards : 0); done < end; done++)
        runScript(store, seed, done, dimensions)
    } finally {
      store.close()
    }
  }
  return problems
}

/** Whether this opening must have recovered. */
function mustRecover({ ending, boot, place, tear, durability }: Case): boolean {
  if (place === 'copied' || tear !== 'whole') return true
  // In another boot only the marker counts, which a close writes after it synced: not with durability 'none'.
  return boot === 'other boot' && (ending === 'killed' || durability === 'none')
}

async function runCase(scene: Scene, one: Case, script: Script): Promise<string[]> {
  const name = Object.values(one).join(', ')
  let { path } = script
  if (one.place !== 'left') {
    const target = `${path}-elsewhere`
    if (one.place === 'moved') renameSync(path, target)
    else cpSync(path, target, { recursive: true })
    path = target
  }
  tearCache(scene, path, one.tear)
  const boot = one.boot === 'other boot' ? `another boot of ${script.seed}` : undefined
  const problems = await inBoot(boot, () => checkStore(path, script.seed, script.operations, mustRecover(one)))
  rmSync(path, { recursive: true })
  return problems.map((problem) => `${name}: ${problem}`)
}

processTest(
  'the cache is believed in its boot or after a clean close, else rebuilt, and both are right',
  async (scene) => {
    let count = 0
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const ending of endings) {
        const cases = boots.flatMap((boot) =>
          places.flatMap((place) =>
            tears.flatMap((tear) =>
              durabilities.map((durability): Case => ({ ending, boot, place, tear, durability })),
            ),
          ),
        )
        const scripts = cases.map(({ durability }): Script => {
          const seed = `${scene.seed} ${count++}`
          const operations = operationsMin + scene.below(operationsMax - operationsMin)
          return { path: scene.path(`store-${count}`), seed, operations, durability }
        })
        const child = scene.start('cache-writer.mjs', { scripts, dimensions, live: false })
        await child.next('written')
        if (ending === 'killed') await child.killAndWait()
        else {
          child.send({ type: 'end' })
          await child.expectSuccess()
        }
        const problems: string[] = []
        for (const [at, one] of cases.entries()) problems.push(...(await runCase(scene, one, scripts[at] as Script)))
        expectNone(problems)
      }
    }
    console.log(`${count} cases, each opened three times`)
  },
)

// Goal: a copy of a directory that is being written holds a prefix, and its cache is never believed. Method: the copy
// takes `meta` first, so that it names no file that the copy missed; the writer does not sync, so that no frame vouches
// for blocks that were copied before they were written. What was acknowledged before the copy began must be there.
processTest(
  'a directory copied while it is written opens as a prefix of its history, its cache never believed',
  async (scene) => {
    for (let number = 0; number < liveStores; number++) await copyLiveStore(scene, number)
  },
)

async function copyLiveStore(scene: Scene, number: number): Promise<void> {
  const script: Script = {
    path: scene.path(`live-${number}`),
    seed: `${scene.seed} ${number}`,
    operations: operationsMin,
    durability: 'none',
  }
  const child = scene.start('cache-writer.mjs', { scripts: [script], dimensions, live: true })
  await child.next('written')
  const lengths: number[] = []
  for (let copy = 0; copy < copiesPerLiveStore; copy++) {
    const acknowledged = ((await child.next('progress')).at(-1)?.done ?? 0) as number
    child.taken('progress')
    const target = scene.path(`copy-${copy}`)
    mkdirSync(target)
    const names = readdirSync(script.path).filter((name) => name !== 'meta' && name !== 'meta.new')
    const shuffled = names.map((name) => ({ name, key: scene.random() })).sort((left, right) => left.key - right.key)
    for (const name of ['meta', ...shuffled.map((each) => each.name)])
      cpSync(join(script.path, name), join(target, name))
    // Else the history grows while it is compared.
    child.kill('SIGSTOP')
    const store = open(target)
    const { recovered, sequence } = store.stats()
    store.close()
    lengths.push(sequence)
    if (!recovered) throw new Error(`copy ${copy} was believed`)
    if (sequence < acknowledged) throw new Error(`copy ${copy} has ${sequence} operations, not ${acknowledged}`)
    expectNone((await checkStore(target, script.seed, sequence, false)).map((problem) => `copy ${copy}: ${problem}`))
    rmSync(target, { recursive: true })
    child.kill('SIGCONT')
    await sleep(scene.random() * 20)
  }
  child.send({ type: 'end' })
  await child.expectSuccess()
  console.log(`copies of ${lengths.join(', ')} operations`)
}
