// Goal: an export is one moment of the store, goes where it is told, and leaves nothing half done. Method: the built
// command beside a process that writes, with readers that leave, on full devices, with signals in the middle.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Memory, open } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { root } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'
import { bin, failureIn, makeStore, Running, thermocline, useStore } from './support/command.js'

const manyMemories = 20_000

function makeLargeStore(directory: string): string {
  const content = 'x'.repeat(500)
  return makeStore(
    directory,
    Array.from({ length: manyMemories }, (_, at) => ({ id: `m${at}`, embedding: [at, 1, 2], content })),
  )
}

function linesOf(text: string): Memory[] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Memory)
}

/** Runs a line of shell in which $THERMOCLINE is the command. */
function shell(line: string, cwd: string): { status: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, NODE: process.execPath, BIN: bin }
  const script = `thermocline() { "$NODE" "$BIN" "$@"; }\nset -o pipefail\n${line}`
  return spawnSync('bash', ['-c', script], { cwd, env, encoding: 'utf8' })
}

test('a reader that leaves early ends the export quietly', () => {
  const scene = temporaryDirectory()
  makeLargeStore(join(scene, 'store'))
  const headed = shell('thermocline export store | head -n 2', scene)
  expect([headed.status, headed.stderr, linesOf(headed.stdout).map(({ id }) => id)]).toEqual([0, '', ['m0', 'm1']])
  const substituted = shell('thermocline export store >(head -n 1); wait', scene)
  expect([substituted.status, substituted.stderr]).toEqual([0, ''])
  for (const name of ['stats store', 'get store m1 --json', '--help']) {
    expect(shell(`thermocline ${name} | true`, scene)).toMatchObject({ status: 0, stderr: '' })
  }
})

test('a full disk is an error, and the file that was there stays', () => {
  const scene = temporaryDirectory()
  makeLargeStore(join(scene, 'store'))
  for (const line of ['thermocline export store > /dev/full', 'thermocline export store /dev/full']) {
    const { status, stderr } = shell(line, scene)
    expect([status, stderr]).toEqual([1, expect.stringMatching(/^thermocline export: .*\(THERMOCLINE_FULL\)\n$/)])
  }
  writeFileSync(join(scene, 'out.jsonl'), 'old')
  const { status, stderr } = shell('ulimit -f 100; trap "" XFSZ; thermocline export store out.jsonl', scene)
  expect([status, stderr]).toEqual([1, expect.stringContaining('(THERMOCLINE_IO)')])
  expect(readdirSync(scene).sort()).toEqual(['out.jsonl', 'store'])
  expect(readFileSync(join(scene, 'out.jsonl'), 'utf8')).toBe('old')
})

test('a file is replaced as a whole, through a link, with the permissions it had; a new one is the owner’s', () => {
  const scene = temporaryDirectory()
  makeStore(join(scene, 'store'), [{ id: 'a' }, { id: 'b' }])
  const file = join(scene, 'memories.jsonl')
  const made = thermocline(['export', join(scene, 'store'), file, '--json'])
  expect([made.code, made.stderr, JSON.parse(made.stdout)]).toEqual([
    0,
    '',
    { memories: 2, bytes: statSync(file).size },
  ])
  expect(statSync(file).mode & 0o777).toBe(0o600)
  writeFileSync(file, 'old')
  chmodSync(file, 0o644)
  symlinkSync('memories.jsonl', join(scene, 'link'))
  const { code, stdout } = thermocline(['export', join(scene, 'store'), join(scene, 'link')])
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^exported: 2 memories, \d+ B to .*link\n$/)])
  expect(lstatSync(join(scene, 'link')).isSymbolicLink()).toBe(true)
  expect(statSync(file).mode & 0o777).toBe(0o644)
  expect(linesOf(readFileSync(file, 'utf8')).length).toBe(2)
  expect(readdirSync(scene).sort()).toEqual(['link', 'memories.jsonl', 'store'])
})

test('a file that cannot be made fails, and the store is not asked', () => {
  const directory = makeStore(join(temporaryDirectory(), 'store'), [{ id: 'a' }])
  const outcome = thermocline(['export', directory, join(directory, 'absent', 'x.jsonl'), '--json'])
  expect([outcome.code, failureIn(outcome).code]).toEqual([1, 'THERMOCLINE_IO'])
})

test('SIGINT in the middle of an export to a file leaves no part of it', async () => {
  const scene = temporaryDirectory()
  const store = makeLargeStore(join(scene, 'store'))
  writeFileSync(join(scene, 'out.jsonl'), 'old')
  const running = new Running(['export', store, join(scene, 'out.jsonl')])
  while (readdirSync(scene).length < 3) await new Promise((resolve) => setImmediate(resolve))
  running.process.kill('SIGINT')
  const { code, stderr } = await running.ended
  expect([code, stderr]).toEqual([
    130,
    expect.stringMatching(/interrupted; .* is as it was \(THERMOCLINE_ABORTED\)\n$/),
  ])
  expect(readdirSync(scene).sort()).toEqual(['out.jsonl', 'store'])
  expect(readFileSync(join(scene, 'out.jsonl'), 'utf8')).toBe('old')
})

test('a damaged memory ends the export with an error, not with silence', () => {
  const scene = temporaryDirectory()
  const store = join(scene, 'store')
  useStore(
    store,
    (each) => ['first', 'second', 'third'].map((id) => each.put({ id, metadata: { mark: `${id}-mark` } })),
    {
      dimensions: 3,
    },
  )
  const log = readFileSync(join(store, '1.log'))
  const at = log.indexOf('second-mark')
  expect(at).toBeGreaterThan(0)
  log[at - 2] = 1 // a control character: no JSON
  writeFileSync(join(store, '1.log'), log)
  const { code, stderr } = thermocline(['export', store, join(scene, 'out.jsonl')])
  expect([code, stderr]).toEqual([1, expect.stringMatching(/thermocline salvage .*\(THERMOCLINE_CORRUPT\)\n$/)])
  expect(readdirSync(scene)).toEqual(['store'])
})

const group = 64
const groupWriter = `
  import { open } from 'thermocline'
  const store = open(process.argv[1], { create: false, durability: 'none' })
  const ids = Array.from({ length: ${group} }, (_, at) => 'g' + at)
  for (let round = 1; ; round++) {
    store.write(ids.map((id) => ({ put: { id, content: String(round) } })))
    if (round === 1) process.stdout.write('writing')
    await new Promise((resolve) => setImmediate(resolve))
  }
`

test('an export beside a writing process is one moment: no group of memories is torn, none is missing', async () => {
  const directory = makeLargeStore(join(temporaryDirectory(), 'store'))
  const writer = spawn(process.execPath, ['--input-type=module', '-e', groupWriter, directory], { cwd: root })
  onTestFinished(() => void writer.kill('SIGKILL'))
  await once(writer.stdout, 'data')
  const store = open(directory, { readOnly: true })
  for (let time = 0; time < 3; time++) {
    const before = store.sequence
    const memories = linesOf(thermocline(['export', directory]).stdout)
    expect(store.sequence - before, 'the writer wrote meanwhile').toBeGreaterThan(10 * group)
    const members = memories.filter(({ id }) => id.startsWith('g'))
    expect(new Set(memories.map(({ id }) => id)).size).toBe(manyMemories + group)
    expect([memories.length, members.length]).toEqual([manyMemories + group, group])
    expect(new Set(members.map(({ content }) => content)).size).toBe(1)
  }
  store.close()
})
