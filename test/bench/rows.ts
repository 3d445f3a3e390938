// Rows and subjects for the tests of the benchmark's arithmetic, small enough to work out by hand.

import { summarizeRow } from '../../bench/summary.mjs'
import type { Figures, Row, RowSummary, Subject, Target } from '../../bench/types.d.mts'

function subject(name: string, more: Partial<Subject> = {}): Subject {
  return { name, version: '1.0.0', settings: {}, reference: false, ceiling: false, ...more }
}

export const subjects: Record<string, Subject> = {
  thermocline: subject('thermocline'),
  lmdb: subject('lmdb'),
  'better-sqlite3': subject('better-sqlite3'),
  map: subject('Map', { ceiling: true }),
  'disk-probe': subject('pwrite + fdatasync', { reference: true }),
  'memory-probe': subject('memory, read once', { reference: true }),
}

export const rate: Row = { id: 'P4', group: 'read', title: 'get', unit: '/s', figure: 'perSecond' }
export const latency: Row = { id: 'P2', group: 'write', title: 'put', unit: 'us', figure: 'p50', lower: true }

/** A row's summary from the values of its figure, round by round. */
export function summarize(
  row: Row,
  values: Record<string, number[]>,
  targets: Record<string, Target> = {},
  more: Figures = {},
): RowSummary {
  const results = Object.fromEntries(
    Object.entries(values).map(([name, list]) => [name, list.map((value) => ({ [row.figure]: value, ...more }))]),
  )
  return summarizeRow(row, { results, failures: {}, others: 0 }, subjects, targets)
}
