// Goal: what the hot tier takes is what it was given. Method: a process of its own fills it three times over and
// compares heap and array buffers, after collections of garbage, with the budget.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { isNightly } from '../support/concurrent.js'

const run = promisify(execFile)
const child = join(import.meta.dirname, 'children', 'hot-memory.mjs')
const budget = (isNightly ? 64 : 8) * 1024 * 1024
const kinds = ['usual', 'short', ...(isNightly ? ['bare', 'nested', 'wide', 'list', 'keys', 'long'] : [])]

test.each(kinds)(
  'of %s memories the hot tier takes at most a twentieth more than its budget, and half of it at least',
  { timeout: 300_000 },
  async (kind) => {
    const { stdout } = await run(process.execPath, ['--expose-gc', child, kind, `${budget}`])
    const { grown, counted, memories, stored } = JSON.parse(stdout)
    console.log(`${kind}: ${((100 * grown) / budget).toFixed(1)} % of the budget, ${memories} of ${stored} memories`)
    expect(counted).toBeLessThanOrEqual(budget)
    expect(counted).toBeGreaterThan(0.95 * budget)
    expect(stored).toBeGreaterThan(2 * memories)
    expect(grown).toBeLessThan(1.05 * budget)
    expect(grown).toBeGreaterThan(0.5 * budget)
  },
)
