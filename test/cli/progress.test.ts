// Goal: progress is drawn on terminals, told in plain lines elsewhere, and never where it would be in the way. Method:
// the built command in a pseudo-terminal and without one, and the progress itself with a clock of the test's.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { loadModule, thermocline, thermoclineInTerminal } from './support/command.js'

const { Progress } = loadModule<typeof import('../../src/cli/progress.js')>('progress')
const text = loadModule<typeof import('../../src/cli/text.js')>('text')

const someLines = 1000
/** Take so long here that a bar would be drawn. */
const enoughLines = 60_000
/** Take so long on any machine that a bar is drawn. */
const manyLines = 150_000
const barDrawn = /\rimporting: \[#*\.*\] \d+ %, [\d,]+ memories, [\d,]+\/s, [\d.]+ s left/
/** Arguments of an import of so many lines into a new store. */
function importOf(count: number): string[] {
  const directory = temporaryDirectory()
  const file = join(directory, 'memories.jsonl')
  writeFileSync(file, Array.from({ length: count }, (_, at) => `{"id":"m${at}","content":"memory ${at}"}\n`).join(''))
  return ['import', join(directory, 'store'), file, '--dimensions', '3']
}

test('on a terminal an import draws a bar with rate and time left, and clears it', () => {
  const { code, text: shown } = thermoclineInTerminal(importOf(manyLines), { NO_COLOR: '1' })
  expect(code).toBe(0)
  expect(shown).toMatch(barDrawn)
  expect(shown).toMatch(/\r\x1b\[Kimported: 150,000 memories from [^\r]*\r\n$/)
  expect(shown).not.toMatch(/\x1b\[[\d;]*m/)
})

test('a terminal with colours gets some, unless NO_COLOR is set', () => {
  expect(thermoclineInTerminal(['stats', '/nowhere']).text).toMatch(/\x1b\[31mthermocline stats:\x1b\[0m/)
  expect(thermoclineInTerminal(['stats', '/nowhere'], { NO_COLOR: '1' }).text).not.toContain('\x1b')
})

test.each([['--quiet'], ['--json']])('on a terminal %s draws no bar', (option) => {
  const { code, text: shown } = thermoclineInTerminal([...importOf(enoughLines), option])
  expect([code, shown]).toEqual([0, option === '--json' ? expect.stringMatching(/^\{.*\}\r\n$/) : ''])
})

test('a terminal that cannot draw gets none either', () => {
  const { code, text: shown } = thermoclineInTerminal(importOf(enoughLines), { TERM: 'dumb' })
  expect([code, shown]).toEqual([0, expect.stringMatching(/^imported: [^\r\x1b]*\r\n$/)])
})

test('an export to a terminal draws no bar between its lines', () => {
  const [, store = '', ...rest] = importOf(enoughLines)
  expect(thermocline(['import', store, ...rest]).code).toBe(0)
  const { code, text: shown } = thermoclineInTerminal(['export', store])
  expect([code, shown.split('\r\n').length, shown.includes('\x1b')]).toEqual([0, enoughLines + 1, false])
})

test('without a terminal nothing is drawn', () => {
  const { code, stdout, stderr } = thermocline(importOf(someLines))
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^imported: 1,000 memories from [^\r\x1b]*\n$/)
})

/** A progress on a stream that collects, and a clock that is moved by hand. */
function collect(stream: { isTTY?: boolean; columns?: number }) {
  let written = ''
  let now = 0
  const target = { ...stream, write: (chunk: string) => (written += chunk) }
  const progress = new Progress('importing', target, () => now)
  return {
    progress,
    at(ms: number, count: number, total: number | undefined): string {
      now = ms
      written = ''
      progress.update({ count, done: count * 10, total })
      return written
    },
    cleared(): string {
      written = ''
      progress.clear()
      return written
    },
  }
}

test('plain lines come every ten seconds, however often progress is made', () => {
  const { at, cleared } = collect({})
  expect(at(9_999, 1000, 40_000)).toBe('')
  expect(at(10_000, 1000, 40_000)).toBe('importing: 25 %, 1,000 memories, 100/s, 30 s left\n')
  expect(at(19_999, 1500, 40_000)).toBe('')
  expect(at(20_000, 2000, 40_000)).toMatch(/^importing: 50 %, 2,000 memories, 100\/s, 20 s left\n$/)
  expect(at(7_200_000, 2000, 40_000)).toMatch(/^importing: 50 %, 2,000 memories, \d+\/s, 2 h 0 min left\n$/)
  expect(cleared()).toBe('')
})

test('the bar is drawn at most ten times a second, fits its terminal, and knows when it knows no total', () => {
  const { at, cleared } = collect({ isTTY: true, columns: 72 })
  expect(at(99, 1, 40_000)).toBe('')
  expect(at(1000, 1000, 40_000)).toBe('\rimporting: [####............] 25 %, 1,000 memories, 1,000/s, 3.0 s left\x1b[K')
  expect(at(1099, 1500, 40_000)).toBe('')
  expect(at(2000, 4000, 40_000)).toMatch(/\[#{15,24}\] 100 %/)
  expect(at(3000, 5000, undefined)).toMatch(/^\rimporting: 5,000 memories, [\d,]+\/s\x1b\[K$/)
  expect(at(4000, 9000, 40_000)).toContain('] 100 %')
  expect(cleared()).toBe('\r\x1b[K')
  expect(cleared()).toBe('')
  const narrow = collect({ isTTY: true, columns: 41 })
  expect(narrow.at(1000, 1000, 40_000)).toBe('\rimporting: 25 %, 1,000 memories, 1,000/s\x1b[K')
})

test('the rate follows a change of speed', () => {
  const { at } = collect({ isTTY: true })
  const rates = Array.from({ length: 30 }, (_, second) => {
    const count = second < 10 ? second * 1000 : 10_000 + (second - 10) * 100
    return Number(/([\d,]+)\/s/.exec(at(1000 + second * 1000, count + 1000, undefined))?.[1]?.replace(',', ''))
  })
  expect(rates[9]).toBe(1000)
  expect(rates[29]).toBeGreaterThan(99)
  expect(rates[29]).toBeLessThan(130)
})

test('units are for people', () => {
  expect([0, 1023, 1024, 1536, 10_230, 1_048_575, 1_048_576, 152 * 2 ** 20, 2 ** 50].map(text.formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.00 KiB',
    '1.50 KiB',
    '9.99 KiB',
    '1.00 MiB',
    '1.00 MiB',
    '152 MiB',
    '1.00 PiB',
  ])
  expect([0, 9_949, 9_950, 59_499, 59_500, 3_599_499, 3_599_500, 86_400_000].map(text.formatDuration)).toEqual([
    '0.0 s',
    '9.9 s',
    '10 s',
    '59 s',
    '1 min 0 s',
    '59 min 59 s',
    '1 h 0 min',
    '24 h 0 min',
  ])
  expect([text.formatMemories(1), text.formatMemories(1234567)]).toEqual(['1 memory', '1,234,567 memories'])
  expect(text.truncate('🧠'.repeat(10), 4)).toBe('🧠🧠🧠…')
  expect(
    text.formatTable(
      [
        ['a', '1'],
        ['bbb', '22'],
      ],
      ['left', 'right'],
    ),
  ).toBe('a     1\nbbb  22\n')
})
