// P1 bulk insert, P2 single put that is not synced, P3 single put that is.

import { join } from 'node:path'
import { median, quantile, timeEach, timeOnce } from '../measure.mjs'
import { copyStore } from '../store-files.mjs'
import { streamMemories } from '../workload.mjs'

const writers = ['thermocline', 'lmdb', 'better-sqlite3', 'classic-level']

function summarize(times) {
  return { p50: median(times), p99: quantile(times, 0.99), p999: quantile(times, 0.999) }
}

/** New memories for each round and for one to warm up, made before any clock starts. */
function makeInputs({ workload, options, rounds, prepare = (memory) => memory }, count) {
  return Array.from({ length: rounds + 1 }, (_, round) => {
    const begin = options.n + round * count
    return [...streamMemories(workload, begin, begin + count)].map(prepare)
  })
}

async function openCopy({ peer, scratch, filled, options }, name, durability) {
  const path = join(scratch, name)
  if (!peer.keepsNothing) copyStore(filled, path)
  return peer.open(path, { dimensions: options.dimensions, durability })
}

export const rows = [
  {
    id: 'P1',
    title: 'bulk insert into a new store, one thread, not synced',
    unit: '/s',
    figure: 'perSecond',
    subjects: [...writers, 'lancedb', 'map'],
    start: (context) => ({ memories: context.memories() }),
    async round(state, { peer, scratch, options, round, discard }) {
      const path = join(scratch, `bulk-${round}`)
      let opened
      // Creating the store is inside the clock: space made ahead is nobody's for free.
      const milliseconds = await timeOnce(async () => {
        opened = await peer.open(path, { dimensions: options.dimensions, durability: 'process', expected: options.n })
        await opened.putMany(state.memories)
      })
      await opened.close()
      discard(path)
      return { perSecond: (state.memories.length * 1000) / milliseconds }
    },
  },
  {
    id: 'P2',
    title: 'single put into the filled store, not synced',
    unit: 'us',
    figure: 'p50',
    lower: true,
    filled: true,
    subjects: [...writers, 'map'],
    async start(context) {
      const opened = await openCopy(context, 'puts', 'process')
      const inputs = makeInputs(context, context.options.quick ? 500 : 10_000)
      await timeEach(inputs.pop(), opened.put)
      return { opened, inputs }
    },
    round: async ({ opened, inputs }, { round }) => summarize(await timeEach(inputs[round], opened.put)),
    finish: ({ opened }) => opened.close(),
  },
  {
    id: 'P3',
    title: 'single put and flush: durable when it returns',
    unit: 'us',
    figure: 'p50',
    lower: true,
    filled: true,
    subjects: [...writers, 'thermocline-commit', 'disk-probe'],
    async start(context) {
      const opened = await openCopy(context, 'durable-puts', 'each')
      const inputs = makeInputs({ ...context, prepare: opened.prepare }, context.options.quick ? 20 : 400)
      await timeEach(inputs.pop(), opened.putDurable)
      return { opened, inputs }
    },
    round: async ({ opened, inputs }, { round }) => summarize(await timeEach(inputs[round], opened.putDurable)),
    finish: ({ opened }) => opened.close(),
  },
]
