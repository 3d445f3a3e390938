// The checks that `npm test` and `npm run lint` run, each a named function.
//
// A check resolves with { passed, failed } counts, or throws, or returns `absent` where a tool is missing.

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { lintLayers, selfTest } from './lint-layers.mjs'
import { pack } from './pack.mjs'
import { findCommand, listFiles, root, run, ScriptError } from './run.mjs'

export const absent = Symbol('the tool is not here')

const clangFormatMajor = '14' // versions disagree about layout, so exactly one judges
const require = createRequire(import.meta.url)
const one = { passed: 1, failed: 0 }

async function requireSuccess(title, command, commandArguments) {
  const { code } = await run(command, commandArguments)
  if (code !== 0) throw new ScriptError(`${title} failed (exit ${code})`)
  return one
}

/** Counts of a last line such as `12 passed, 0 failed`. */
export function readCounts(output) {
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(output.trimEnd().split('\n').at(-1) ?? '') ?? []
  if (passed === undefined) throw new ScriptError('ended without counts')
  return { passed: Number(passed), failed: Number(failed) }
}

async function findClangFormat() {
  const command = findCommand(`clang-format-${clangFormatMajor}`, 'clang-format')
  if (command === undefined) return undefined
  const { output } = await run(command, ['--version'], { quiet: true })
  return new RegExp(`version ${clangFormatMajor}\\.`).test(output) ? command : undefined
}

export function biome({ fix = false } = {}) {
  const program = require.resolve('@biomejs/biome/bin/biome')
  const mode = fix ? ['--write'] : process.env.CI ? ['--reporter=summary'] : []
  return requireSuccess('biome', process.execPath, [program, 'check', '--error-on-warnings', ...mode])
}

export async function clangFormat({ fix = false } = {}) {
  const command = await findClangFormat()
  if (command === undefined) return absent
  const files = listFiles(join(root, 'native'), (name) => name.endsWith('.cc') || name.endsWith('.h'))
  if (files.length === 0) return one
  const { code, output } = await run(command, [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...files], { quiet: true })
  if (code === 0) return one
  // Its report quotes every line; the places say enough, since `npm run format` repairs them.
  const places = new Map()
  for (const [, file, line] of output.matchAll(/^(.+?):(\d+):\d+: error:/gm))
    if (!places.has(file)) places.set(file, line)
  for (const [file, line] of places) console.log(`${relative(root, file)}:${line}: not as clang-format has it`)
  throw new ScriptError(`${places.size} files: npm run format`)
}

export async function layers() {
  selfTest()
  const reports = lintLayers()
  for (const report of reports) console.log(report)
  if (reports.length > 0) throw new ScriptError(`${reports.length} breaches`)
  return one
}

export function typesOfTests() {
  const compiler = require.resolve('typescript/bin/tsc')
  return requireSuccess('tsc', process.execPath, [compiler, '--project', join(root, 'tsconfig.test.json')])
}

// setup() has compiled the core for the addon.
const withAddon = [`ADDON=${join(root, 'build', 'Release')}`]

/** Builds one binary of native/Makefile and runs it; its counts. */
async function makeAndRun(what, makeArguments, buildTarget, runTarget) {
  const all = ['--silent', '-C', join(root, 'native'), '-j2', ...makeArguments]
  const build = await run('make', [...all, ...buildTarget], { quiet: true })
  if (build.code !== 0) {
    process.stdout.write(build.output)
    throw new ScriptError(`${what} do not compile`)
  }
  const { output } = await run('make', [...all, runTarget], { quiet: true })
  // make adds a line of its own when the tests fail.
  const lines = output.split('\n').filter((line) => !line.startsWith('make'))
  process.stdout.write(lines.filter((line) => !line.startsWith('ok ')).join('\n'))
  return readCounts(lines.join('\n'))
}

/** The core's own tests. */
export function nativeTests() {
  return makeAndRun('the native tests', withAddon, [], 'test')
}

/** Processes killed at random moments and after single instructions. */
export function killTests() {
  return makeAndRun('the kill tests', withAddon, ['kill'], 'kill-test')
}

/** What the package holds beside dist; here, because a cross compiler takes longer than a test may. */
export async function prebuilds() {
  await pack()
  return one
}

/** Power cuts on recorded disks, and every system call failing once. */
export function powerTests() {
  return makeAndRun('the power tests', withAddon, ['power'], 'power-test')
}

/** The tests of vitest. Arguments go to it as they are. */
export async function vitest({ extra = [], env = {}, allowNone = true } = {}) {
  if (listFiles(join(root, 'test'), (name) => name.endsWith('.test.ts')).length === 0 && allowNone) {
    return { passed: 0, failed: 0 }
  }
  const report = join(root, '.cache', `vitest-${process.pid}.json`)
  mkdirSync(join(root, '.cache'), { recursive: true })
  const program = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const { code } = await run(process.execPath, [program, 'run', ...reporters, ...extra], { env })
  if (!existsSync(report)) throw new ScriptError(`vitest left no report (exit ${code})`)
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
  rmSync(report)
  // A file that cannot be loaded, or a hook that throws, fails without a failed test; an error outside any test with the
  // exit code alone.
  const isFailed = ({ status }) => status === 'failed'
  const filesAlone = testResults.filter((file) => isFailed(file) && !file.assertionResults.some(isFailed)).length
  const failed = numFailedTests + filesAlone || (code === 0 ? 0 : 1)
  return { passed: numPassedTests, failed }
}

/**
 * Runs checks one after another, timing each. `list`: [name, function][]. Prints a summary and, as last line,
 * `N passed, N failed`. Sets the exit code.
 */
export async function runChecks(list) {
  const total = { passed: 0, failed: 0 }
  const summary = []
  for (const [name, check] of list) {
    console.log(`\n--- ${name}`)
    const startedAt = performance.now()
    let outcome
    try {
      outcome = await check()
    } catch (error) {
      console.log(error instanceof ScriptError ? error.message : error)
      outcome = { passed: 0, failed: 1 }
    }
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(7)
    if (outcome === absent) {
      summary.push(`${seconds} s  not run here: ${name}`)
      continue
    }
    total.passed += outcome.passed
    total.failed += outcome.failed
    const counts = outcome.passed + outcome.failed > 1 ? ` (${outcome.passed} passed, ${outcome.failed} failed)` : ''
    summary.push(`${seconds} s  ${outcome.failed === 0 ? 'ok    ' : 'FAILED'} ${name}${counts}`)
  }
  console.log(`\n${summary.map((line) => line.replace(/^.*not run here/, 'not run here')).join('\n')}`)
  if (total.failed > 0 || total.passed === 0) process.exitCode = 1
  console.log(`${total.passed} passed, ${total.failed} failed`)
}
