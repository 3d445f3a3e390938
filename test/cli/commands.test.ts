// Goal: every command does what its help says and ends with the exit code that belongs to it. Method: the built
// command is run on small stores; what the library does not support yet it must report as the library does.

import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Memory, open, salvage, type VerifyResult } from 'thermocline'
import { expect, test } from 'vitest'
import { root } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'
import { failureIn, makeStore, memoriesIn, thermocline, useStore } from './support/command.js'

const { version } = createRequire(import.meta.url)(join(root, 'package.json')) as { version: string }
const commands = ['stats', 'get', 'search', 'import', 'export', 'verify', 'compact', 'backup', 'salvage']
const oneLine = /^[^\n]+\n$/

const three = [
  { id: 'm1', embedding: [0.1, 0.9, 0], content: 'likes tea', metadata: { user: 'ada' }, createdAt: 1000 },
  { id: 'm2', embedding: [0.8, 0, 0.1], content: 'plays chess', createdAt: 2000 },
  { id: 'm3', content: 'no\nembedding', createdAt: 3000 },
]

function smallStore(): string {
  const directory = join(temporaryDirectory(), 'store')
  // A frame each, so that damage concerns one of them.
  useStore(directory, (store) => three.map((memory) => store.put(memory)), { dimensions: 3 })
  return directory
}

test('--version prints the version of the package', () => {
  expect(thermocline(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
})

test('--json makes one JSON value of the version and of every help', () => {
  expect(thermocline(['--version', '--json']).stdout).toBe(`"${version}"\n`)
  for (const args of [['--help'], ['help', 'stats'], ['stats', '--help']]) {
    const { code, stdout } = thermocline([...args, '--json'])
    expect([code, `${JSON.parse(stdout)}\n`]).toEqual([0, thermocline(args).stdout])
  }
})

test('--help names every command, and each command explains itself with examples, within 120 columns', () => {
  const general = thermocline(['--help'])
  const texts = [general.stdout]
  for (const name of commands) {
    expect(general.stdout).toMatch(new RegExp(`^  ${name} <`, 'm'))
    const { code, stdout, stderr } = thermocline([name, '--help'])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(new RegExp(`^thermocline ${name} <`))
    expect(stdout).toMatch(/^Examples:\n(?: {2}.*thermocline .*\n)+/m)
    texts.push(stdout)
  }
  expect(thermocline(['help'])).toEqual(general)
  expect(thermocline(['help', 'salvage']).stdout).toBe(texts.at(-1))
  for (const line of texts.join('').split('\n')) expect(line.length, line).toBeLessThanOrEqual(120)
})

const usageErrors: [string, string[]][] = [
  ['no command', []],
  ['an unknown command', ['stat', 'x']],
  ['a missing argument', ['stats']],
  ['a missing second argument', ['get', 'x']],
  ['an argument too many', ['stats', 'x', 'y']],
  ['an empty path', ['stats', '']],
  ['an unknown option', ['stats', 'x', '--verbose']],
  ['an option of another command', ['stats', 'x', '--limit', '3']],
  ['an option without its value', ['search', 'x', '--like']],
  ['a limit of zero', ['search', 'x', '--like', 'a', '--limit', '0']],
  ['a limit in words', ['search', 'x', '--like', 'a', '-n', 'ten']],
  ['a score that is no number', ['search', 'x', '--like', 'a', '--min-score', 'high']],
  ['a filter that is no JSON', ['search', 'x', '--like', 'a', '--filter', '{']],
  ['neither --like nor --embedding', ['search', 'x']],
  ['both --like and --embedding', ['search', 'x', '--like', 'a', '--embedding', '-']],
  ['dimensions out of range', ['import', 'x', '--dimensions', '5000']],
  ['an unknown metric', ['import', 'x', '--metric', 'euclid']],
  ['an unknown durability', ['import', 'x', '--durability', 'always']],
]

test.each(usageErrors)('%s is a usage error: exit code 2 and one line', (_, args) => {
  const cwd = temporaryDirectory()
  const { code, stdout, stderr } = thermocline(args, { cwd })
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(oneLine)
  expect(stderr).toMatch(/^thermocline.*\(THERMOCLINE_ARGUMENT\)\n$/)
  expect(readdirSync(cwd)).toEqual([])
})

test('with --json a failure is one JSON object on stderr, also of a command line that cannot be parsed', () => {
  const cwd = temporaryDirectory()
  for (const args of [
    ['--json', 'stats', 'x', '--verbose'],
    ['stats', '--json'],
  ]) {
    const outcome = thermocline(args, { cwd })
    expect([outcome.code, outcome.stdout]).toEqual([2, ''])
    expect(outcome.stderr).toMatch(oneLine)
    expect(failureIn(outcome)).toEqual({
      code: 'THERMOCLINE_ARGUMENT',
      message: expect.any(String),
      retryable: false,
      details: {},
      exitCode: 2,
    })
  }
  const absent = thermocline(['get', 'absent', 'm1', '--json'], { cwd })
  expect([absent.code, failureIn(absent)]).toMatchObject([3, { code: 'THERMOCLINE_NOT_FOUND', exitCode: 3 }])
  expect(readdirSync(cwd)).toEqual([])
})

const pathCommands: [string, string[]][] = [
  ['stats', []],
  ['get', ['m1']],
  ['search', ['--like', 'm1']],
  ['export', []],
  ['verify', []],
  ['compact', []],
  ['backup', ['copy']],
]

test.each(pathCommands)('%s of no store: exit code 3, and nothing is created', (name, rest) => {
  const cwd = temporaryDirectory()
  const absent = thermocline([name, 'absent', ...rest], { cwd })
  expect([absent.code, absent.stdout]).toEqual([3, ''])
  expect(absent.stderr).toBe(`thermocline ${name}: absent: there is no store (THERMOCLINE_NOT_FOUND)\n`)
  expect(readdirSync(cwd)).toEqual([])
})

test('a foreign directory is no store: exit code 3, and nothing is created in it', () => {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'letter.txt'), 'dear')
  for (const args of [
    ['stats', directory],
    ['import', directory, '--dimensions', '3'],
  ]) {
    const { code, stdout, stderr } = thermocline(args)
    expect([code, stdout, stderr]).toEqual([3, '', expect.stringContaining('THERMOCLINE_NOT_A_STORE')])
    expect(readdirSync(directory)).toEqual(['letter.txt'])
  }
})

test('stats --json is what the library says, and the table has its figures', () => {
  const directory = smallStore()
  const expected = useStore(directory, (store) => store.stats(), { readOnly: true })
  const json = thermocline(['stats', directory, '--json'])
  expect([json.code, json.stderr]).toEqual([0, ''])
  expect(JSON.parse(json.stdout)).toEqual({ ...expected, openMs: expect.any(Number) })
  const table = thermocline(['stats', directory]).stdout
  expect(table).toMatch(/^memories {4}3$/m)
  expect(table).toMatch(/^dimensions {2}3$/m)
  expect(table).toMatch(/^on disk {5}\d+(\.\d+)? KiB$/m)
})

test('get --json is the memory, sequence included; without it, a table and the content', () => {
  const directory = smallStore()
  const json = thermocline(['get', directory, 'm1', '--json'])
  expect([json.code, json.stderr]).toEqual([0, ''])
  expect(JSON.parse(json.stdout)).toEqual({
    id: 'm1',
    embedding: [0.1, 0.9, 0],
    content: 'likes tea',
    metadata: { user: 'ada' },
    confidence: 1,
    createdAt: 1000,
    activation: 1,
    lastAccess: 1000,
    recallCount: 0,
    sequence: 1,
  })
  const text = thermocline(['get', directory, 'm1']).stdout
  expect(text).toMatch(/^id {11}m1$/m)
  expect(text).toMatch(/^created {6}1970-01-01T00:00:01\.000Z$/m)
  expect(text).toMatch(/^embedding {4}\[0\.1, 0\.9, 0\] \(3 dimensions\)$/m)
  expect(text).toMatch(/\n\nlikes tea\n$/)
})

test('get of an absent memory: exit code 3', () => {
  const directory = smallStore()
  const { code, stdout, stderr } = thermocline(['get', directory, 'm9'])
  expect([code, stdout]).toEqual([3, ''])
  expect(stderr).toBe(`thermocline get: ${directory}: there is no memory 'm9' (THERMOCLINE_NOT_FOUND)\n`)
})

test('an id that begins with a dash comes after --', () => {
  const directory = makeStore(join(temporaryDirectory(), 'store'), [{ id: '--json', content: 'dashed' }])
  expect(thermocline(['get', directory, '--', '--json']).stdout).toContain('dashed')
})

test('what a memory holds cannot write to the terminal of who looks at it', () => {
  const evil = 'a\u001b[31m\u0007\u202eb'
  const memory = { id: `i${evil}`, embedding: [1, 0, 0], content: `first\n${evil}\tend`, metadata: { k: evil } }
  const directory = makeStore(join(temporaryDirectory(), 'store'), [memory, { id: 'm2', embedding: [1, 0, 0] }])
  for (const args of [
    ['get', directory, memory.id],
    ['search', directory, '--like', 'm2'],
    ['get', directory, `absent${evil}\n`],
  ]) {
    const { stdout, stderr } = thermocline(args)
    expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n\t]|\u202e/u)
  }
  expect(thermocline(['get', directory, memory.id]).stdout).toMatch(/first\na\\u001b\[31m\\u0007\\u202eb\tend\n$/)
  expect(thermocline(['get', directory, `absent${evil}\n`]).stderr).toMatch(oneLine)
})

function idsOf(stdout: string): string[] {
  return (JSON.parse(stdout) as { memory: Memory }[]).map(({ memory }) => memory.id)
}

test('search --like leaves the memory itself out and finds what the library finds', () => {
  const directory = smallStore()
  const { code, stdout } = thermocline(['search', directory, '--like', 'm1', '--json'])
  expect(code).toBe(0)
  const [expected] = useStore(directory, (store) => store.searchSync([0.1, 0.9, 0]).slice(1), { readOnly: true })
  expect(JSON.parse(stdout)).toEqual([
    { score: expected?.score, memory: { ...expected?.memory, embedding: [0.8, 0, 0.1] } },
  ])
  const table = thermocline(['search', directory, '--like', 'm1']).stdout
  expect(table).toMatch(/^ score {2}id {2}content\n\d\.\d{4} {2}m2 {2}plays chess\n$/)
})

test('search --like keeps to its limit, also among memories that are equal to the asked one', () => {
  const equal = Array.from({ length: 5 }, (_, at) => ({ id: `e${at}`, embedding: [1, 0, 0] }))
  const directory = makeStore(join(temporaryDirectory(), 'store'), equal)
  const found = thermocline(['search', directory, '--like', 'e4', '--limit', '2', '--json'])
  expect(idsOf(found.stdout)).toEqual(['e0', 'e1'])
  const first = thermocline(['search', directory, '--like', 'e0', '--limit', '2', '--json'])
  expect(idsOf(first.stdout)).toEqual(['e1', 'e2'])
})

test('search --like of a memory without embedding fails, of an absent one ends with 3', () => {
  const directory = smallStore()
  const without = thermocline(['search', directory, '--like', 'm3'])
  expect([without.code, without.stderr]).toEqual([1, expect.stringContaining('(THERMOCLINE_ARGUMENT)')])
  expect(thermocline(['search', directory, '--like', 'm9']).code).toBe(3)
})

test('search --embedding takes an array or a memory, from a file or stdin', () => {
  const directory = smallStore()
  const search = ['search', directory, '--json', '--embedding']
  expect(idsOf(thermocline([...search, '-'], { input: '\ufeff[1, 0,\n 0]\n' }).stdout)).toEqual(['m2', 'm1'])
  const file = join(temporaryDirectory(), 'query.json')
  writeFileSync(file, thermocline(['get', directory, 'm1', '--json']).stdout)
  expect(idsOf(thermocline([...search, file]).stdout)).toEqual(['m1', 'm2'])
  expect(idsOf(thermocline([...search, file, '--limit', '1']).stdout)).toEqual(['m1'])
  expect(idsOf(thermocline([...search, file, '--min-score', '0.5']).stdout)).toEqual(['m1'])
  expect(thermocline([...search, '-', '--min-score', '2'], { input: '[1, 0, 0]' }).stdout).toBe('[]\n')
})

test('search --min-score takes a negative number as it is', () => {
  const directory = makeStore(join(temporaryDirectory(), 'store'), three, { dimensions: 3, metric: 'l2' })
  const search = ['search', directory, '--json', '--embedding', '-', '--min-score']
  expect(idsOf(thermocline([...search, '-0.5'], { input: '[0.1, 0.8, 0]' }).stdout)).toEqual(['m1'])
})

test('--filter and --where keep to what matches; a filter that is none fails', () => {
  const directory = smallStore()
  const filter = JSON.stringify({ metadata: { user: 'ada' } })
  const found = thermocline(['search', directory, '--embedding', '-', '--filter', filter, '--json'], {
    input: '[1, 1, 1]',
  })
  expect(idsOf(found.stdout)).toEqual(['m1'])
  const exported = thermocline(['export', directory, '--where', filter]).stdout
  expect(exported.split('\n').map((line) => line.slice(0, 10))).toEqual(['{"id":"m1"', ''])
  const wrong = thermocline(['export', directory, '--where', '{"colour": "red"}', '--json'])
  expect([wrong.code, wrong.stdout, failureIn(wrong).code]).toEqual([1, '', 'THERMOCLINE_ARGUMENT'])
})

test.each([
  ['no JSON', 'one two', 'ARGUMENT'],
  ['no array', '{"content": "x"}', 'ARGUMENT'],
  ['words', '["a", "b", "c"]', 'ARGUMENT'],
  ['too few numbers', '[1, 2]', 'DIMENSION'],
  ['zeros', '[0, 0, 0]', 'ARGUMENT'],
])('search --embedding of %s fails with a coded error', (_, input, code) => {
  const outcome = thermocline(['search', smallStore(), '--embedding', '-', '--json'], { input })
  expect([outcome.code, outcome.stdout, failureIn(outcome).code]).toEqual([1, '', `THERMOCLINE_${code}`])
})

test('verify: exit code 0 when all is well, 4 with a list when it is not', () => {
  const directory = smallStore()
  expect(thermocline(['verify', directory])).toEqual({ code: 0, stdout: 'ok: 3 memories checked\n', stderr: '' })
  expect(thermocline(['verify', directory, '--quiet'])).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(JSON.parse(thermocline(['verify', directory, '--json']).stdout)).toEqual({
    ok: true,
    memories: 3,
    problems: [],
  })
  damageContent(directory)
  const damaged = thermocline(['verify', directory])
  expect([damaged.code, damaged.stderr]).toEqual([4, ''])
  expect(damaged.stdout).toMatch(
    /^problem +file +offset {2}id\nTHERMOCLINE_CORRUPT {2}1\.log +\d+ {2}m2\n1 problem in /,
  )
  const json = thermocline(['verify', directory, '--json'])
  const { ok, problems } = JSON.parse(json.stdout) as VerifyResult
  expect([json.code, ok, problems]).toEqual([
    4,
    false,
    [{ code: 'THERMOCLINE_CORRUPT', file: '1.log', offset: expect.any(Number), id: 'm2' }],
  ])
})

/** Changes a letter of the second memory's content, where no header lies. */
function damageContent(directory: string): void {
  const file = join(directory, '1.log')
  const bytes = readFileSync(file)
  const at = bytes.indexOf('plays chess')
  expect(at).toBeGreaterThan(0)
  bytes[at] = 'b'.charCodeAt(0)
  writeFileSync(file, bytes)
}

test('verify of a store that is too damaged to be opened: exit code 4 as well', () => {
  const directory = smallStore()
  const meta = readFileSync(join(directory, 'meta'))
  meta[100] = (meta[100] ?? 0) ^ 1
  writeFileSync(join(directory, 'meta'), meta)
  const outcome = thermocline(['verify', directory, '--json'])
  expect([outcome.code, failureIn(outcome)]).toEqual([
    4,
    expect.objectContaining({ code: 'THERMOCLINE_CORRUPT', exitCode: 4 }),
  ])
  expect(thermocline(['stats', directory]).code).toBe(1)
})

/** What the files of a store show from outside; the lock file is where each process signs in. */
function filesOf(directory: string): object[] {
  return readdirSync(directory)
    .filter((name) => name !== 'lock')
    .map((name) => ({ name, size: statSync(join(directory, name)).size, at: statSync(join(directory, name)).mtimeMs }))
}

test('the reading commands leave every file of the store as it is', () => {
  const directory = smallStore()
  const before = filesOf(directory)
  for (const [name, rest] of pathCommands) {
    if (name !== 'compact' && name !== 'backup') expect(thermocline([name, directory, ...rest]).code).toBe(0)
  }
  expect(filesOf(directory)).toEqual(before)
})

test.each(['compact', 'backup', 'salvage'])('%s does and reports what the library does', async (name) => {
  const scene = temporaryDirectory()
  const directory = smallStore()
  const twin = join(scene, 'twin')
  cpSync(directory, twin, { recursive: true })
  const inLibrary = async (): Promise<object> => {
    if (name === 'salvage') return salvage(twin, join(scene, 'library-target'))
    const store = open(twin, { create: false })
    const work = name === 'compact' ? store.compact() : store.backup(join(scene, 'library-target'))
    return work.finally(() => store.close())
  }
  const target = join(scene, 'target')
  const before = memoriesIn(directory)
  const args = name === 'compact' ? [name, directory] : [name, directory, target]
  const outcome = thermocline([...args, '--json'])
  expect([outcome.code, outcome.stderr]).toEqual([0, ''])
  expect(Object.keys(JSON.parse(outcome.stdout))).toEqual(Object.keys(await inLibrary()))
  expect(memoriesIn(name === 'compact' ? directory : target)).toEqual(before)
  expect(existsSync(target)).toBe(name !== 'compact')
})

test('a binary that is missing is told in one line, with --json in one object', () => {
  const env = { THERMOCLINE_ADDON: '/nowhere.node' }
  const { code, stdout, stderr } = thermocline(['stats', 'x'], { env })
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/nowhere\.node/)
  expect(stderr).not.toContain('    at ')
  expect(failureIn(thermocline(['stats', 'x', '--json'], { env }))).toEqual({
    code: expect.any(String),
    message: expect.stringContaining('nowhere.node'),
    retryable: false,
    details: {},
    exitCode: 1,
  })
})
