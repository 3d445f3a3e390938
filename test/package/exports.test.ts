// Goal: import and require of the package give one and the same thing, and types resolve for both. Method: both are
// loaded and compared, and small consumers are compiled with module nodenext.

import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import * as imported from 'thermocline'
import * as importedWarm from 'thermocline/warm'
import { expect, test } from 'vitest'
import { outcomeOf, root, runProgram } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

const compileMsMax = 60_000
const require = createRequire(import.meta.url)
const entries: [string, Record<string, unknown>, string[]][] = [
  ['thermocline', imported, ['ThermoclineError', 'isThermoclineError', 'open', 'salvage']],
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

const imports = `
import { open, ThermoclineError, type Memory, type Store } from 'thermocline'
import { openWarmTier, type WarmTier } from 'thermocline/warm'
`
const body = `
const store: Store = open('path', { dimensions: 3, metric: 'dot' })
const sequence: number = store.put({ id: 'a', embedding: [1, 2, 3], metadata: { k: ['v', null] } })
const memory: Memory | undefined = store.get('a')
const tier: WarmTier = openWarmTier('path')
const cells: number = tier.index.cells
async function read(): Promise<void> {
  for await (const { kind } of store.changes({ follow: true })) if (kind === 'delete') break
  for (const hit of await store.search(new Float32Array(3), { limit: 1 })) console.log(hit.score, hit.memory.id)
}
try { store.close() } catch (error) { if (error instanceof ThermoclineError) console.log(error.code, error.details) }
{ using closed = open('path'); closed.flush() }
console.log(sequence, memory, cells, read)
`
const consumers: Record<string, string> = {
  'consumer.mts': imports + body,
  'consumer.cts': imports + body,
  'required.cts':
    "import thermocline = require('thermocline')\nconsole.log(thermocline.open('path').size)\nexport {}\n",
  'wrong.mts': "import { open } from 'thermocline'\nopen(5)\nopen('x').put({ ident: 'a' })\n",
}

test(
  'types resolve in .mts and .cts with module nodenext, and refuse what is wrong',
  () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'node_modules', '@types'), { recursive: true })
    symlinkSync(root, join(directory, 'node_modules', 'thermocline'))
    symlinkSync(join(root, 'node_modules/@types/node'), join(directory, 'node_modules/@types/node'))
    writeFileSync(join(directory, 'package.json'), '{"private": true}')
    for (const [name, source] of Object.entries(consumers)) writeFileSync(join(directory, name), source)
    const compilerOptions = {
      module: 'nodenext',
      target: 'es2022',
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      types: ['node'],
    }
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: Object.keys(consumers) }))
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = spawnSync(process.execPath, [compiler, '-p', directory, '--pretty', 'false'], {
      encoding: 'utf8',
      cwd: directory,
    })
    const errors = [...stdout.matchAll(/^(\S+)\((\d+),\d+\): error (TS\d+)/gm)].map(
      ([, file, line, code]) => `${file} ${line} ${code}`,
    )
    expect(errors, stdout).toEqual(['wrong.mts 2 TS2345', 'wrong.mts 3 TS2353'])
  },
  compileMsMax,
)
