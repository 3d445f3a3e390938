// Goal: the commands take the directory of a tiered store as they take any other, cold memories included. Method: the
// built command is run on a store of which a part lies in cold, and compared with the library.

import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Memory, type MemoryStore, openSpaces, openTiered } from 'thermocline'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { memoriesIn, thermocline } from './support/command.js'

const cold = ['c1', 'c2']
const memories = [
  {
    id: 'c1',
    embedding: [1, 0, 0],
    content: 'flew to Oslo',
    metadata: { user: 'ada' },
    createdAt: 1000,
    confidence: 0.5,
  },
  { id: 'c2', content: 'no embedding', createdAt: 1500 },
  { id: 'w1', embedding: [0, 1, 0], content: 'likes tea', metadata: { user: 'bob' }, createdAt: 2000 },
]

/** Makes it in a directory and sends two memories to cold. */
async function fill(store: MemoryStore): Promise<void> {
  store.putMany(memories)
  expect(await store.maintain({ demote: cold })).toMatchObject({ demoted: 2 })
  store.close()
}

async function tieredStore(): Promise<string> {
  const directory = join(temporaryDirectory(), 'agent')
  await fill(openTiered(directory, { dimensions: 3, mover: false }))
  return directory
}

function useTiered<T>(directory: string, use: (store: MemoryStore) => T): T {
  const store = openTiered(directory, { readOnly: true, mover: false })
  try {
    return use(store)
  } finally {
    store.close()
  }
}

/** Every file below a directory but those where processes sign in, with its size and time. */
function filesOf(directory: string): object[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/(^|\/)lock$/.test(name))
    .sort()
    .flatMap((name) => {
      const stats = statSync(join(directory, name))
      return stats.isFile() ? [{ name, size: stats.size, at: stats.mtimeMs }] : []
    })
}

const ids = (store: MemoryStore): string[] => Array.from(store.entries(), ({ id }) => id).sort()

test('stats, get, search, verify and export see every memory, and change no file', async () => {
  const directory = await tieredStore()
  const before = filesOf(directory)
  const stats = thermocline(['stats', directory])
  expect(stats).toMatchObject({ code: 0, stderr: '' })
  expect(stats.stdout).toMatch(/^memories {4}3$/m)
  expect(stats.stdout).toMatch(/^ {2}warm {6}1$/m)
  expect(stats.stdout).toMatch(/^ {2}cold {6}2 in 1 file, \d/m)
  expect(JSON.parse(thermocline(['stats', directory, '--json']).stdout)).toMatchObject({
    memories: 3,
    tiers: { cold: { memories: 2, segments: 1 } },
  })
  const expected = useTiered(directory, (store) => store.get('c1')) as Memory
  const got = thermocline(['get', directory, 'c1', '--json'])
  expect([got.code, JSON.parse(got.stdout)]).toEqual([0, { ...expected, embedding: [1, 0, 0] }])
  const found = thermocline(['search', directory, '--embedding', '-'], { input: '[1, 0, 0]' })
  expect(found.stdout).toMatch(/^ score {2}id {2}content\n1\.0000 {2}c1 {2}flew to Oslo\n0\.0000 {2}w1 {2}likes tea\n$/)
  expect(thermocline(['verify', directory])).toEqual({ code: 0, stdout: 'ok: 3 memories checked\n', stderr: '' })
  expect(thermocline(['export', directory]).stdout.split('\n')).toHaveLength(4)
  expect(filesOf(directory)).toEqual(before)
})

test('what is exported of all tiers imports as equal memories into a store of one', async () => {
  const directory = await tieredStore()
  const copy = join(temporaryDirectory(), 'copy')
  const input = thermocline(['export', directory]).stdout
  expect(thermocline(['import', copy], { input })).toMatchObject({ code: 0, stderr: '' })
  const plain = ({ sequence: _, ...memory }: Memory): object => memory
  const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1)
  const all = useTiered(directory, (store) => Array.from(store.entries()).sort(byId).map(plain))
  expect(memoriesIn(copy).sort(byId)).toEqual(all)
})

test('import writes into a tiered store, also over a memory in cold', async () => {
  const directory = await tieredStore()
  const outcome = thermocline(['import', directory, '--json'], { input: '{"id":"c1","content":"new"}\n{"id":"n1"}\n' })
  expect([outcome.code, JSON.parse(outcome.stdout)]).toMatchObject([0, { written: 2, lines: 2 }])
  expect(useTiered(directory, (store) => [store.get('c1')?.content, ids(store)])).toEqual([
    'new',
    ['c1', 'c2', 'n1', 'w1'],
  ])
  const bad = thermocline(['import', directory, '--json'], { input: '{"id":"n2"}\n{"id":5}\n' })
  expect([bad.code, JSON.parse(bad.stderr)]).toMatchObject([1, { details: { line: 2, written: 1 } }])
  expect(useTiered(directory, (store) => store.has('n2'))).toBe(true)
})

test('backup copies all tiers, compact keeps them', async () => {
  const directory = await tieredStore()
  const target = join(temporaryDirectory(), 'backup')
  expect(JSON.parse(thermocline(['backup', directory, target, '--json']).stdout)).toMatchObject({ memories: 3 })
  expect(thermocline(['compact', directory]).code).toBe(0)
  for (const each of [directory, target]) expect(useTiered(each, ids)).toEqual(['c1', 'c2', 'w1'])
})

test('a space is a tiered store; a foreign directory that holds something named warm is no store', () => {
  const root = temporaryDirectory()
  const spaces = openSpaces(root, { dimensions: 3, mover: false })
  spaces.space('ada').put({ id: 'a', content: 'of ada' })
  spaces.close()
  expect(thermocline(['get', join(root, 'ada'), 'a']).stdout).toContain('of ada')
  const foreign = temporaryDirectory()
  writeFileSync(join(foreign, 'warm'), 'clothes')
  for (const args of [
    ['stats', foreign],
    ['import', foreign, '--dimensions', '3'],
  ]) {
    const { code, stderr } = thermocline(args, { input: '{"id":"a"}\n' })
    expect([code, stderr]).toEqual([3, expect.stringContaining('THERMOCLINE_NOT_A_STORE')])
  }
  expect(readdirSync(foreign)).toEqual(['warm'])
})
