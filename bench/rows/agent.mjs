// A whole agent: each turn searches once, reads five memories, writes two, changes one; every tenth turn flushes.

import { join } from 'node:path'
import { quantile, timeOnce } from '../measure.mjs'
import { copyStore } from '../store-files.mjs'
import { makeRandom, streamMemories } from '../workload.mjs'

const limit = 10
const getsPerTurn = 5
const putsPerTurn = 2
const turnsPerFlush = 10

function makeTurns({ workload, options }, round, count) {
  const random = makeRandom(round + 1)
  const anyId = () => `mem-${Math.floor(random() * options.n)}`
  return Array.from({ length: count }, (_, i) => {
    const turn = round * count + i
    const fresh = options.n + turn * putsPerTurn
    return {
      query: workload.query(turn),
      reads: Array.from({ length: getsPerTurn }, anyId),
      writes: [...streamMemories(workload, fresh, fresh + putsPerTurn)],
      changed: anyId(),
      content: `changed in turn ${turn}`,
      flushes: (i + 1) % turnsPerFlush === 0,
    }
  })
}

async function takeTurn(opened, { query, reads, writes, changed, content, flushes }) {
  if (opened.searchAndRead(query, limit).length !== limit) throw new Error('a search found too few')
  for (const id of reads) opened.get(id)
  const written = writes.map(opened.put)
  written.push(opened.update(changed, content))
  // Where writes are queued, those of a turn go together: they are one event turn, which is what its README advises.
  if (written.some((pending) => pending !== undefined)) await Promise.all(written)
  if (flushes) await opened.flush()
}

export const rows = [
  {
    id: 'agent',
    title: 'agent: 1 search, 5 gets, 2 puts, 1 update a turn, flush each 10',
    unit: 'turns/s',
    figure: 'perSecond',
    filled: true,
    subjects: ['thermocline', 'lmdb-usearch', 'sqlite-vec'],
    async start(context) {
      const path = join(context.scratch, 'agent')
      copyStore(context.filled, path)
      const { dimensions, n } = context.options
      const opened = await context.peer.open(path, {
        dimensions,
        durability: 'flush',
        search: 'default',
        expected: n * 2,
      })
      await opened.attach?.()
      return { opened }
    },
    async round({ opened }, context) {
      const turns = makeTurns(context, context.round, context.options.quick ? 20 : 200)
      const times = []
      const total = await timeOnce(async () => {
        for (const turn of turns) {
          const begin = performance.now()
          await takeTurn(opened, turn)
          times.push(performance.now() - begin)
        }
      })
      return { perSecond: (turns.length * 1000) / total, p50: quantile(times, 0.5), p99: quantile(times, 0.99) }
    },
    finish: ({ opened }) => opened.close(),
  },
]
