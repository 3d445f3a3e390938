// The oracle of the kill loop, checked: it must find a loss, a double, a wrong byte and a second operation in doubt.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { open, type Store } from 'thermocline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stampedMemory, stampedPatch } from '../support/memories.mjs'
import { type Intent, KillOracle, type WorkerLog } from './support/kill-oracle.js'

const dimensions = 4
let directory: string
let store: Store

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thermocline-processes-'))
  store = open(join(directory, 'store'), { dimensions })
})
afterEach(() => {
  store.close()
  rmSync(directory, { recursive: true, force: true })
})

const put = (id: string, number: number): number => store.put(stampedMemory(id, number, dimensions))
const done = (intent: Intent, result: number | boolean) => ({ intent, result, acknowledged: true })
const open_ = (intent: Intent) => ({ intent, result: undefined, acknowledged: false })

function check(...logs: WorkerLog[]): Promise<string[]> {
  return new KillOracle(dimensions).check(store, new Map(logs.map((log, worker) => [worker, log])))
}

/** Writes of two workers, all acknowledged. */
function twoWorkers(): [WorkerLog, WorkerLog] {
  const first = [done({ kind: 'put', id: 'w0-1', number: 1 }, put('w0-1', 1))]
  const second = [done({ kind: 'put', id: 'shared-1', number: 21 }, put('shared-1', 21))]
  first.push(done({ kind: 'put', id: 'shared-1', number: 2 }, put('shared-1', 2)))
  const isUpdated = store.update('w0-1', stampedPatch('w0-1', 3, 1))
  first.push(done({ kind: 'update', id: 'w0-1', number: 3, base: 1 }, isUpdated))
  first.push(done({ kind: 'delete', id: 'w0-1' }, store.delete('w0-1')))
  first.push(done({ kind: 'delete', id: 'w0-1' }, store.delete('w0-1')))
  const puts = [22, 23, 24].map((number) => ({ id: `w1-${number}`, number }))
  const { lastSequence } = store.putMany(puts.map(({ id, number }) => stampedMemory(id, number, dimensions)))
  second.push(done({ kind: 'putMany', puts, batchSize: 256 }, lastSequence))
  return [first, second]
}

test('it finds nothing wrong with what was acknowledged', async () => {
  expect(await check(...twoWorkers())).toEqual([])
})

test('it finds nothing wrong with one operation in doubt per worker, come or not', async () => {
  const [first, second] = twoWorkers()
  put('shared-1', 4)
  first.push(open_({ kind: 'put', id: 'shared-1', number: 4 }))
  second.push(open_({ kind: 'write', puts: [{ id: 'w1-1', number: 25 }] }))
  expect(await check(first, second)).toEqual([])
})

test('a put in doubt on a shared id does not claim the record of a write in doubt', async () => {
  const [first, second] = twoWorkers()
  first.push(open_({ kind: 'put', id: 'shared-1', number: 4 }))
  const puts = [
    { id: 'w1-1', number: 25 },
    { id: 'shared-1', number: 26 },
  ]
  store.write(puts.map(({ id, number }) => ({ put: stampedMemory(id, number, dimensions) })))
  second.push(open_({ kind: 'write', puts }))
  expect(await check(first, second)).toEqual([])
})

test('of two puts in doubt on a shared id either may be the one that came', async () => {
  for (const number of [4, 26]) {
    const [first, second] = twoWorkers()
    put('shared-1', number)
    first.push(open_({ kind: 'put', id: 'shared-1', number: 4 }))
    second.push(open_({ kind: 'put', id: 'shared-1', number: 26 }))
    expect(await check(first, second)).toEqual([])
    store.close()
    store = open(join(directory, `store-${number}`), { dimensions })
  }
})

test('it finds a put in doubt that came before what its worker did last', async () => {
  const [first, second] = twoWorkers()
  put('shared-1', 4)
  first.push(done({ kind: 'put', id: 'w0-2', number: 3 }, put('w0-2', 3)))
  first.push(open_({ kind: 'put', id: 'shared-1', number: 4 }))
  second.push(open_({ kind: 'put', id: 'shared-1', number: 26 }))
  expect(await check(first, second)).toEqual([expect.stringContaining('shared-1 is write 4 on put 4')])
})

test('it finds an acknowledged put that is lost', async () => {
  const [first, second] = twoWorkers()
  second.push(done({ kind: 'put', id: 'w1-9', number: 25 }, store.sequence + 1))
  expect(await check(first, second)).toEqual([expect.stringContaining('lost: put of w1-9')])
})

test('it finds an acknowledged update and an acknowledged delete that are lost', async () => {
  const log = [done({ kind: 'put', id: 'w0-1', number: 1 }, put('w0-1', 1))]
  log.push(done({ kind: 'update', id: 'w0-1', number: 2, base: 1 }, true))
  expect(await check(log)).toEqual([expect.stringContaining('lost: update of w0-1')])
  expect(await check([...log.slice(0, 1), done({ kind: 'delete', id: 'w0-1' }, true)])).toEqual([
    expect.stringContaining('lost: delete of w0-1'),
  ])
})

test('it finds a write that nobody made, and one that came twice', async () => {
  const [first, second] = twoWorkers()
  put('w1-22', 22)
  expect(await check(first, second)).toEqual([expect.stringContaining('nobody wrote the put of w1-22')])
})

test('it finds a write in doubt that came by half', async () => {
  put('w0-1', 1)
  const puts = [1, 2].map((number) => ({ id: `w0-${number}`, number }))
  expect(await check([open_({ kind: 'write', puts })])).toEqual([expect.stringContaining('not whole')])
})

test('it finds bytes of another write', async () => {
  const sequence = put('w0-1', 2)
  expect(await check([done({ kind: 'put', id: 'w0-1', number: 1 }, sequence)])).toEqual([
    expect.stringContaining('w0-1 is write 2 on put 2, must be 1 on 1'),
  ])
})

test('it finds two operations of one worker in doubt', async () => {
  const log = [1, 2].map((number) => open_({ kind: 'put', id: `w0-${number}`, number }))
  expect(await check(log)).toEqual([expect.stringContaining('2 operations in doubt')])
})

test('it finds an operation that returned what it did not do', async () => {
  expect(await check([done({ kind: 'delete', id: 'w0-1' }, true)])).toEqual([expect.stringContaining('must be false')])
})
