// T23: two processes of three workers on hot and cold ids. Each id ends as the last write of the commit order left it.
//
// Method: each put says its sequence, so the workers' accounts together give every put of the history its place; the
// change feed must agree with them record by record, and the store with the feed.

import type { Change } from 'thermocline'
import { stampedProblem } from '../support/memories.mjs'
import { expectNone, isNightly, percentile, processTest } from './support/scene.js'

const processes = 2
const workersPerProcess = 3
const workers = processes * workersPerProcess
const operations = isNightly ? 1_000_000 : 5_000
const hotIds = isNightly ? 1_000 : 50
const coldIds = isNightly ? 100_000 : 5_000
const counters = 4
const increments = isNightly ? 20_000 : 300
const dimensions = 16

processTest('after a stress of two processes each id is as the last of its writes left it', async (scene) => {
  const directory = scene.path('store')
  const store = scene.open(directory, { dimensions, autoCompact: false }) // the feed is read from its beginning
  const children = Array.from({ length: processes }, (_, index) =>
    scene.start('host.mjs', {
      script: './stress-writer.mjs',
      workers: workersPerProcess,
      firstWorker: index * workersPerProcess,
      directory,
      seed: scene.seed,
      dimensions,
      operations,
      hotIds,
      coldIds,
      counters,
      increments,
    }),
  )
  await Promise.all(children.map((child) => child.next('ready', workersPerProcess)))
  const startedAt = performance.now()
  for (const child of children) child.send({ type: 'go' })
  const said = (await Promise.all(children.map((child) => child.next('ran', workersPerProcess)))).flat()
  const ms = performance.now() - startedAt
  await Promise.all(children.map((child) => child.expectSuccess()))

  const numberAt = new Map<number, number>()
  const problems: string[] = []
  let deletes = 0
  let conflicts = 0
  const latencies: number[] = []
  for (const message of said) {
    const numbers = message.numbers as number[]
    ;(message.sequences as number[]).forEach((sequence, at) => {
      if (numberAt.has(sequence)) problems.push(`sequence ${sequence} was given out twice`)
      numberAt.set(sequence, numbers[at] as number)
    })
    deletes += message.deletes as number
    conflicts += message.conflicts as number
    for (const latency of message.latencies as Float64Array) latencies.push(latency)
  }

  const last = new Map<string, Change>()
  let count = 0
  let deletesSeen = 0
  let incrementsSeen = 0
  for await (const change of store.changes()) {
    if (change.sequence !== ++count) problems.push(`the feed has ${change.sequence} at ${count}`)
    last.set(change.id, change)
    if (change.kind === 'delete') deletesSeen += 1
    else if (change.id.startsWith('counter-')) incrementsSeen += 1
    else if (!numberAt.has(change.sequence)) problems.push(`nobody got sequence ${change.sequence} of ${change.id}`)
  }
  const expectedCount = numberAt.size + deletes + workers * increments
  if (count !== expectedCount) problems.push(`${count} records in the feed, ${expectedCount} were written`)
  if (deletesSeen !== deletes) problems.push(`${deletesSeen} deletes in the feed, ${deletes} were done`)
  if (incrementsSeen !== workers * increments) problems.push(`${incrementsSeen} increments in the feed`)

  const present = [...last.values()].filter(({ kind }) => kind !== 'delete')
  const listed = new Map([...store.entries()].map((memory) => [memory.id, memory]))
  if (store.size !== present.length) problems.push(`size is ${store.size}, not ${present.length}`)
  if (listed.size !== present.length) problems.push(`entries gives ${listed.size} memories, not ${present.length}`)
  let sum = 0
  for (const { id, sequence } of present) {
    const memory = store.get(id)
    if (memory === undefined || memory.sequence !== sequence || listed.get(id)?.sequence !== sequence) {
      problems.push(
        `${id} is that of ${memory?.sequence} and listed as ${listed.get(id)?.sequence}, not of ${sequence}`,
      )
    } else if (id.startsWith('counter-')) sum += memory.metadata.value as number
    else {
      const torn = stampedProblem(memory, id, dimensions)
      if (torn !== undefined) problems.push(torn)
      if (memory.metadata.number !== numberAt.get(sequence)) problems.push(`${id} is not what was put at ${sequence}`)
    }
  }
  if (sum !== workers * increments) problems.push(`the counters add up to ${sum}, not ${workers * increments}`)
  if (!(await store.verify()).ok) problems.push('verify finds problems')
  console.log(
    `${workers * operations} operations in ${ms.toFixed(0)} ms: p50 ${(percentile(latencies, 50) * 1e3).toFixed(1)} us, ` +
      `p99 ${(percentile(latencies, 99) * 1e3).toFixed(0)} us, p99.9 ${(percentile(latencies, 99.9) * 1e3).toFixed(0)} us; ` +
      `${present.length} memories, ${conflicts} conflicts in ${workers * increments} increments`,
  )
  expectNone(problems)
})
