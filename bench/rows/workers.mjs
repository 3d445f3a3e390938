// P6 gets by two workers, P7 half puts and half gets by two workers, P10 private memory of one more worker.

import { join } from 'node:path'
import { copyStore } from '../store-files.mjs'
import { readPrivateMemory, startWorkers, stopWorkers } from '../workers.mjs'

const shared = ['thermocline', 'lmdb', 'better-sqlite3', 'classic-level']
const mapped = ['thermocline', 'lmdb', 'better-sqlite3']
const workerCount = 2

/** Operations per second of all workers together, from the first start to the last end. */
function rateOf(answers) {
  const begin = Math.min(...answers.map((answer) => answer.begin))
  const end = Math.max(...answers.map((answer) => answer.end))
  return (answers.reduce((sum, { operations }) => sum + operations, 0) * 1000) / (end - begin)
}

function throughput(id, title, job, operations, prepare) {
  return {
    id,
    title,
    unit: '/s',
    figure: 'perSecond',
    subjects: shared,
    filled: true,
    async start(context) {
      const { n } = context.options
      const workers = await startWorkers(context, { path: prepare(context), n, job, count: workerCount })
      await Promise.all(workers.map((worker) => worker.run(operations(context) / 4)))
      return workers
    },
    async round(workers, context) {
      return { perSecond: rateOf(await Promise.all(workers.map((worker) => worker.run(operations(context))))) }
    },
    finish: stopWorkers,
  }
}

/** Private bytes that one more worker of each kind costs, in MB. */
async function measureWorkers(context, path, n) {
  const count = context.options.quick ? 2 : 4
  const grown = {}
  for (const job of ['idle', 'hold']) {
    // The first worker of a process pays for what all share; it is not one more.
    const first = await startWorkers(context, { path, n, job, count: 1 })
    const before = readPrivateMemory()
    const more = await startWorkers(context, { path, n, job, count })
    await Promise.all(more.map((worker) => worker.settle()))
    grown[job] = (readPrivateMemory() - before) / count / 1e6
    await stopWorkers([...first, ...more])
  }
  return { megabytes: grown.hold - grown.idle, idle: grown.idle }
}

function memoryRow(id, title, subjects, more) {
  return { id, title, unit: 'MB', figure: 'megabytes', lower: true, subjects, ...more }
}

export const rows = [
  throughput(
    'P6',
    'two workers get',
    'get',
    ({ options }) => (options.quick ? 4000 : 200_000),
    ({ filled }) => filled,
  ),
  throughput(
    'P7',
    'two workers, half puts and half gets, not synced',
    'mixed',
    ({ options }) => (options.quick ? 2000 : 100_000),
    ({ filled, scratch }) => {
      const path = join(scratch, 'mixed')
      copyStore(filled, path)
      return path
    },
  ),
  memoryRow('P10', 'private memory of one more worker that got 10,000, beyond an idle one', [...mapped, 'map'], {
    filled: true,
    round: (_, context) => measureWorkers(context, context.filled, context.options.n),
  }),
  memoryRow('P10-L', 'the same, the large store', mapped, {
    large: true,
    start: (context) => context.keptStore(context.options.large),
    round: (path, context) => measureWorkers(context, path, context.options.large),
  }),
]
