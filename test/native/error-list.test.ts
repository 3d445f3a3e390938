// The one list of codes, walked from end to end: errors.def in the core, the addon, and docs/errors.md.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { isThermoclineError, ThermoclineError } from 'thermocline'
import { expect, test } from 'vitest'
import { root } from '../support/processes.js'

interface Kind {
  code: string
  kind: string
  retryable: boolean
}

const require = createRequire(import.meta.url)
const { addon } = require(join(root, 'dist/native.js')) as { addon: { errors: Kind[] } }
const { makeError } = require(join(root, 'dist/errors.js')) as typeof import('../../src/errors.js')
const classes: Record<string, string> = { type: 'TypeError', range: 'RangeError', store: 'ThermoclineError' }

/** The codes that design section 8 names, in its order. */
const contract =
  'ARGUMENT NOT_FINITE DIMENSION KEY_SIZE TOO_LARGE NOT_SUPPORTED CORRUPT CLOSED FULL IO POISONED BUSY VERSION MISMATCH READ_ONLY ' +
  'NOT_FOUND NOT_A_STORE EXISTS CONFLICT ABORTED CHANGES_GONE FORKED NETWORK_FS'

test('the addon gives out the entries of errors.def, in their order', () => {
  const text = readFileSync(join(root, 'native/core/base/errors.def'), 'utf8')
  const entries = [...text.matchAll(/^THERMOCLINE_ERROR\(\w+, "(\w+)", "(\w+)", (true|false)\)$/gm)]
  expect(entries.length).toBe(text.match(/^THERMOCLINE_ERROR\(/gm)?.length)
  expect(addon.errors).toEqual(
    entries.map(([, code, kind, retryable]) => ({ code, kind, retryable: retryable === 'true' })),
  )
})

test('the list holds the codes of the contract and no others', () => {
  expect([...new Set(addon.errors.map(({ code }) => code))]).toEqual(
    contract.split(' ').map((code) => `THERMOCLINE_${code}`),
  )
})

test('each entry becomes an error of its class with code, retryable, details and a cause-free stack', () => {
  for (const [index, { code, kind, retryable }] of addon.errors.entries()) {
    const error = makeError(index, 'message', { figure: 1 })
    expect(error.constructor.name).toBe(classes[kind])
    expect([error.code, error.retryable, error.message, error.details]).toEqual([
      code,
      retryable,
      'message',
      { figure: 1 },
    ])
    expect([error instanceof Error, isThermoclineError(error), error instanceof ThermoclineError]).toEqual([
      true,
      true,
      kind === 'store',
    ])
    expect(error.name).toBe(code === 'THERMOCLINE_ABORTED' ? 'AbortError' : classes[kind])
    expect('cause' in error).toBe(false)
  }
})

test('docs/errors.md lists every entry with its class and whether it may be tried again, and nothing else', () => {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  const rows = [...text.matchAll(/^\| `(THERMOCLINE_\w+)` \| (\w+) \| (yes|no) \| (.+) \|$/gm)]
  const listed = rows.map(([, code, kind, retryable]) => `${code} ${kind} ${retryable}`)
  expect(listed).toEqual(
    addon.errors.map(({ code, kind, retryable }) => `${code} ${classes[kind]} ${retryable ? 'yes' : 'no'}`),
  )
  for (const [, , , , meaning] of rows) expect(meaning?.length).toBeGreaterThan(10)
})
