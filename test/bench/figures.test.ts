// Figures in README come from committed files of results and from nowhere else.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fillFigures, formatFigures } from '../../bench/figures.mjs'
import type { Results } from '../../bench/types.d.mts'
import { latency, rate, subjects, summarize } from './rows.js'

const root = join(import.meta.dirname, '..', '..')
const readResults = (path: string): Results => JSON.parse(readFileSync(join(root, path), 'utf8'))

const results: Results = {
  date: '2026-01-02T03:04:05.000Z',
  seconds: 1,
  options: { n: 100_000, dimensions: 384, rounds: 5, quick: false, small: 10_000, large: 1_000_000 },
  environment: {
    cpu: { model: 'A processor', cores: 2, sets: [] },
    node: 'v20.0.0',
    bandwidth: { oneThread: 10, allCores: 20 },
    sync: { p50: 70, p99: 90 },
  },
  subjects,
  others: 0,
  rows: [
    summarize(rate, { thermocline: [1000, 1000, 1000], lmdb: [250, 250, 250] }),
    summarize(latency, { thermocline: [2, 2, 2], lmdb: [9, 9, 9] }),
  ],
}

test('the figures in README are those of the files of results that it names: else node scripts/figures.mjs', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  expect(readme).toBe(fillFigures(readme, readResults))
})

test('a table has a line a row: ours, the best peer, the ratio', () => {
  const table = formatFigures(results)
  expect(table).toContain('100,000 memories, 384 dimensions, medians of 5 rounds, 2026-01-02')
  expect(table).toContain('| P4 | get | 1,000 /s | lmdb: 250 /s | 4.00 x |')
  expect(table).toContain('| P2 | put | 2.00 us | lmdb: 9.00 us | 4.50 x |')
})

test('a table says when the machine had other work', () => {
  expect(formatFigures({ ...results, others: 1.5 })).toContain('Other work used up to 1.5 cores meanwhile.')
})

test('an edited figure does not survive', () => {
  const readme = `x\n<!-- figures: a.json -->\n${formatFigures(results)}<!-- /figures -->\ny\n`
  expect(fillFigures(readme, () => results)).toBe(readme)
  expect(fillFigures(readme.replace('1,000 /s', '9,000 /s'), () => results)).toBe(readme)
})

test('README without a table of figures is an error', () => {
  expect(() => fillFigures('no table', () => results)).toThrow('README has no')
})
