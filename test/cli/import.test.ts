// Goal: an import takes what people feed it, says what it could not take, and leaves a whole store with a prefix of
// the lines, however it ends. Method: the built command, bad lines of every kind, signals in the middle.

import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { open } from 'thermocline'
import { expect, onTestFinished, test, vi } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { bin, failureIn, loadModule, makeStore, memoriesIn, Running, thermocline, useStore } from './support/command.js'

const isNightly = process.env.THERMOCLINE_NIGHTLY === '1'
const bytesOfLongImport = (isNightly ? 1024 : 128) * 2 ** 20
/** Node itself, and chunks that wait for the collector; 65 MiB measured, at any length. */
const privateBytesMax = 100 * 2 ** 20

const { LineSplitter } = loadModule<typeof import('../../src/cli/line-splitter.js')>('line-splitter')
const { Interruption } = loadModule<typeof import('../../src/cli/interruption.js')>('interruption')

function line(at: number, more: object = {}): string {
  return `${JSON.stringify({ id: `m${at}`, embedding: [at, 1, 2], content: `memory ${at}`, ...more })}\n`
}

function lines(count: number): string {
  return Array.from({ length: count }, (_, at) => line(at + 1)).join('')
}

function idsIn(directory: string): string[] {
  return memoriesIn(directory).map(({ id }) => id)
}

function expectedIds(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `m${at + 1}`)
}

async function expectWhole(directory: string): Promise<void> {
  const store = open(directory, { create: false })
  expect(await store.verify()).toMatchObject({ ok: true, problems: [] })
  store.close()
}

test('a byte order mark, CRLF, blank lines and a last line without its end are taken', () => {
  const directory = join(temporaryDirectory(), 'store')
  const input = `\ufeff${line(1).replace('\n', '\r\n')}\r\n\n  \t\n${line(2)}\n${line(3).trimEnd()}`
  const { code, stdout, stderr } = thermocline(['import', directory, '--json'], { input })
  expect([code, stderr]).toEqual([0, ''])
  expect(JSON.parse(stdout)).toEqual({ written: 3, lines: 7, sequence: 3 })
  expect(idsIn(directory)).toEqual(['m1', 'm2', 'm3'])
})

test('lines that are cut anywhere between two reads are put together again', () => {
  const bytes = Buffer.from(`\ufeff${line(1, { content: 'naïve 🧠' })}\r\n${line(2).trimEnd()}`)
  const texts = (chunks: Buffer[]): string[] => {
    const splitter = new LineSplitter()
    const found = chunks.flatMap((chunk) => [...splitter.push(chunk)])
    return [...found, splitter.end()].flatMap((each) => (each === undefined ? [] : [`${each.number}: ${each.text}`]))
  }
  const expected = [`1: ${line(1, { content: 'naïve 🧠' }).trimEnd()}`, `3: ${line(2).trimEnd()}`]
  for (let at = 0; at <= bytes.length; at++) {
    expect(texts([bytes.subarray(0, at), bytes.subarray(at)]), `cut at ${at}`).toEqual(expected)
  }
  for (const step of [1, 2, 7]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / step) }, (_, at) =>
      bytes.subarray(at * step, (at + 1) * step),
    )
    expect(texts(chunks), `steps of ${step}`).toEqual(expected)
  }
})

test('a memory of the same id is replaced; a memory as it was read is taken, its sequence ignored', () => {
  const directory = makeStore(join(temporaryDirectory(), 'store'), [{ id: 'm1', content: 'old', recallCount: 3 }])
  const input = line(1, { sequence: 99, embedding: null })
  expect(thermocline(['import', directory], { input }).code).toBe(0)
  expect(memoriesIn(directory)).toMatchObject([{ id: 'm1', content: 'memory 1', embedding: null, recallCount: 0 }])
})

const badLines: [string, string | Buffer, string][] = [
  ['is no JSON', '{"id": "x"', 'ARGUMENT'],
  ['is no object', '[1, 2, 3]', 'ARGUMENT'],
  ['is null', 'null', 'ARGUMENT'],
  ['has no id', '{"content": "x"}', 'ARGUMENT'],
  ['has an empty id', '{"id": ""}', 'KEY_SIZE'],
  ['has an unknown key', '{"id": "x", "vector": [1, 2, 3]}', 'ARGUMENT'],
  ['has an embedding of other dimensions', '{"id": "x", "embedding": [1, 2]}', 'DIMENSION'],
  ['has an embedding that is an object', '{"id": "x", "embedding": {"0": 1, "1": 2, "2": 3}}', 'ARGUMENT'],
  ['has an embedding beyond floats', '{"id": "x", "embedding": [1, 2, 1e39]}', 'NOT_FINITE'],
  ['has a lone surrogate', '{"id": "x", "content": "\\ud800"}', 'ARGUMENT'],
  ['has a number beyond doubles', '{"id": "x", "metadata": {"n": 1e999}}', 'ARGUMENT'],
  ['is not UTF-8', Buffer.from('{"id": "\xff"}', 'latin1'), 'ARGUMENT'],
]

test.each(badLines)('a line that %s is named, and the lines before it are written', (_, bad, code) => {
  const directory = join(temporaryDirectory(), 'store')
  const input = Buffer.concat([Buffer.from(`${lines(5)}\n`), Buffer.from(bad), Buffer.from(`\n${line(8)}`)])
  const { code: exitCode, stdout, stderr } = thermocline(['import', directory], { input })
  expect([exitCode, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(
    new RegExp(`^thermocline import: line 7\\b.*; 5 memories written \\(THERMOCLINE_${code}\\)\\n$`),
  )
  expect(idsIn(directory)).toEqual(expectedIds(5))
})

test('a bad line after many batches: every line before it is written, whichever batch it would have been in', () => {
  for (const [at, bad] of [
    [600, 'oops'],
    [600, '{"id": 5}'],
    [513, '{"id": 5}'],
  ] as const) {
    const directory = join(temporaryDirectory(), 'store')
    const input = `${lines(at - 1)}${bad}\n${lines(300)}`
    const outcome = thermocline(['import', directory, '--json'], { input })
    expect([outcome.code, outcome.stdout]).toEqual([1, ''])
    expect(failureIn(outcome)).toMatchObject({ exitCode: 1, details: { line: at, written: at - 1 } })
    expect(idsIn(directory)).toEqual(expectedIds(at - 1))
  }
})

test('of two bad lines in one batch the first is named', () => {
  const directory = join(temporaryDirectory(), 'store')
  const outcome = thermocline(['import', directory, '--json'], { input: `${lines(3)}{"id": 5}\n${line(5)}oops\n` })
  expect(failureIn(outcome)).toMatchObject({ details: { line: 4, written: 3 } })
  expect(idsIn(directory)).toEqual(expectedIds(3))
})

test('what the message says is enough to go on from there', () => {
  const directory = join(temporaryDirectory(), 'store')
  const input = `${lines(700)}oops\n${line(702)}`
  const { line: at } = failureIn(thermocline(['import', directory, '--json'], { input })).details as { line: number }
  const rest = input
    .replace('oops', line(701).trim())
    .split('\n')
    .slice(at - 1)
    .join('\n')
  expect(thermocline(['import', directory], { input: rest }).code).toBe(0)
  expect(idsIn(directory)).toEqual(expectedIds(702))
})

test('a new store has the dimensions of the first embedding, also after lines without one', () => {
  const directory = join(temporaryDirectory(), 'store')
  const without = Array.from({ length: 1000 }, (_, at) => line(at + 1, { embedding: undefined })).join('')
  const input = `${without}${line(1001, { embedding: [1, 2, 3, 4] })}`
  const options = ['--metric', 'dot', '--durability', 'commit']
  expect(thermocline(['import', directory, ...options], { input })).toMatchObject({ code: 0, stderr: '' })
  expect(idsIn(directory)).toEqual(expectedIds(1001))
  const { dimensions, metric } = useStore(directory, (store) => store.stats())
  expect([dimensions, metric]).toEqual([4, 'dot'])
})

test('a new store without embedding or --dimensions is a usage error, and nothing is created', () => {
  const cwd = temporaryDirectory()
  const input = '{"id": "a"}\n{"id": "b", "embedding": null}\n{"id": "c", "embedding": []}\n'
  const outcome = thermocline(['import', 'store', '--json'], { cwd, input })
  expect([outcome.code, failureIn(outcome).message]).toEqual([2, expect.stringContaining('--dimensions')])
  expect(readdirSync(cwd)).toEqual([])
  const given = thermocline(['import', 'store', '--dimensions', '3'], { cwd, input: '{"id": "a"}\n{"id": "b"}\n' })
  expect([given.code, idsIn(join(cwd, 'store'))]).toEqual([0, ['a', 'b']])
})

test('options that an existing store contradicts fail before anything is written', () => {
  const directory = makeStore(join(temporaryDirectory(), 'store'), [{ id: 'old' }])
  const dimensions = thermocline(['import', directory, '--dimensions', '4'], { input: lines(1) })
  expect([dimensions.code, dimensions.stderr]).toEqual([
    1,
    `thermocline import: ${directory}: the store has 3 dimensions, not 4 (THERMOCLINE_DIMENSION)\n`,
  ])
  const metric = thermocline(['import', directory, '--metric', 'dot', '--json'], { input: lines(1) })
  expect([metric.code, failureIn(metric).code]).toEqual([1, 'THERMOCLINE_MISMATCH'])
  expect(idsIn(directory)).toEqual(['old'])
})

test('an input file that is missing or a directory creates no store', () => {
  const cwd = temporaryDirectory()
  mkdirSync(join(cwd, 'folder'))
  for (const [file, told] of [
    ['absent.jsonl', 'ENOENT'],
    ['folder', 'folder is a directory'],
    ['', 'ENOENT'],
  ] as const) {
    const { code, stdout, stderr } = thermocline(['import', 'store', file, '--dimensions', '3'], { cwd })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(told)
    expect(stderr).toContain('(THERMOCLINE_IO)')
  }
  expect(existsSync(join(cwd, 'store'))).toBe(false)
})

test('a first line that is bad creates no store, whatever tells the dimensions', () => {
  const cwd = temporaryDirectory()
  const good = '{"id":"a","embedding":[1,2,3]}'
  for (const [input, options, told] of [
    [good, ['--dimensions', '4'], 'line 1: an embedding must have 4 elements, not 3; 0 memories written'],
    ['{"id":1}', ['--dimensions', '3'], 'line 1: an id must be a string, not 1; 0 memories written'],
    [`\n{"id":""}\n${good}`, [], 'line 2: an id must have 1 to 511 bytes of UTF-8, not 0; 0 memories written'],
  ] as const) {
    const { code, stdout, stderr } = thermocline(['import', 'store', ...options], { cwd, input })
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(told)
  }
  expect(existsSync(join(cwd, 'store'))).toBe(false)
})

test('a summary on stdout, nothing with --quiet, a file and a redirected file alike', () => {
  const scene = temporaryDirectory()
  const file = join(scene, 'memories.jsonl')
  writeFileSync(file, lines(3))
  const named = thermocline(['import', join(scene, 'a'), file])
  expect(named.stdout).toMatch(/^imported: 3 memories from .*memories\.jsonl in \d+\.\d s\n$/)
  const quiet = thermocline(['import', join(scene, 'b'), '-q'], { input: readFileSync(file) })
  expect(quiet).toEqual({ code: 0, stdout: '', stderr: '' })
  const redirected = ['-c', 'exec "$@" < "$0"', file, process.execPath, bin, 'import', join(scene, 'c')]
  expect(spawnSync('sh', redirected).status).toBe(0)
  expect(idsIn(join(scene, 'c'))).toEqual(expectedIds(3))
})

/** Resolves when the store has so many memories, written by another process. */
async function waitForMemories(directory: string, count: number): Promise<void> {
  while (!existsSync(join(directory, 'meta'))) await new Promise((resolve) => setImmediate(resolve))
  const store = open(directory, { readOnly: true })
  for await (const { sequence } of store.changes({ follow: true })) if (sequence >= count) break
  store.close()
}

test('a line that comes through a pipe is in the store before the next one comes', async () => {
  const directory = join(temporaryDirectory(), 'store')
  const running = new Running(['import', directory])
  for (const at of [1, 2, 3]) {
    running.process.stdin.write(line(at))
    await waitForMemories(directory, at)
  }
  running.process.stdin.end()
  expect(await running.ended).toMatchObject({ code: 0 })
})

/** Writes lines for as long as anybody takes them. */
async function feed({ process: { stdin } }: Running): Promise<void> {
  const closed = new Promise((resolve) => stdin.once('close', resolve))
  for (let at = 1; !stdin.destroyed; at += 100) {
    const text = Array.from({ length: 100 }, (_, offset) => line(at + offset)).join('')
    if (!stdin.write(text)) await Promise.race([new Promise((resolve) => stdin.once('drain', resolve)), closed])
  }
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s in the middle leaves a whole store with a prefix of the lines',
  async (signal) => {
    const directory = join(temporaryDirectory(), 'store')
    const running = new Running(['import', directory, '--json'])
    const fed = feed(running)
    await waitForMemories(directory, 500)
    running.process.kill(signal)
    const outcome = await running.ended
    await fed
    const { code, exitCode, details } = failureIn(outcome)
    const { written, line: next } = details as { written: number; line: number }
    expect([outcome.code, exitCode, code]).toEqual(
      Array(2)
        .fill(signal === 'SIGINT' ? 130 : 143)
        .concat('THERMOCLINE_ABORTED'),
    )
    expect(written).toBeGreaterThanOrEqual(500)
    expect(next).toBe(written + 1)
    expect(idsIn(directory)).toEqual(expectedIds(written))
    await expectWhole(directory)
  },
)

test('a signal that arrives twice at once counts as one; a second after that means it', () => {
  const kill = vi.spyOn(process, 'kill').mockImplementation(() => true)
  const now = vi.spyOn(performance, 'now').mockReturnValue(5000)
  onTestFinished(() => void vi.restoreAllMocks())
  const listeners = process.listenerCount('SIGHUP')
  const interruption = new Interruption()
  process.emit('SIGHUP', 'SIGHUP')
  expect([interruption.signal.aborted, interruption.exitCode]).toEqual([true, 129])
  now.mockReturnValue(5999)
  process.emit('SIGHUP', 'SIGHUP')
  expect(kill).not.toHaveBeenCalled()
  now.mockReturnValue(6001)
  process.emit('SIGHUP', 'SIGHUP')
  expect(kill.mock.calls).toEqual([[process.pid, 'SIGHUP']])
  expect(process.listenerCount('SIGHUP')).toBe(listeners)
})

test('SIGINT while nothing comes: at once, what came before is there', async () => {
  const scene = temporaryDirectory()
  const pipe = join(scene, 'pipe')
  expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
  for (const args of [['-'], [pipe]]) {
    const directory = join(scene, `store ${args[0] === '-'}`)
    const running = new Running(['import', directory, ...args])
    // Half a line is none.
    const text = `${lines(2)}{"id": "half`
    const writer = args[0] === '-' ? running.process.stdin : createWriteStream(pipe)
    writer.write(text)
    await waitForMemories(directory, 2)
    running.process.kill('SIGINT')
    const { code, stderr } = await running.ended
    writer.destroy()
    expect([code, stderr]).toEqual([
      130,
      'thermocline import: interrupted; 2 memories written, the rest begins at line 3 (THERMOCLINE_ABORTED)\n',
    ])
    expect(idsIn(directory)).toEqual(expectedIds(2))
    await expectWhole(directory)
  }
})

test('SIGKILL in the middle: the store opens, verifies and has a prefix of the lines', async () => {
  const directory = join(temporaryDirectory(), 'store')
  const running = new Running(['import', directory])
  const fed = feed(running)
  await waitForMemories(directory, 500)
  running.process.kill('SIGKILL')
  await running.ended
  await fed
  await expectWhole(directory)
  const ids = idsIn(directory)
  expect(ids.length).toBeGreaterThanOrEqual(500)
  expect(ids).toEqual(expectedIds(ids.length))
})

/** Private memory of a process now, in bytes; 0 when it is gone. */
function privateBytes(pid: number | undefined): number {
  try {
    const [, kibibytes = 0] = /^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kibibytes) * 1024
  } catch {
    return 0
  }
}

test('an import of any length takes the same memory', async () => {
  const directory = join(temporaryDirectory(), 'store')
  const running = new Running(['import', directory])
  const numbers = Array.from({ length: 384 }, (_, at) => at / 1000)
  const block = Array.from({ length: 200 }, (_, at) =>
    line(at, { embedding: numbers, content: 'x'.repeat(2000) }),
  ).join('')
  const { stdin, pid } = running.process
  let highest = 0
  for (let bytes = 0; bytes < bytesOfLongImport; bytes += block.length) {
    if (!stdin.write(block)) await once(stdin, 'drain')
    highest = Math.max(highest, privateBytes(pid))
  }
  stdin.end()
  expect(await running.ended).toMatchObject({ code: 0 })
  console.log(`import of ${bytesOfLongImport / 2 ** 20} MiB: ${(highest / 2 ** 20).toFixed(0)} MiB of private memory`)
  expect(highest).toBeLessThan(privateBytesMax)
})

test('a line that no memory can have is refused before it fills the memory', () => {
  const splitter = new LineSplitter()
  const chunk = Buffer.alloc(16 * 2 ** 20, 'x')
  const swallow = (): void => {
    for (let chunks = 0; chunks < 30; chunks++) expect([...splitter.push(chunk)]).toEqual([])
  }
  expect(swallow).toThrow(expect.objectContaining({ code: 'THERMOCLINE_TOO_LARGE', details: { line: 1 } }))
})
