// Goal: entries, search and searchSync each show exactly one moment. Method: movers transfer between accounts, stamp
// a ledger and move a token from id to id, all in one write; auditors find each account once, the sums unchanged, one
// token, one stamp, and nothing older than what had returned before the snapshot was taken.

import { expect } from 'vitest'
import { concurrentTest, factor, report } from '../support/concurrent.js'
import { firstMemories } from './jobs/snapshots.mjs'

const movers = 2
const accounts = 8
const balance = 1000
const movesPerMover = 1500 * factor
const paths = ['entries', 'slowEntries', 'searchSync', 'search']
const snapshotsMin = 20
const dimensions = 16
const timeoutMs = 50_000 * factor
const jobs = new URL('./jobs/snapshots.mjs', import.meta.url)

concurrentTest('every snapshot is exactly one moment', jobs, async (scene) => {
  const store = scene.openStore(dimensions)
  for (let mover = 0; mover < movers; mover++) {
    store.putMany(firstMemories(mover, accounts, balance, dimensions))
  }
  const first = store.sequence
  const shape = { movers, accounts, balance, dimensions, snapshotsMin }
  const result = await scene.pool.run({
    ...scene,
    openOptions: { dimensions },
    jobs: [
      ...Array.from({ length: movers }, () => ({ name: 'move', arguments: { ...shape, moves: movesPerMover } })),
      ...paths.map((path) => ({ name: 'audit', arguments: { ...shape, path } })),
    ],
    sharedWords: movers + 2,
    timeoutMs,
  })
  report('snapshots', result)
  const [sequences, snapshots] = [result.values.slice(0, movers), result.values.slice(movers)] as [number[], number[]]
  expect(store.sequence).toBe(sequences.reduce((sum, count) => sum + count, first))
  expect(store.size).toBe(movers * (accounts + 2))
  expect(Math.min(...snapshots)).toBeGreaterThanOrEqual(snapshotsMin)
})
