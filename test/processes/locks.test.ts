// T27: who takes part in a store, and what the write lock does when its owner is stopped or killed.

import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, join, relative } from 'node:path'
import { open, type Store } from 'thermocline'
import { stampedMemory, stampedProblem } from '../support/memories.mjs'
import { root } from '../support/processes.js'
import { type Child, codeOf, expectNone, isNightly, patience, percentile, processTest, sleep } from './support/scene.js'

/** Few, so that a batch is under the lock for much of its time. */
const dimensions = 8
const stops = isNightly ? 200 : 3
/** In a row: how often a stop meets the lock follows from the share of a processor that the writer gets. */
const stopTriesMax = 4000
const lockTimeoutMs = 50
/** Above the time-out: what a loaded host adds. */
const busyMsMax = lockTimeoutMs + 500
const stoppedMs = 150
const ownerKills = isNightly ? 500 : 10
const survivorWaitMsMax = 250
const openings = isNightly ? 5000 : 100
const gateKills = isNightly ? 1000 : 8
const gateMsMax = 300 // 100 for the gate, and a loaded host

processTest(
  'one directory is one store, whatever way it is spelt, and one process is one participant',
  async (scene) => {
    const directory = scene.path('store')
    const first = scene.open(directory, { dimensions: 2 })
    symlinkSync(directory, scene.path('link'))
    symlinkSync(scene.directory, scene.path('up'))
    mkdirSync(scene.path('empty'))
    const spellings = [
      `${directory}/`,
      `${directory}//`,
      join(scene.directory, 'empty', '..', 'store'),
      `${scene.directory}/./empty/../store/.`,
      relative(process.cwd(), directory),
      `${relative(process.cwd(), directory)}/`,
      scene.path('link'),
      `${scene.path('link')}/`,
      scene.path('up/link'),
      scene.path('up/up/store'),
    ]
    const problems: string[] = []
    const stores = spellings.map((spelling) => scene.open(spelling, { create: false }))
    for (const [at, store] of [first, ...stores].entries()) {
      const sequence = store.put({ id: `by ${at}` })
      if (sequence !== at + 1) problems.push(`${spellings[at - 1]} is at sequence ${sequence}`)
      if (store.stats().participants !== 1) problems.push(`${store.stats().participants} participants`)
    }
    for (const store of [first, ...stores]) if (store.size !== stores.length + 1) problems.push(`size is ${store.size}`)
    // The directory may be renamed while it is open, and opened by its new name.
    const moved = scene.path('moved')
    renameSync(directory, moved)
    const again = scene.open(moved)
    first.put({ id: 'after the move' })
    if (!again.has('after the move') || again.stats().participants !== 1)
      problems.push('the moved directory is another store')
    for (const store of [again, ...stores]) store.close()
    if (first.get('by 3') === undefined) problems.push('closing other handles closed this one')
    expectNone(problems)
  },
)

processTest('a second process by another spelling is a second participant of the same store', async (scene) => {
  const directory = scene.path('store')
  const store = scene.open(directory, { dimensions: 2 })
  symlinkSync(directory, scene.path('link'))
  const spellings = [scene.path('link'), `${directory}/`, relative(process.cwd(), directory)]
  const children: Child[] = []
  for (const [at, spelling] of spellings.entries()) {
    const child = scene.start('reader.mjs', { directory: spelling, dimensions: 2 })
    children.push(child)
    const [ready] = await child.next('ready')
    const counts = [ready?.participants, store.stats().participants]
    if (counts.some((count) => count !== at + 2)) throw new Error(`participants are ${counts}, not ${at + 2}`)
    if (ready?.refused !== 'THERMOCLINE_READ_ONLY') throw new Error(`a read-only put gave ${ready?.refused}`)
  }
  children[0]?.send({ type: 'end' })
  await children[0]?.expectSuccess()
  await children[1]?.killAndWait()
  if (store.stats().participants !== 2) throw new Error(`participants are ${store.stats().participants}, not 2`)
})

processTest('a bind mount of the directory is the same store', async (scene) => {
  const directory = scene.path('store')
  const mounted = scene.path('mounted')
  mkdirSync(mounted)
  const store = scene.open(directory, { dimensions: 2 })
  store.put({ id: 'first' })
  try {
    execFileSync('mount', ['--bind', directory, mounted], { stdio: 'ignore' })
  } catch {
    console.log('not run here: mount --bind')
    return
  }
  try {
    const again = open(mounted)
    again.put({ id: 'second' })
    if (store.size !== 2 || again.stats().participants !== 1) throw new Error('two stores of one directory')
    again.close()
    const child = scene.start('reader.mjs', { directory: mounted, dimensions: 2 })
    const [ready] = await child.next('ready')
    if (ready?.participants !== 2) throw new Error(`participants are ${ready?.participants}, not 2`)
    child.send({ type: 'end' })
    await child.expectSuccess()
  } finally {
    execFileSync('umount', ['-l', mounted])
  }
})

processTest('a directory of hard links to the store is no second way into it', async (scene) => {
  const directory = scene.path('store')
  const linked = scene.path('linked')
  const store = scene.open(directory, { dimensions: 2 })
  store.put({ id: 'first' })
  execFileSync('cp', ['-al', directory, linked])
  const problems: string[] = []
  const expectRefused = (when: string) => {
    const code = codeOf(() => open(linked).close())
    if (code !== 'THERMOCLINE_NOT_A_STORE') problems.push(`${when}: ${code}`)
  }
  expectRefused('beside the open store')
  store.put({ id: 'second' })
  store.close()
  expectRefused('after it was closed')
  const again = scene.open(directory)
  if (again.size !== 2 || again.stats().recovered) problems.push('the store itself is not as it was')
  again.close()
  rmSync(directory, { recursive: true })
  const left = scene.open(linked)
  if (left.get('first') === undefined) problems.push('what is left when the store is removed does not open as a store')
  expectNone(problems)
})

// Two versions of the package in one process have nothing of each other's but the files.
processTest('a second copy of the package in one process is a second participant of the same store', async (scene) => {
  const copy = scene.path('copy')
  for (const part of ['package.json', 'dist', join('build', 'Release', 'thermocline.node')]) {
    cpSync(join(root, part), join(copy, part), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  const other = createRequire(join(copy, 'package.json'))('./dist/index.js') as { open: typeof open }
  if (other.open === open) throw new Error('the copy is the package itself')
  const directory = scene.path('store')
  const first = scene.open(directory, { dimensions: 2 })
  const second = other.open(directory)
  const problems: string[] = []
  const feed = second.changes({ since: 0, follow: true })
  const ids = Array.from({ length: 600 }, (_, at) => `m-${at}`)
  for (const [at, id] of ids.entries()) (at % 2 === 0 ? first : second).put({ id, embedding: [at, 1] })
  for (const id of ids) {
    const { value } = await feed.next()
    if (value?.id !== id) problems.push(`the feed gives ${value?.id} for ${id}`)
  }
  await second.compact()
  for (const store of [first, second]) {
    const { participants, segments } = store.stats()
    if (participants !== 2) problems.push(`participants is ${participants}`)
    if (segments < 2) problems.push(`${segments} segments`)
    problems.push(...ids.filter((id) => !store.has(id)).map((id) => `${id} is not there`))
    if (!(await store.verify()).ok) problems.push('verify finds problems')
  }
  first.close()
  second.put({ id: 'after the other' })
  second.close()
  const again = scene.open(directory)
  if (again.size !== ids.length + 1 || again.stats().recovered) problems.push('the last close was no clean one')
  expectNone(problems)
})

/** Puts once; how it ended and how long it took. */
function tryPut(store: Store, number: number): { code: string | undefined; ms: number } {
  const startedAt = performance.now()
  const code = codeOf(() => store.put(stampedMemory('mine', number, dimensions)))
  return { code, ms: performance.now() - startedAt }
}

/** Whether the write lock is held. A delete of nothing takes that lock and no other: it needs no room. */
function isLocked(impatient: Store): boolean {
  return codeOf(() => impatient.delete('never there')) === 'THERMOCLINE_BUSY'
}

// Goal: a writer that holds the lock and is stopped keeps others from writing, not from reading, and ends its own
// commit once it goes on. Method: a busy writer is stopped at random moments until a write here finds the lock taken.
processTest(
  'a stopped owner gives BUSY within lockTimeout, with nothing changed, and does not stop readers',
  async (scene) => {
    const directory = scene.path('store')
    const store = scene.open(directory, { dimensions, lockTimeout: lockTimeoutMs })
    const impatient = scene.open(directory, { lockTimeout: 2 })
    const writer = scene.start('busy-writer.mjs', { directory, dimensions, batches: true })
    const reader = scene.start('reader.mjs', { directory, dimensions })
    await Promise.all([writer.next('ready'), reader.next('ready')])
    let number = 0
    let tries = 0
    let inVain = 0
    const busyMs: number[] = []
    const readsWhileStopped: number[] = []
    for (let stop = 0; stop < stops; ) {
      tries += 1
      if (++inVain > stopTriesMax) throw new Error(`of ${tries} stops ${stop} met the lock, the last ${inVain} did not`)
      await sleep(scene.random() * 4)
      await writer.stop()
      const before = { sequence: store.sequence, size: store.size, mine: store.get('mine')?.sequence }
      if (!isLocked(impatient)) {
        writer.kill('SIGCONT')
        continue
      }
      const { code, ms } = tryPut(store, number + 1)
      if (code !== 'THERMOCLINE_BUSY') throw new Error(`a put beside a stopped owner gave ${code}`)
      stop += 1
      inVain = 0
      busyMs.push(ms)
      // The owner may have committed and not yet shown it; but nothing of ours is there.
      if (store.get('mine')?.sequence !== before.mine) throw new Error('a put that gave BUSY changed something')
      if (store.sequence !== before.sequence || store.size !== before.size) throw new Error('something became visible')
      const problems = [...store.entries()].map((memory) => stampedProblem(memory, memory.id, dimensions))
      expectNone(problems.filter((problem) => problem !== undefined))
      reader.send({ type: 'ask' })
      const [first] = await reader.next('answer')
      await sleep(stoppedMs)
      reader.send({ type: 'ask' })
      const [second] = await reader.next('answer')
      readsWhileStopped.push((second?.reads as number) - (first?.reads as number))
      const again = tryPut(store, number + 1).code
      if (again !== 'THERMOCLINE_BUSY') throw new Error(`a second put beside a stopped owner gave ${again}`)
      writer.kill('SIGCONT')
      const after = scene.open(directory, { lockTimeout: 10_000 })
      after.put(stampedMemory('mine', ++number, dimensions))
      after.close()
    }
    writer.send({ type: 'end' })
    const [ended] = await writer.next('ended')
    await writer.expectSuccess()
    reader.send({ type: 'end' })
    await reader.expectSuccess()
    const expected = (ended?.number as number) + number
    console.log(
      `${stops} stops under the lock in ${tries} tries; BUSY after ${percentile(busyMs, 50).toFixed(0)} ms ` +
        `(max ${Math.max(...busyMs).toFixed(0)}); reads meanwhile at least ${Math.min(...readsWhileStopped)}`,
    )
    const { ok } = await store.verify()
    expectNone([
      ...(ok ? [] : ['verify finds problems']),
      ...(store.sequence === expected ? [] : [`the sequence is ${store.sequence}, not ${expected}`]),
      ...busyMs.filter((ms) => ms < lockTimeoutMs - 5 || ms > patience(busyMsMax)).map((ms) => `BUSY after ${ms} ms`),
      ...readsWhileStopped.filter((reads) => reads < 100).map((reads) => `only ${reads} reads while stopped`),
    ])
  },
)

/** What is not whole: memories, batches of the busy writer (all or nothing), the feed, and the bytes. */
async function wholenessProblems(store: Store): Promise<string[]> {
  const problems: string[] = []
  const firsts = new Set<number>()
  let count = 0
  for (const memory of store.entries()) {
    count += 1
    const torn = stampedProblem(memory, memory.id, dimensions)
    if (torn !== undefined) problems.push(torn)
    const [, at] = /^busy-(\d+)$/.exec(memory.id) ?? []
    if (at !== undefined) firsts.add((memory.metadata.number as number) - Number(at))
  }
  if (firsts.size > 1) problems.push(`batches by half: those from ${[...firsts].join(' and ')}`)
  if (count !== store.size) problems.push(`entries gives ${count} memories, size is ${store.size}`)
  let sequence = 0
  for await (const change of store.changes()) {
    if (change.sequence !== ++sequence) problems.push(`the feed has ${change.sequence} at ${sequence}`)
  }
  if (sequence !== store.sequence) problems.push(`the feed ends at ${sequence}, not at ${store.sequence}`)
  const { ok, problems: found } = await store.verify()
  if (!ok) problems.push(`verify finds ${JSON.stringify(found.slice(0, 2))}`)
  return problems
}

function listOf(store: Store): string[] {
  return Array.from(store.entries(), ({ id, sequence, metadata }) => `${id} ${metadata.number} at ${sequence}`)
}

processTest('an owner that is killed costs a survivor at most 250 ms', async (scene) => {
  const directory = scene.path('store')
  const store = scene.open(directory, { dimensions, lockTimeout: 10_000, autoCompact: false })
  const waits: number[] = []
  let number = 0
  let underLock = 0
  for (let round = 0; round < ownerKills; round++) {
    const victim = scene.start('busy-writer.mjs', { directory, dimensions, batches: true })
    await victim.next('ready')
    await sleep(scene.random() * 60)
    // Stopped while it holds the lock where that is met soon, else killed wherever it is.
    const impatient = scene.open(directory, { lockTimeout: 2 })
    for (let tries = 0; tries < 60; tries++) {
      await victim.stop()
      if (isLocked(impatient)) {
        underLock += 1
        break
      }
      victim.kill('SIGCONT')
      await sleep(scene.random() * 3)
    }
    impatient.close()
    victim.kill('SIGKILL')
    const { code, ms } = tryPut(store, number + 1)
    if (code !== undefined) throw new Error(`a survivor's put gave ${code}`)
    number += 1
    waits.push(ms)
    await victim.ended
    const { participants } = store.stats()
    if (participants !== 1) throw new Error(`participants is ${participants} after the kill`)
    // Reads all that every victim wrote: each time, five hundred kills take more than an hour.
    if (round < 20 || round % 50 === 0) expectNone(await wholenessProblems(store))
  }
  const visible = listOf(store)
  const sequence = store.sequence
  store.close()
  process.env.THERMOCLINE_BOOT_ID = 'a boot in which no cache is believed'
  try {
    // The log must say what the survivors saw: a repair that was not done would show here at the latest.
    rmSync(join(directory, 'cache'))
    const rebuilt = scene.open(directory, { autoCompact: false })
    if (!rebuilt.stats().recovered) throw new Error('the cache was not rebuilt')
    expectNone(await wholenessProblems(rebuilt))
    const list = listOf(rebuilt)
    const different = list.filter((each, at) => each !== visible[at])
    if (list.length !== visible.length || rebuilt.sequence !== sequence) different.push(`sequence ${rebuilt.sequence}`)
    expectNone(different.map((each) => `the log has ${each}, the survivors did not see it so`))
    rebuilt.close()
  } finally {
    delete process.env.THERMOCLINE_BOOT_ID
  }
  console.log(
    `${ownerKills} kills, ${underLock} of them of the lock's owner: a survivor waited ${percentile(waits, 50).toFixed(1)} ms (median), ${Math.max(...waits).toFixed(0)} ms (max)`,
  )
  expectNone([
    ...(underLock > 0 ? [] : ['no kill met the owner of the lock']),
    ...waits.filter((ms) => ms > patience(survivorWaitMsMax)).map((ms) => `a survivor waited ${ms.toFixed(0)} ms`),
  ])
})

processTest('processes that open and close all the time lose nothing, and count each other right', async (scene) => {
  const directory = scene.path('store')
  scene.open(directory, { dimensions: 2 }).close()
  const children = [1, 2].map((number) => scene.start('opener.mjs', { directory, openings, name: `p${number}` }))
  await Promise.all(children.map((child) => child.next('ready')))
  for (const child of children) child.send({ type: 'go' })
  const said = (await Promise.all(children.map((child) => child.next('opened')))).flat()
  await Promise.all(children.map((child) => child.expectSuccess()))
  const store = scene.open(directory)
  const problems = said.flatMap(({ problems: each }) => each as string[])
  if (store.size !== openings * 2) problems.push(`size is ${store.size}, not ${openings * 2}`)
  if (!(await store.verify()).ok) problems.push('verify finds problems')
  console.log(`${openings * 2} openings; beside another process: ${said.map(({ beside }) => beside).join(' and ')}`)
  expectNone(problems)
})

processTest('an opener that is killed does not keep the next one out', async (scene) => {
  const waits: number[] = []
  for (let round = 0; round < gateKills; round++) {
    const directory = scene.path(`store-${round % 5}`)
    const child = scene.start('opener.mjs', { directory, openings: 1_000_000, name: 'k', dimensions: 2 })
    await child.next('ready')
    child.send({ type: 'go' })
    await sleep(scene.random() * 30)
    await child.killAndWait()
    const startedAt = performance.now()
    const store = scene.open(directory, { dimensions: 2 })
    waits.push(performance.now() - startedAt)
    store.put({ id: basename(directory) })
    if (!(await store.verify()).ok || store.stats().participants !== 1) throw new Error(`round ${round}: not whole`)
    store.close()
    if (round % 5 === 4 && scene.below(2) === 0) rmSync(directory, { recursive: true })
  }
  console.log(`${gateKills} kills of openers: the next opened after at most ${Math.max(...waits).toFixed(0)} ms`)
  expectNone(waits.filter((ms) => ms > patience(gateMsMax)).map((ms) => `opening took ${ms.toFixed(0)} ms`))
})
