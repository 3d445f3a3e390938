// What the benchmark claims follows from its figures: medians, ratios, verdicts.

import { expect, test } from 'vitest'
import { summarizeRow } from '../../bench/summary.mjs'
import { targets } from '../../bench/targets.mjs'
import { latency, rate, subjects, summarize } from './rows.js'

test('a ratio is the median of the ratios of the rounds, so a slow moment of the machine weighs on both sides', () => {
  // In the second round everything took ten times as long.
  const row = summarize(rate, { thermocline: [300, 30, 330], lmdb: [100, 10, 100] })
  expect(row.median).toMatchObject({ thermocline: { perSecond: 300 }, lmdb: { perSecond: 100 } })
  expect(row.ratio).toEqual({ lmdb: 3 })
})

test('a ratio above 1 means that ours is better, for rates and for latencies', () => {
  expect(summarize(rate, { thermocline: [50, 50, 50], lmdb: [100, 100, 100] }).ratio).toEqual({ lmdb: 0.5 })
  expect(summarize(latency, { thermocline: [2, 2, 2], lmdb: [8, 8, 8] }).ratio).toEqual({ lmdb: 4 })
})

test('a target is reached from its bound on', () => {
  const reached = (ours: number) =>
    summarize(rate, { thermocline: [ours, ours, ours], lmdb: [100, 100, 100] }, targets).reached
  expect([reached(250), reached(249)]).toEqual([true, false])
})

test('a target with two parts needs both', () => {
  const values = { thermocline: [1, 1, 1], 'better-sqlite3': [12, 12, 12] }
  expect(summarize(latency, values, targets, { p999: 900 }).reached).toBe(true)
  expect(summarize(latency, values, targets, { p999: 1001 }).reached).toBe(false)
})

test('a target is not judged when the peer that it names did not run', () => {
  const row = summarize(rate, { thermocline: [900, 900, 900], 'better-sqlite3': [1, 1, 1] }, targets)
  expect(row.reached).toBe('unknown')
})

test('a ceiling and a reference are no peers: the best peer is a peer', () => {
  const bulk = { ...rate, id: 'P1' }
  const values = { thermocline: [400, 400, 400], lmdb: [100, 100, 100], map: [9000, 9000, 9000] }
  const row = summarize(bulk, { ...values, 'disk-probe': [5000, 5000, 5000] }, targets)
  expect([row.reached, row.beside]).toEqual([true, 'lmdb'])
})

test('an exact search faster than reading every embedding is no exact search', () => {
  const exact = { ...latency, id: 'P12' }
  const reached = (ours: number) =>
    summarize(exact, { thermocline: [ours, ours, ours], lmdb: [9, 9, 9], 'memory-probe': [4, 4, 4] }, targets).reached
  expect([reached(4.5), reached(5), reached(1)]).toEqual([true, false, false])
})

test('every measure of the list has a target', () => {
  const listed = Array.from({ length: 14 }, (_, i) => `P${i + 1}`)
  expect(Object.keys(targets)).toEqual(expect.arrayContaining(listed))
})

test('each effort of a search has the median of its rounds', () => {
  const point = (p50: number) => ({ effort: 64, recall: 0.99, p50, p99: 2 * p50 })
  const rounds = [3, 1, 2].map((p50) => ({ p50, points: [point(p50), point(10 * p50)] }))
  const { median } = summarizeRow(latency, { results: { thermocline: rounds }, failures: {}, others: 0 }, subjects, {})
  expect(median.thermocline?.points).toEqual([point(2), point(20)])
})
