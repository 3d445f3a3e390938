// The benchmark runs, on a machine that has nothing but this clone.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Results } from '../../bench/types.d.mts'
import { root } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

function runBench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(root, 'bench', 'main.mjs'), ...args], { encoding: 'utf8', timeout: 60_000 })
}

test('a quick run measures ours alone, judges nothing and leaves nothing behind', () => {
  const directory = temporaryDirectory()
  const { status, stdout, stderr } = runBench('--quick', '--json', '--only', 'P1,P4,P11', '--directory', directory)
  expect(stderr).toBe('')
  expect(status).toBe(0)
  const { rows, subjects }: Results = JSON.parse(stdout)
  expect(rows.map(({ id }) => id)).toEqual(['P1', 'P4', 'P11'])
  expect(Object.keys(subjects)).toEqual(['thermocline', 'map'])
  for (const row of rows) {
    expect(row.median.thermocline?.[row.figure]).toBeGreaterThan(0)
    expect(row.reached).toBeUndefined()
  }
  expect(readdirSync(directory)).toEqual([])
})

test('what a killed run left is removed by the next', () => {
  const directory = temporaryDirectory()
  const ended = spawnSync(process.execPath, ['-e', '']).pid
  for (const pid of [ended, process.pid]) mkdirSync(join(directory, `bench-run-${pid}`))
  const { status } = runBench('--quick', '--json', '--only', 'P11', '--directory', directory)
  expect(status).toBe(0)
  expect(readdirSync(directory)).toEqual([`bench-run-${process.pid}`])
})

test('wrong arguments are told in one line, with exit code 2', () => {
  for (const [args, message] of [
    [['--only', 'P99'], 'P99 is no row and no group'],
    [['--without', 'nobody'], '--without: nobody is no peer of any row'],
    [['--n', '1.5'], '--n must be an integer of at least 100'],
    [['--rounds', '1'], '--rounds must be at least 3: a median of fewer is none'],
    [['--nonsense'], "Unknown option '--nonsense'"],
  ] as const) {
    const { status, stderr } = runBench(...args)
    expect([status, stderr.split('\n')[0]]).toEqual([2, expect.stringContaining(message)])
  }
})

test('peers are installed only for rows that compare with them, and not for a command line that is wrong', () => {
  const lines = ['', '--only P4', '--help', '--quick', '--only P19', 'P20', '--rounds 1', '--nonsense']
  const program = `
    import { needsPeers } from '${join(root, 'scripts', 'bench.mjs')}'
    for (const line of ${JSON.stringify(lines)}) console.log(line, await needsPeers(line.split(' ').filter(Boolean)))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  const needing = stdout.split('\n').filter((line) => line.endsWith(' true'))
  expect(needing).toEqual([' true', '--only P4 true'])
})

test('what comes before the benchmark writes nothing to stdout, where --json has one value', () => {
  // What they write is not provoked here: other tests use what they would build.
  for (const name of ['setup', 'peers']) {
    const text = readFileSync(join(root, 'scripts', `${name}.mjs`), 'utf8')
    expect([name, /process\.stdout|console\.log/.exec(text)]).toEqual([name, null])
  }
})

test('a subject whose module does not load is named with the reason', () => {
  const program = `
    import { describeSubjects } from '${join(root, 'bench', 'environment.mjs')}'
    console.log(JSON.stringify(await describeSubjects(['thermocline', 'absent-peer'])))`
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  expect(JSON.parse(stdout)['absent-peer'].absent).toContain('absent-peer')
})

test('every package of bench/package.json is the package of a subject', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'bench', 'package.json'), 'utf8'))
  const source = readFileSync(join(root, 'bench', 'peers', 'index.mjs'), 'utf8')
  const helpers = ['apache-arrow', 'msgpackr']
  for (const name of Object.keys(dependencies)) if (!helpers.includes(name)) expect(source).toContain(`'${name}'`)
})
