// Goal: import and require of the package give one and the same thing. Method: both are loaded and compared. How types
// resolve is in types.test.ts.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import * as imported from 'thermocline'
import * as importedWarm from 'thermocline/warm'
import { expect, test } from 'vitest'
import { outcomeOf, runProgram } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

const require = createRequire(import.meta.url)
const entries: [string, Record<string, unknown>, string[]][] = [
  ['thermocline', imported, ['ThermoclineError', 'isThermoclineError', 'open', 'openSpaces', 'openTiered', 'salvage']],
  ['thermocline/warm', importedWarm, ['ContentLog', 'MemoryIndex', 'WarmTier', 'openWarmTier']],
]

test.each(entries)('%s exports the same values to import and require, and no others', (name, module, names) => {
  const required = require(name) as Record<string, unknown>
  expect(Object.keys(module).sort()).toEqual(names)
  expect(Object.keys(required).sort()).toEqual(names)
  for (const key of names) expect(required[key]).toBe(module[key])
})

test('an error of a store that was opened by require is a ThermoclineError of the import', () => {
  const { open } = require('thermocline') as typeof imported
  try {
    open(join(temporaryDirectory(), 'absent'), { create: false })
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(imported.ThermoclineError)
    expect(imported.isThermoclineError(error)).toBe(true)
  }
})

test('package.json can be required, inner files cannot', () => {
  expect((require('thermocline/package.json') as { name: string }).name).toBe('thermocline')
  for (const inner of ['thermocline/dist/native.js', 'thermocline/native', 'thermocline/src/index.ts']) {
    expect(() => require.resolve(inner)).toThrow(expect.objectContaining({ code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' }))
  }
})

test('a process without a test runner sees the same', () => {
  const program = `
    import { createRequire } from 'node:module'
    import * as all from 'thermocline'
    import { openWarmTier, WarmTier } from 'thermocline/warm'
    const required = createRequire(process.cwd() + '/')('thermocline')
    const store = required.open(args[0], { dimensions: 2, durability: 'none' })
    const tier = openWarmTier(args[0])
    tier.put({ id: 'a' })
    console.log(required.ThermoclineError === all.ThermoclineError, store instanceof WarmTier, store.has('a'), open === all.open)
    store.close(); tier.close()
  `
  const child = runProgram(program, [join(temporaryDirectory(), 'store')])
  expect([outcomeOf(child), child.stdout]).toEqual([{ status: 0, signal: null }, 'true true true true\n'])
})
