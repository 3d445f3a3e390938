// The chart of recall against time says what was measured: right is more found, down is faster.

import { expect, test } from 'vitest'
import { makeScales, plotRecall } from '../../bench/plot-recall.mjs'
import type { Point } from '../../bench/types.d.mts'
import { latency, subjects, summarize } from './rows.js'

const points = (...pairs: [recall: number, p50: number][]): Point[] =>
  pairs.map(([recall, p50]) => ({ effort: recall, recall, p50, p99: 2 * p50 }))

test('finding more lies further right, being faster further down, and nothing leaves the axes', () => {
  const { x, y, low, high } = makeScales([0.1, 1, 10])
  const places = [0, 0.5, 0.9, 0.99, 0.999, 1].map(x)
  expect(places).toEqual([...places].sort((a, b) => a - b))
  expect([x(0.2), x(1)].map(Math.round)).toEqual([x(0.5), x(0.999)].map(Math.round))
  expect(x(0.99) - x(0.9)).toBeCloseTo(x(0.999) - x(0.99))
  expect(y(0.1)).toBeGreaterThan(y(1))
  expect([low < 0.1, high > 10]).toEqual([true, true])
})

test('every subject with efforts has a line of its points, and rows without efforts have no chart', () => {
  const row = summarize(latency, { thermocline: [3, 1, 2], lmdb: [4, 5, 6], map: [1, 1, 1] })
  const tuned = {
    ...row,
    median: {
      ...row.median,
      thermocline: { p50: 2, points: points([0.9, 2], [0.99, 20]) },
      lmdb: { p50: 5, points: points([0.8, 5]) },
    },
  }
  const svg = plotRecall([tuned], subjects, 'a < caption', '') ?? ''
  expect(svg.match(/<circle/g)).toHaveLength(3)
  expect(svg.match(/<polyline/g)).toHaveLength(2)
  expect(svg).toContain('a &lt; caption')
  expect(plotRecall([row], subjects, 'none', '')).toBeUndefined()
})
