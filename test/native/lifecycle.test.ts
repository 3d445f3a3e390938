// Goal: opening, sharing and closing leave nothing behind in the process and lose nothing. Method: descriptors and
// mappings are counted in /proc, workers and child processes are ended in every way.

import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { open, type Store } from 'thermocline'
import { expect, test } from 'vitest'
import { rejectionOf, shortCode } from '../support/failures.js'
import { descriptorCount, mappingsOf, outcomeOf, runProgram } from '../support/processes.js'
import { temporaryDirectory, temporaryStore } from '../support/temporary.js'

const cycles = 300
const settleMsMax = 3000
const require = createRequire(import.meta.url)

/** Waits until a condition holds; what frees mappings is a finaliser, which runs when it will. */
async function settle(condition: () => boolean): Promise<boolean> {
  const begin = performance.now()
  while (!condition()) {
    if (performance.now() - begin > settleMsMax) return false
    ;(globalThis as { gc?: () => void }).gc?.()
    await delay(5)
  }
  return true
}

function filled(options = {}): { store: Store; directory: string; again(): Store } {
  const made = temporaryStore(open, { dimensions: 8, ...options })
  made.store.putMany(
    Array.from({ length: 2000 }, (_, at) => ({ id: `m${at}`, embedding: new Float32Array(8).fill(at + 1) })),
  )
  return made
}

test(`${cycles} cycles of open, view, iterate and close leave no descriptor and no mapping`, async () => {
  const directory = `${temporaryDirectory()}/store`
  const cycle = (round: number): void => {
    const store = open(directory, { dimensions: 8, durability: 'none' })
    store.put({ id: `m${round % 10}`, embedding: new Float32Array(8).fill(round) })
    expect(store.view(`m${round % 10}`)?.embedding?.[0]).toBe(round)
    store.entries().next()
    store.close()
  }
  cycle(0)
  const before = descriptorCount()
  for (let round = 1; round <= cycles; round++) cycle(round)
  expect(await settle(() => descriptorCount() <= before)).toBe(true)
  expect(await settle(() => mappingsOf(directory).length === 0)).toBe(true)
})

test('an opening that fails leaves no descriptor and no mapping', async () => {
  const { store, directory } = filled()
  store.close()
  const before = descriptorCount()
  for (let round = 0; round < 50; round++) {
    for (const options of [{ metric: 'dot' as const }, { dimensions: 9 }])
      expect(() => open(directory, options)).toThrow()
    expect(() => open(`${directory}/absent`, { create: false })).toThrow()
  }
  expect(descriptorCount()).toBe(before)
  expect(mappingsOf(directory)).toEqual([])
})

test('handles of one directory by import and by require share one mapping, counted by reference', async () => {
  const { store, directory } = filled()
  const mapped = mappingsOf(directory).length
  const descriptors = descriptorCount()
  const commonjs = require('thermocline') as { open: typeof open }
  const others = [
    open(directory),
    commonjs.open(directory),
    commonjs.open(`${directory}/../${directory.split('/').pop()}`),
  ]
  expect([mappingsOf(directory).length, descriptorCount()]).toEqual([mapped, descriptors])
  store.close()
  for (const other of others) {
    expect(other.size).toBe(2000)
    expect(mappingsOf(directory)).toHaveLength(mapped)
    other.close()
  }
  expect(await settle(() => mappingsOf(directory).length === 0)).toBe(true)
})

test('worker threads share the mapping too, and give it back when they end or are terminated', async () => {
  const { store, directory } = filled()
  const mapped = mappingsOf(directory).length
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    const { open } = require(workerData.main)
    const store = open(workerData.directory)
    globalThis.kept = [store, store.view('m1'), store.entries(), store.changes({ follow: true })]
    kept[2].next(); kept[3].next().catch(() => {})
    for (let round = 0; round < 30; round++) { store.search(new Float32Array(8).fill(1)).catch(() => {}); store.flush().catch(() => {}); store.verify().catch(() => {}) }
    store.putMany([{ id: 'from worker' }])
    parentPort.postMessage('ready')
    if (workerData.stay) setInterval(() => {}, 1000)
    else process.exit()
  `
  for (let round = 0; round < 12; round++) {
    const workerData = { directory, main: require.resolve('thermocline'), stay: round % 2 === 0 }
    const worker = new Worker(source, { eval: true, workerData })
    const exit = new Promise((resolve) => worker.once('exit', resolve))
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
    if (workerData.stay) await worker.terminate()
    await exit
    expect(store.put({ id: 'after' })).toBeGreaterThan(0)
  }
  expect(await settle(() => mappingsOf(directory).length <= mapped + 1)).toBe(true)
  expect((await store.verify()).ok).toBe(true)
  store.close()
  expect(await settle(() => mappingsOf(directory).length === 0)).toBe(true)
})

test('close with much pending settles every promise, and the last handle gives everything back', async () => {
  for (let round = 0; round < 20; round++) {
    const { store, directory } = filled({ durability: 'flush' })
    const pending: Promise<unknown>[] = []
    for (let at = 0; at < 10; at++) {
      pending.push(rejectionOf(store.search(new Float32Array(8).fill(1))), rejectionOf(store.verify()))
      pending.push(rejectionOf(store.changes({ follow: true, since: 2000 })[Symbol.asyncIterator]().next()))
    }
    const flushes = [store.flush(), store.flush()]
    if (round % 2 === 0) await new Promise(setImmediate)
    store.close()
    await Promise.all(flushes)
    for (const error of await Promise.all(pending)) expect(shortCode(error as never)).toBe('CLOSED')
    expect(mappingsOf(directory)).toEqual([])
  }
})

// Goal: who closes and awaits what was pending may remove or copy the directory. Method: each kind of pending work alone.
test.each([
  ['search', (store: Store) => store.search(new Float32Array(8).fill(1), { exact: true })],
  ['searchMany', (store: Store) => store.searchMany(Array.from({ length: 50 }, () => new Float32Array(8).fill(1)))],
  ['verify', (store: Store) => store.verify()],
  ['compact', (store: Store) => store.compact()],
  ['backup', (store: Store) => store.backup(`${temporaryDirectory()}/copy`)],
])('a %s that a close ends rejects when the store is closed', async (_name, begin) => {
  for (let round = 0; round < 5; round++) {
    const { store, directory } = filled()
    const pending = rejectionOf(begin(store))
    store.close()
    expect(shortCode(await pending)).toBe('CLOSED')
    expect(mappingsOf(directory)).toEqual([])
    rmSync(directory, { recursive: true })
  }
})

// Goal: the last close makes the store durable, also when the process exits at once and something is pending. Method:
// whoever opens it in another boot finds the marker of a clean close.
test.each([
  ['search', 'for (let at = 0; at < 8; at++) store.search(query).catch(() => {})'],
  ['verify', 'store.verify().catch(() => {})'],
  ['flush', 'store.flush()'],
  ['flush and a search that have ended', 'store.flush(); store.search(query); wait(50)'],
])('a process that closes and exits with a pending %s has closed the store', (_name, begin) => {
  const directory = `${temporaryDirectory()}/store`
  const program = `
    const wait = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
    const store = open(args[0], { dimensions: 8 })
    const query = new Float32Array(8).fill(1)
    for (let at = 0; at < 3000; at++) store.put({ id: 'm' + at, embedding: new Float32Array(8).fill(at + 1) })
    ${begin}
    store.close()
    process.exit(0)
  `
  expect(outcomeOf(runProgram(program, [directory]))).toEqual({ status: 0, signal: null })
  const inAnotherBoot = ['env', 'THERMOCLINE_BOOT_ID=another']
  const look =
    'const store = open(args[0]); const { recovered, memories } = store.stats(); console.log(recovered, memories)'
  expect(runProgram(look, [directory], inAnotherBoot).stdout).toBe('false 3000\n')
})

// Goal: a process that exits does not go on for as long as a check, a compaction or a backup of a large store takes.
// Method: the exit comes when a backup has begun; had it gone on, its target would be there.
test.each(['main', 'worker'])('an exit of a %s thread gives a backup up that is under way', (thread) => {
  const directory = temporaryDirectory()
  const body = `
    const { readdirSync } = require('node:fs')
    const store = open(directory + '/store', { dimensions: 64, durability: 'none' })
    store.putMany(Array.from({ length: 30000 }, (_, at) => ({ id: 'm' + at, embedding: new Float32Array(64).fill(at + 1) })))
    store.backup(directory + '/copy').catch(() => {})
    const leave = () => {
      if (readdirSync(directory).some((name) => name.startsWith('.thermocline-copy'))) process.exit(0)
      setImmediate(leave)
    }
    leave()
  `
  const program = `
    const { createRequire } = await import('node:module')
    const { Worker } = await import('node:worker_threads')
    const require = createRequire(process.cwd() + '/package.json')
    const main = require.resolve('thermocline')
    const source = 'const { workerData } = require("node:worker_threads"); const { open } = require(workerData.main);' +
      'const { directory } = workerData;' + args[2]
    if (args[1] === 'main') new Function('open', 'directory', 'require', args[2])(open, args[0], require)
    else new Worker(source, { eval: true, execArgv: [], workerData: { main, directory: args[0] } })
  `
  const child = runProgram(program, [directory, thread, body])
  expect(outcomeOf(child)).toEqual({ status: 0, signal: null })
  expect(readdirSync(directory).filter((name) => !name.endsWith('.lock'))).toEqual(['store'])
})

/** Runs what follows in a process that gets no more threads, whoever runs the tests: root is never refused one. */
const withoutThreads = `
  const { execFileSync } = await import('node:child_process')
  const { readFile } = await import('node:fs/promises')
  await Promise.all(Array.from({ length: 8 }, () => readFile('/proc/self/status'))) // Node's own threads are there now
  if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534) }
  const setThreads = (most) => execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=' + most + ':'])
`

test('where the system gives no more threads, what needs one is done without or rejects, and the process lives', () => {
  const directory = temporaryDirectory()
  chmodSync(directory, 0o777)
  const program = `
    ${withoutThreads}
    const store = open(args[0] + '/store', { dimensions: 256 })
    const said = []
    const codeOf = (error) => error.code + ' ' + error.details.errno
    setThreads(0)
    try { open(args[0] + '/other', { dimensions: 8 }) } catch (error) { said.push(codeOf(error)) }
    const memories = Array.from({ length: 5000 }, (_, at) => ({ id: 'm' + at, embedding: new Float32Array(256).fill(at + 1) }))
    said.push(store.putMany(memories).count)
    await store.changes({ since: 5000, follow: true }).next().catch((error) => said.push(codeOf(error)))
    said.push((await store.search(new Float32Array(256).fill(1), { threads: 4, exact: true, limit: 3 })).length)
    await store.flush()
    said.push((await store.verify()).memories)
    store.close()
    console.log(said.join())
  `
  const child = runProgram(program, [directory])
  const refused = `THERMOCLINE_IO ${constants.errno.EAGAIN}`
  expect([outcomeOf(child), child.stdout]).toEqual([{ status: 0, signal: null }, `${refused},5000,${refused},3,5000\n`])
})

test('a store that nobody closed and nobody holds is given back when it is collected', () => {
  const program = `
    import { readFileSync } from 'node:fs'
    const mapped = () => readFileSync('/proc/self/maps', 'utf8').split('\\n').filter((line) => line.includes(args[0])).length
    function openAndForget(round) {
      const store = open(args[0] + '/store', { dimensions: 8, durability: 'none' })
      store.put({ id: 'm' + round, embedding: new Float32Array(8) })
      store.view('m' + round)
      store.entries().next()
    }
    for (let round = 0; round < 20; round++) openAndForget(round)
    for (let round = 0; round < 200 && mapped() > 0; round++) { gc(); await new Promise((resolve) => setTimeout(resolve, 5)) }
    console.log(mapped())
  `
  const child = runProgram(program, [temporaryDirectory()])
  expect([outcomeOf(child), child.stdout]).toEqual([{ status: 0, signal: null }, '0\n'])
})

test.each([
  ['process.exit(7) with everything open', 'process.exit(7)', 7],
  ['an uncaught exception', "throw new Error('uncaught')", 1],
  [
    'an unhandled rejection',
    "Promise.reject(new Error('unhandled')); await new Promise(() => setInterval(() => {}, 1000))",
    1,
  ],
  ['the end of the program', 'for (const feed of feeds) feed.return()', 0],
])('a process that ends by %s has its exit code, and its store opens whole', async (_name, ending, status) => {
  const directory = `${temporaryDirectory()}/store`
  const program = `
    const store = open(args[0], { dimensions: 8 })
    const other = open(args[0])
    for (let at = 0; at < 500; at++) store.put({ id: 'm' + at, embedding: new Float32Array(8).fill(at + 1) })
    const view = store.view('m1'), iterator = store.entries()
    iterator.next()
    const feeds = [store.changes({ follow: true, since: 500 }), other.changes({ follow: true, since: 500 })]
    for (const feed of feeds) feed.next()
    for (let at = 0; at < 5; at++) { store.search(new Float32Array(8).fill(1)); other.verify(); store.flush() }
    ${ending}
  `
  const child = runProgram(program, [directory])
  expect([child.status, child.signal]).toEqual([status, null])
  const store = open(directory)
  expect(store.size).toBe(500)
  expect(await store.verify()).toEqual({ ok: true, memories: 500, problems: [] })
  store.close()
})

test('an open store does not keep the process alive', () => {
  const program = 'const store = open(args[0], { dimensions: 8 }); store.put({ id: "a" })'
  expect(outcomeOf(runProgram(program, [`${temporaryDirectory()}/store`]))).toEqual({ status: 0, signal: null })
})

test('the directory of a closed store can be deleted and used again for another', () => {
  const { store, directory } = filled()
  store.close()
  rmSync(directory, { recursive: true })
  expect(existsSync(directory)).toBe(false)
  const other = open(directory, { dimensions: 5, metric: 'l2', durability: 'none' })
  other.put({ id: 'a', embedding: [1, 2, 3, 4, 5] })
  expect([other.size, other.stats().metric]).toEqual([1, 'l2'])
  other.close()
})

test('using and await using, as TypeScript compiles them, close the store', async () => {
  const directory = `${temporaryDirectory()}/store`
  let leaked: Store | undefined
  {
    using store = open(directory, { dimensions: 3, durability: 'none' })
    store.put({ id: 'a', embedding: [1, 2, 3] })
    leaked = store
  }
  expect(() => leaked?.size).toThrow(expect.objectContaining({ code: 'THERMOCLINE_CLOSED' }))
  let hits: Promise<unknown[]>
  {
    await using store = open(directory)
    hits = store.search([1, 2, 3])
  }
  expect(await hits).toHaveLength(1)
  expect(mappingsOf(directory)).toEqual([])
})
