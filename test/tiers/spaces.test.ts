// Spaces: apart, lazily made, listed, dropped for real, within a budget, safe from tricks with names.

import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { openSpaces, type Spaces, type SpacesOptions } from 'thermocline'
import { expect, onTestFinished, test } from 'vitest'
import { isNightly } from '../support/concurrent.js'
import { codeOf } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

function open(options: SpacesOptions = {}, root = temporaryDirectory()): Spaces & { root: string } {
  const spaces = openSpaces(root, { dimensions: 2, durability: 'none', mover: false, ...options })
  onTestFinished(() => spaces.close())
  return Object.assign(spaces, { root })
}

test('EP-SPACE-1: the same id in two spaces keeps two contents, also after reopening', () => {
  const spaces = open()
  spaces.space('ada').put({ id: 'same', content: 'of ada' })
  spaces.space('bob').put({ id: 'same', content: 'of bob' })
  spaces.close()
  const again = open({}, spaces.root)
  expect(again.list()).toEqual(['ada', 'bob'])
  expect(['ada', 'bob'].map((name) => again.space(name).get('same')?.content)).toEqual(['of ada', 'of bob'])
})

test('using closes the spaces and the stores that were taken from them', () => {
  const store = (() => {
    using spaces = openSpaces(temporaryDirectory(), { dimensions: 2, durability: 'none', mover: false })
    const space = spaces.space('ada')
    space.put({ id: 'a' })
    return space
  })()
  expect(codeOf(() => store.get('a'))).toBe('CLOSED')
})

test('EP-SPACE-2: names that could lead elsewhere are refused, and nothing is made', () => {
  const spaces = open()
  const tricks = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\\b',
    '/etc',
    'a\0',
    'A',
    'ü',
    '-a',
    '_a',
    'a.b',
    ' a',
    'x'.repeat(65),
    'con.',
  ]
  for (const name of tricks) {
    for (const call of [() => spaces.space(name), () => spaces.has(name)]) expect(codeOf(call)).toBe('ARGUMENT')
  }
  expect(codeOf(() => spaces.space(7 as never))).toBe('ARGUMENT')
  expect(readdirSync(spaces.root)).toEqual([])
})

test('EP-SPACE-3: asking for a space again gives the same one, however many are open', () => {
  const spaces = open({ openMax: 3 })
  const handles = Array.from({ length: 10 }, (_, at) => spaces.space(`s${at}`))
  for (const [at, store] of handles.entries()) store.put({ id: 'a', content: `${at}` })
  expect(spaces.stats()).toEqual({ spaces: 10, open: 3 })
  // Those that were closed to make room are opened again.
  for (const [at, store] of handles.entries()) expect(store.get('a')?.content).toBe(`${at}`)
  expect(spaces.space('s4')).toBe(handles[4])
})

test('EP-SPACE-4: a thousand who ask for a space at once are given the same', async () => {
  const spaces = open()
  const asked = await Promise.all(Array.from({ length: 1000 }, async (_, at) => spaces.space(`s${at % 10}`)))
  for (const [at, store] of asked.entries()) store.put({ id: `m${at}` })
  expect(new Set(asked).size).toBe(10)
  expect(spaces.list().map((name) => spaces.space(name).size)).toEqual(Array(10).fill(100))
})

test('a space costs nothing until it is used', () => {
  const spaces = open()
  spaces.space('ada')
  expect([spaces.list(), spaces.has('ada')]).toEqual([[], false])
})

test('a dropped space is gone from the disk and from searches', async () => {
  const spaces = open()
  for (const name of ['ada', 'bob']) spaces.space(name).put({ id: name, embedding: [1, 0] })
  expect(await spaces.drop('ada')).toBe(true)
  expect([await spaces.drop('ada'), existsSync(join(spaces.root, 'ada')), readdirSync(spaces.root)]).toEqual([
    false,
    false,
    ['bob'],
  ])
  expect((await spaces.search([1, 0])).map(({ space }) => space)).toEqual(['bob'])
})

test('a search over several spaces merges their hits', async () => {
  const spaces = open()
  for (const [at, name] of ['a', 'b', 'c'].entries()) spaces.space(name).put({ id: 'x', embedding: [1, at] })
  expect((await spaces.search([1, 0], { limit: 2 })).map(({ space }) => space)).toEqual(['a', 'b'])
  expect((await spaces.search([1, 0], { spaces: ['c', 'absent'] })).map(({ space }) => space)).toEqual(['c'])
  expect(spaces.list()).toEqual(['a', 'b', 'c'])
})

test('beyond the budget of all spaces the faintest memories are forgotten', async () => {
  const spaces = open({ bytesMax: 2500 })
  for (const [at, name] of ['a', 'b', 'c', 'd'].entries()) {
    spaces.space(name).put({ id: 'x', content: 'y'.repeat(1000), activation: (at + 1) / 4 })
  }
  const { bytes, forgotten } = await spaces.maintain()
  expect(bytes).toBeGreaterThan(4000)
  expect(forgotten).toEqual([
    { space: 'a', id: 'x' },
    { space: 'b', id: 'x' },
  ])
})

/** Bytes that the file system gave a directory and all in it. */
function allocatedBytes(path: string): number {
  const { blocks } = lstatSync(path)
  const names = lstatSync(path).isDirectory() ? readdirSync(path) : []
  return names.reduce((sum, name) => sum + allocatedBytes(join(path, name)), blocks * 512)
}

test('a thousand empty spaces take less than 50 MB of disk, open and closed, also when they are opened again', {
  timeout: 300_000,
}, () => {
  const count = isNightly ? 1000 : 50
  const bytesMax = 50_000 // of one
  const root = temporaryDirectory()
  const open768 = (): Spaces => openSpaces(root, { dimensions: 768, durability: 'flush', openMax: 8 })
  for (let round = 0; round < 2; round++) {
    const spaces = open768()
    for (let at = 0; at < count; at++) expect(spaces.space(`user-${at}`).size).toBe(0)
    expect(allocatedBytes(root) / count).toBeLessThan(bytesMax)
    spaces.close()
    expect(allocatedBytes(root) / count).toBeLessThan(bytesMax)
  }
  const spaces = open768()
  onTestFinished(() => spaces.close())
  spaces.space('user-7').put({ id: 'a', content: 'here' })
  expect(spaces.space('user-7').get('a')?.content).toBe('here')
})
