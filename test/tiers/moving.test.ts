// Moves under fire: movers killed at every step, writers and readers in threads and processes while a mover runs.

import { execFile, spawnSync } from 'node:child_process'
import fs, { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { openTiered } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'

const run = promisify(execFile)
const children = join(import.meta.dirname, 'children')
const testMsMax = 120_000
const memories = Array.from({ length: 700 }, (_, at) => ({
  id: `m${at}`,
  embedding: [at, 1],
  content: `content ${at}`,
  metadata: { at },
  createdAt: at,
}))

test(
  'a mover killed at every step leaves each memory in exactly one place, and the next mover ends the work',
  async () => {
    let kills = 0
    for (let step = 1; ; step++) {
      const directory = temporaryDirectory()
      const before = openTiered(directory, { dimensions: 2, durability: 'none', mover: false })
      before.putMany(memories)
      before.close()
      const { signal, status, stderr } = spawnSync(process.execPath, [
        join(children, 'mover.mjs'),
        directory,
        `${step}`,
      ])
      expect([signal ?? status, `${stderr}`]).toEqual([signal === null ? 0 : 'SIGKILL', ''])
      const after = openTiered(directory, { mover: false, durability: 'none' })
      const compare = (): void => {
        expect(after.size).toBe(memories.length)
        const found = [...after.entries()].map(({ id, content, metadata, embedding }) => {
          return { id, embedding: [...(embedding ?? [])], content, metadata }
        })
        found.sort((a, b) => Number(a.metadata.at) - Number(b.metadata.at))
        expect(found).toEqual(memories.map(({ createdAt: _, ...rest }) => rest))
        for (const { id, content } of memories) expect(after.get(id)?.content).toBe(content)
      }
      compare()
      expect((await after.verify()).problems).toEqual([])
      const { ran } = await after.maintain({ compactCold: true })
      // A lock that its owner died with goes stale later; nothing depends on it.
      if (ran) {
        const listed = after.stats().tiers.cold.segments
        expect(readdirSync(join(directory, 'cold')).filter((name) => name.endsWith('.cold'))).toHaveLength(listed)
      }
      compare()
      after.close()
      if (signal === null) break
      kills += 1
    }
    expect(kills).toBeGreaterThan(10)
  },
  testMsMax,
)

test(
  'two workers and two processes lose, double and tear nothing while a mover runs',
  async () => {
    const directory = temporaryDirectory()
    const store = openTiered(directory, {
      dimensions: 2,
      durability: 'none',
      mover: false,
      cold: { segmentMemories: 64, cacheBytes: 100_000 },
    })
    onTestFinished(() => store.close())
    onTestFinished(() => rmSync(`${directory}.stop`, { force: true }))
    const rounds = 400
    const names = ['process-a', 'process-b', 'worker-a', 'worker-b']
    const script = join(children, 'user.mjs')
    const ended = names.map(async (name): Promise<[string, string][]> => {
      if (name.startsWith('process')) {
        const { stdout } = await run(process.execPath, [script, directory, name, `${rounds}`])
        return JSON.parse(stdout) as [string, string][]
      }
      return await new Promise((resolve, reject) => {
        const worker = new Worker(script, { workerData: [directory, name, rounds] })
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    })
    let done = false
    const all = Promise.all(ended).finally(() => {
      done = true
    })
    let demoted = 0
    let rewritten = 0
    while (!done) {
      const ids = [...store.entries()].map(({ id }) => id)
      const result = await store.maintain({ demote: ids, compactCold: true })
      demoted += result.demoted
      rewritten += result.rewritten
      if (demoted > 500 && rewritten > 0) writeFileSync(`${directory}.stop`, '')
      await new Promise((resolve) => setImmediate(resolve))
    }
    const wanted = new Map((await all).flat())
    expect(store.size).toBe(wanted.size)
    expect(new Map([...store.entries()].map(({ id, content }) => [id, content]))).toEqual(wanted)
    expect((await store.verify()).problems).toEqual([])
    expect(demoted).toBeGreaterThan(500)
    expect(rewritten).toBeGreaterThan(0)
  },
  testMsMax,
)

test('a cold file that another process rewrites while a search opens the others is still searched', async () => {
  const directory = temporaryDirectory()
  const cold = { segmentMemories: 64 }
  const filled = openTiered(directory, { dimensions: 2, durability: 'none', mover: false, cold })
  filled.putMany(memories.slice(0, 256))
  await filled.maintain({ demote: memories.slice(0, 256).map(({ id }) => id) })
  filled.close()
  const names = readdirSync(join(directory, 'cold')).filter((name) => name.endsWith('.cold'))
  expect(names.length).toBeGreaterThan(2)

  const store = openTiered(directory, { dimensions: 2, durability: 'none', mover: false, cold })
  onTestFinished(() => store.close())
  // The first file is rewritten in the very moment in which the second one is opened.
  const rewrite = `
    import { openTiered } from 'thermocline'
    const options = { durability: 'none', mover: false, cold: ${JSON.stringify(cold)} }
    const store = openTiered(${JSON.stringify(directory)}, options)
    for (let at = 0; at < 60; at++) store.delete('m' + at)
    const { rewritten } = await store.maintain({ compactCold: true })
    store.close()
    process.stdout.write(String(rewritten))`
  const openSync = fs.openSync
  onTestFinished(() => {
    fs.openSync = openSync
  })
  const opened = new Set<string>()
  let rewritten = ''
  fs.openSync = (path, ...rest) => {
    if (`${path}`.endsWith('.cold')) opened.add(`${path}`)
    if (opened.size === 2 && rewritten === '') {
      const program = ['--input-type=module', '-e', rewrite]
      rewritten = `${spawnSync(process.execPath, program, { cwd: join(import.meta.dirname, '../..') }).stdout}`
    }
    return openSync(path, ...rest)
  }
  const hits = await store.search([1, 0], { limit: 300 })
  expect(Number(rewritten)).toBeGreaterThan(0)
  expect(hits).toHaveLength(196)
})

test('two movers that both believe to be alone lose, double and tear nothing', async () => {
  const directory = temporaryDirectory()
  const lock = join(directory, 'cold.lock')
  const open = () =>
    openTiered(directory, { dimensions: 2, durability: 'none', mover: false, cold: { segmentMemories: 64 } })
  const [a, b] = [open(), open()]
  a.putMany(memories)
  const demote = memories.map(({ id }) => id)
  const first = a.maintain({ demote, compactCold: true })
  const files = (): string[] => (existsSync(join(directory, 'cold')) ? readdirSync(join(directory, 'cold')) : [])
  while (files().length === 0) await new Promise((resolve) => setImmediate(resolve))
  rmSync(lock, { recursive: true })
  const results = await Promise.all([first, b.maintain({ demote, compactCold: true })])
  expect(results.map(({ ran }) => ran)).toEqual([true, true])
  expect(results.reduce((sum, { demoted }) => sum + demoted, 0)).toBe(memories.length)
  expect(new Map([...b.entries()].map(({ id, content }) => [id, content]))).toEqual(
    new Map(memories.map(({ id, content }) => [id, content])),
  )
  expect([a.size, b.size]).toEqual([memories.length, memories.length])
  expect((await a.verify()).problems).toEqual([])
  a.close()
  b.close()
})

test('two movers at once do the work once', async () => {
  const directory = temporaryDirectory()
  const open = () => openTiered(directory, { dimensions: 2, durability: 'none', mover: false })
  const [a, b] = [open(), open()]
  a.putMany(memories)
  const results = await Promise.all([a, b].map((store) => store.maintain({ demote: memories.map(({ id }) => id) })))
  expect(results.reduce((sum, { demoted }) => sum + demoted, 0)).toBe(memories.length)
  expect([a.size, b.size]).toEqual([memories.length, memories.length])
  a.close()
  b.close()
})
