// MemoryIndex: what the table of ids tells, and that it grows without losing one.

import { type MemoryIndex, openWarmTier } from 'thermocline/warm'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf, expectMisuse } from '../support/failures.js'
import { temporaryDirectory } from '../support/temporary.js'

const memoriesToGrow = 5000

function makeTier(directory = temporaryDirectory(), expectedRecords = 0) {
  const tier = openWarmTier(directory, { dimensions: 2, durability: 'none', expectedRecords })
  onTestFinished(() => tier.close())
  return tier
}

const figures = ({ size, cells, used, generation }: MemoryIndex) => ({ size, cells, used, generation })

test('an empty index has cells, none of them used, and is the first generation', () => {
  const { index } = makeTier()
  expect(figures(index)).toEqual({ size: 0, cells: index.cells, used: 0, generation: 1 })
  expect(index.cells).toBeGreaterThan(0)
})

test('size counts memories, used also the cells of deleted ones', () => {
  const tier = makeTier()
  for (const id of ['a', 'b', 'c', 'a']) tier.put({ id })
  tier.delete('b')
  expect(tier.index.size).toBe(2)
  expect(tier.index.used).toBe(3)
  tier.put({ id: 'b' })
  expect([tier.index.size, tier.index.used]).toEqual([3, 3])
})

test('has and locate agree with the store', () => {
  const tier = makeTier()
  tier.put({ id: 'a' })
  tier.put({ id: 'gone' })
  tier.delete('gone')
  for (const id of ['a', 'gone', 'never']) {
    expect(tier.index.has(id)).toBe(tier.has(id))
    expect(tier.index.locate(id)).toEqual(tier.locate(id))
  }
  expect(tier.index.locate('a')).toBeDefined()
  expect(tier.index.locate('gone')).toBeUndefined()
})

test('the index grows into new generations and still leads to every memory, deleted ones left out', () => {
  const tier = makeTier()
  const { index } = tier
  let { cells, generation } = index
  for (let at = 0; at < memoriesToGrow; at++) {
    tier.put({ id: `m${at}` })
    if (at % 5 === 0) tier.delete(`m${at}`)
    expect(index.generation).toBeGreaterThanOrEqual(generation)
    expect(index.cells).toBeGreaterThanOrEqual(cells)
    ;({ cells, generation } = index)
  }
  expect(generation).toBeGreaterThan(1)
  expect(index.used).toBeLessThan(index.cells)
  expect(index.size).toBe((memoriesToGrow * 4) / 5)
  for (let at = 0; at < memoriesToGrow; at++) expect(index.has(`m${at}`)).toBe(at % 5 !== 0)
})

test('writing and deleting ever new ids does not grow the index without end', () => {
  const tier = makeTier()
  const cells: number[] = []
  for (let round = 0; round < 8; round++) {
    for (let at = 0; at < 1000; at++) {
      tier.put({ id: `${round}/${at}` })
      tier.delete(`${round}/${at}`)
    }
    cells.push(tier.index.cells)
    expect([tier.index.size, tier.index.used < tier.index.cells]).toEqual([0, true])
  }
  expect(tier.has('7/999')).toBe(false)
})

test('expectedRecords is a hint: however large, it fills no disk and keeps no store from being made', () => {
  const { index } = makeTier(undefined, Number.MAX_SAFE_INTEGER)
  expect(index.cells).toBeGreaterThan(2 ** 22)
  expect(index.cells).toBeLessThanOrEqual(2 ** 24)
})

test('expectedRecords sizes a new index so that it need not grow', () => {
  const tier = makeTier(temporaryDirectory(), memoriesToGrow)
  tier.putMany(Array.from({ length: memoriesToGrow }, (_, at) => ({ id: `m${at}` })))
  expect(tier.index.generation).toBe(1)
})

test('every handle sees the same index', () => {
  const directory = temporaryDirectory()
  const one = makeTier(directory)
  const other = makeTier(directory)
  one.putMany(Array.from({ length: 1000 }, (_, at) => ({ id: `m${at}` })))
  expect(figures(other.index)).toEqual(figures(one.index))
  expect(other.index.locate('m500')).toEqual(one.index.locate('m500'))
})

test('misuse is refused as the store refuses it, and a closed index throws CLOSED', () => {
  const tier = makeTier()
  const { index } = tier
  for (const method of ['has', 'locate'] as const) {
    expectMisuse(() => index[method](''), RangeError, 'KEY_SIZE')
    expectMisuse(() => index[method]('a'.repeat(512)), RangeError, 'KEY_SIZE')
    expectMisuse(() => index[method]('\ud800'), TypeError, 'ARGUMENT')
    expectMisuse(() => index[method](undefined as never), TypeError, 'ARGUMENT')
  }
  tier.close()
  for (const use of [() => index.has('a'), () => index.locate('a'), () => index.size, () => index.cells]) {
    expect(codeOf(use)).toBe('CLOSED')
  }
  expect([codeOf(() => index.used), codeOf(() => index.generation)]).toEqual(['CLOSED', 'CLOSED'])
})
