// P9 opening, P11 bytes on disk.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { sizeOnDisk } from '../store-files.mjs'
import { rawBytes, streamMemories } from '../workload.mjs'

const program = fileURLToPath(new URL('../open-once.mjs', import.meta.url))
const execute = promisify(execFile)

/** Milliseconds of the first opening and get in a new process. */
async function openOnce({ subject, options }, path, count) {
  const argument = JSON.stringify({ subject, dimensions: options.dimensions, path, id: `mem-${count >> 1}` })
  const { stdout } = await execute(process.execPath, [program, argument])
  return Number(stdout)
}

export const rows = [
  {
    id: 'P9',
    title: 'open and first get in a new process, after a clean close',
    unit: 'ms',
    figure: 'largeMs',
    lower: true,
    large: true,
    subjects: ['thermocline', 'lmdb', 'better-sqlite3', 'classic-level'],
    async start(context) {
      const { small, large } = context.options
      const stores = { small: await context.keptStore(small), large: await context.keptStore(large) }
      for (const [size, path] of Object.entries(stores)) await openOnce(context, path, context.options[size])
      return stores
    },
    async round(stores, context) {
      const smallMs = await openOnce(context, stores.small, context.options.small)
      return { smallMs, largeMs: await openOnce(context, stores.large, context.options.large) }
    },
  },
  {
    id: 'P11',
    title: 'bytes on disk by bytes of payload, after a clean close',
    unit: 'x',
    figure: 'allocated',
    lower: true,
    filled: true,
    once: true,
    subjects: ['thermocline', 'lmdb', 'better-sqlite3', 'classic-level', 'lancedb'],
    async round(_, { filled, workload, options }) {
      let payload = 0
      for (const memory of streamMemories(workload, 0, options.n)) payload += rawBytes(memory)
      const { allocated, apparent } = sizeOnDisk(filled)
      return { allocated: allocated / payload, apparent: apparent / payload, megabytes: allocated / 1e6 }
    },
  },
]
