// node scripts/coverage.mjs [--missed part-of-a-path] [--read]: how much of native/core the native, kill and power
// tests reach: lines, and both outcomes of every condition. Needs clang 14 and llvm-14. Last line: `N passed, N failed`,
// one check being that no fewer branches are reached than the floor below; what is wanted is 95 %. `--missed` lists
// what was not reached, in files whose path has that part ('' for all); `--read` runs nothing and reads the counters of
// the last run.
//
// A branch is one outcome of one condition of the source: `if (a && b)` has four, a loop two, a ternary two, a case of
// a switch one more. They are clang's counters (-fprofile-instr-generate -fcoverage-mapping), not gcov's: gcov counts
// the jumps that g++ made, which differ by its version and optimisation, and its counters die with a killed process.
// Clang's lie in a shared mapping of their file (continuous mode, %c), so that what a child did before its SIGKILL
// counts. Not counted: conditions that the compiler knows (`if constexpr`), the default that an exhaustive switch over
// an enum has not (-Werror keeps it exhaustive), planted bugs (core/base/planted.h), which this variant has not, tests,
// and the kernels of other processors, which are named. A condition in a macro counts at each use of the macro, a template's once however often it is
// instantiated, a header's once however often it is included.
//
// Defence that no test can reach is marked at the end of its line, `// unreachable: why`. Its outcomes are left out of
// the percentage, counted and printed; a mark that was reached fails. Assertions (core/base/assert.h) count so without
// a mark, since an assertion that fails ends the process.

import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { absent, readCounts } from './checks.mjs'
import { findCommand, listFiles, root, run, runAsProgram, runOrFail, ScriptError } from './run.mjs'

const branchesFloorPercent = 95
const binaries = {
  thermocline_test: [],
  thermocline_power: ['--rounds', '5'],
  thermocline_kill: ['--rounds', '10'],
}
const built = join(root, 'build-native', 'coverage')
const folder = join(root, '.cache', 'coverage')
const profile = join(folder, 'merged.profdata')
const core = join(root, 'native', 'core')

const isTool = findCommand
const isOfCore = (file) => file.startsWith(core) && !file.endsWith('_test.cc')
const mark = /\/\/ unreachable: \S/
// A condition that begins so is none of this variant's; `switch` alone stands for the case that no enumerator is.
const notHere = /^!?(IsPlanted|IsRacy)\(/
// Nor is what is only asked when a bug is played.
const onlyPlanted = /\bIsPlanted\([^)]*\) && $/
const switched = /\bswitch \($/
const assertion = 'core/base/assert.h'
const expansionKind = 1 // of a region, in llvm-cov's JSON

/** Runs the three binaries; their counts. Numbers of rounds are the short ones, also when nightly. */
async function runTests() {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const counts = { passed: 0, failed: 0 }
  for (const [binary, values] of Object.entries(binaries)) {
    const startedAt = performance.now()
    const env = { LLVM_PROFILE_FILE: join(folder, `${binary}-%c%m.profraw`), THERMOCLINE_NIGHTLY: undefined }
    const { output } = await run(join(built, binary), values, { quiet: true, env })
    process.stdout.write(output.replaceAll(/^(ok | {5}).*\n/gm, ''))
    const { passed, failed } = readCounts(output)
    counts.passed += passed
    counts.failed += failed
    console.log(`${binary}: ${Math.round((performance.now() - startedAt) / 1000)} s`)
  }
  return counts
}

/** What `llvm-cov export` knows about the files of the core. */
async function readCounters() {
  const counters = listFiles(folder, (name) => name.endsWith('.profraw'))
  if (counters.length < Object.keys(binaries).length) throw new ScriptError('a binary left no counters')
  await runOrFail('merging counters', 'llvm-profdata-14', ['merge', '-o', profile, ...counters])
  const [first, ...others] = Object.keys(binaries).map((name) => join(built, name))
  const objects = others.flatMap((other) => ['-object', other])
  const text = await runOrFail('reading counters', 'llvm-cov-14', [
    'export',
    first,
    ...objects,
    `-instr-profile=${profile}`,
  ])
  // Before it may stand a warning about two tests of one name in two binaries.
  const [{ files, functions }] = JSON.parse(text.slice(text.indexOf('{'))).data
  return { files: files.filter(({ filename }) => isOfCore(filename)), functions }
}

/** For each file number of a function: the file, and where its outermost macro is used when it is an expansion. */
function findPlaces({ filenames, regions }) {
  const usedAt = new Map()
  for (const [line, column, , , , file, expanded, kind] of regions)
    if (kind === expansionKind) usedAt.set(expanded, { line, column, file })
  return filenames.map((_, number) => {
    let place = { file: number, chain: '', macros: [] }
    for (let use = usedAt.get(number); use !== undefined; use = usedAt.get(place.file)) {
      const macros = [...place.macros, filenames[place.file]]
      place = { ...use, chain: `${use.line}:${use.column} ${place.chain}`, macros }
    }
    return { ...place, file: filenames[place.file] }
  })
}

/** Every condition of the core: file, line, column, whether it was ever true and false, whether it is an assertion. */
function collectConditions(functions) {
  const conditions = new Map()
  for (const each of functions) {
    if (!each.filenames.some(isOfCore)) continue
    const places = findPlaces(each)
    for (const [line, column, lineEnd, columnEnd, taken, notTaken, file] of each.branches) {
      const place = places[file]
      if (!isOfCore(place.file)) continue
      const key = `${place.file} ${place.chain}${line}:${column}-${lineEnd}:${columnEnd}`
      const isAssertion = place.macros.some((macro) => macro.endsWith(assertion))
      const known = conditions.get(key) ?? {
        file: place.file,
        line: place.line ?? line,
        column: place.column ?? column,
        isAssertion,
        taken: 0,
        notTaken: 0,
      }
      known.taken += taken
      known.notTaken += notTaken
      conditions.set(key, known)
    }
  }
  return [...conditions.values()]
}

/** Lines that have code, each with its count: llvm-cov's own rule (LineCoverageStats). */
function countLines(segments) {
  const lines = new Map()
  let wrapped
  for (let at = 0; at < segments.length; ) {
    const line = segments[at][0]
    const here = []
    for (; at < segments.length && segments[at][0] === line; at++) here.push(segments[at])
    const [, , , firstHasCount, firstIsEntry] = here[0]
    const entries = here.filter(([, , , hasCount, isEntry, isGap]) => hasCount && isEntry && !isGap)
    const isSkipped = !firstHasCount && firstIsEntry
    if (!isSkipped && (wrapped?.[3] || entries.length > 0))
      lines.set(line, Math.max(wrapped?.[3] ? wrapped[2] : 0, ...entries.map(([, , count]) => count)))
    wrapped = here.at(-1)
    const next = segments[at]?.[0] ?? line
    for (let between = line + 1; wrapped[3] && between < next; between++) lines.set(between, wrapped[2])
  }
  return lines
}

/** Lines of code that never ran and begin on a marked line. */
function linesMarked(functions, file, marked) {
  const lines = new Set()
  for (const { filenames, regions } of functions)
    for (const [line, , lineEnd, , count, number, , kind] of regions)
      if (count === 0 && kind !== expansionKind && filenames[number] === file && marked.has(line))
        for (let each = line; each <= lineEnd; each++) lines.add(each)
  return lines
}

/** Per file: lines and branches reached, of how many, outcomes left out, and what was missed. */
function judge({ files, functions }) {
  const conditions = collectConditions(functions)
  return files.map(({ filename, segments }) => {
    const source = readFileSync(filename, 'utf8').split('\n')
    const marked = new Set(source.flatMap((text, index) => (mark.test(text) ? [index + 1] : [])))
    const report = { file: relative(core, filename), lines: 0, linesHit: 0, branches: 0, branchesHit: 0 }
    Object.assign(report, { unreachable: 0, assertions: 0, missed: [], wrong: [] })
    const used = new Set()
    const exempt = linesMarked(functions, filename, marked)
    for (const [line, count] of countLines(segments)) {
      if (count === 0 && (exempt.has(line) || marked.has(line))) {
        if (marked.has(line)) used.add(line)
        continue
      }
      report.lines += 1
      if (count > 0) report.linesHit += 1
      else report.missed.push({ line, text: 'never ran' })
    }
    for (const each of conditions.filter(({ file }) => file === filename)) {
      const text = source[each.line - 1]
      const before = text.slice(0, each.column - 1)
      if (notHere.test(text.slice(each.column - 1)) || onlyPlanted.test(before)) continue
      if (each.taken === 0 && switched.test(before)) continue
      for (const [outcome, count] of [
        ['true', each.taken],
        ['false', each.notTaken],
      ]) {
        if (count === 0 && marked.has(each.line)) {
          report.unreachable += 1
          used.add(each.line)
        } else if (count === 0 && each.isAssertion) {
          report.assertions += 1
        } else {
          report.branches += 1
          if (count > 0) report.branchesHit += 1
          else report.missed.push({ line: each.line, text: `column ${each.column} never ${outcome}` })
        }
      }
    }
    report.wrong = [...marked].filter((line) => !used.has(line))
    report.missed = report.missed
      .sort((a, b) => a.line - b.line)
      .map(({ line, text }) => `${report.file}:${line}: ${text}: ${source[line - 1].trim()}`)
    return report
  })
}

function add(reports) {
  const sum = (key) => reports.reduce((total, report) => total + report[key], 0)
  const keys = ['lines', 'linesHit', 'branches', 'branchesHit', 'unreachable', 'assertions']
  return Object.fromEntries(keys.map((key) => [key, sum(key)]))
}

function percent(part, whole) {
  return whole === 0 ? '     -' : `${(Math.floor((10000 * part) / whole) / 100).toFixed(2).padStart(6)}`
}

function formatRow(name, { lines, linesHit, branches, branchesHit, unreachable }) {
  const share = (hit, all) => `${percent(hit, all)} % ${`${hit}/${all}`.padStart(11)}`
  const left = unreachable === 0 ? '' : `  ${unreachable} unreachable`
  return `${name.padEnd(34)} lines ${share(linesHit, lines)}   branches ${share(branchesHit, branches)}${left}`
}

function print(reports) {
  const folders = [...new Set(reports.map(({ file }) => dirname(file)))].sort()
  for (const name of folders) {
    const own = reports.filter(({ file }) => dirname(file) === name)
    for (const report of own) console.log(formatRow(`  ${report.file}`, report))
  }
  console.log('')
  for (const name of folders) console.log(formatRow(name, add(reports.filter(({ file }) => dirname(file) === name))))
  const known = new Set(reports.map(({ file }) => file))
  const others = listFiles(
    core,
    (name) => name.endsWith('.cc') && !name.endsWith('_test.cc') && !name.endsWith('_fuzz.cc'),
  )
    .map((file) => relative(core, file))
    .filter((file) => !known.has(file))
  if (others.length > 0) console.log(`without code here: ${others.join(' ')}`)
}

/** `{ passed, failed }`. `missed`: part of a path; `isRead`: whether the counters of the last run are taken. */
export async function checkCoverage({ missed, isRead = false } = {}) {
  if (['clang++-14', 'llvm-cov-14', 'llvm-profdata-14'].some((tool) => isTool(tool) === undefined)) return absent
  const jobs = `-j${Math.min(availableParallelism(), 2)}`
  const counts = { passed: 0, failed: 0 }
  if (!isRead) {
    const target = ['--silent', '-C', join(root, 'native'), jobs, 'VARIANT=coverage', 'all', 'kill', 'power']
    await runOrFail('building for coverage', 'make', target)
    Object.assign(counts, await runTests())
  }
  const reports = judge(await readCounters())
  print(reports)
  for (const report of reports)
    if (missed !== undefined && report.file.includes(missed)) console.log(report.missed.join('\n'))
  const note = (holds, text) => {
    counts[holds ? 'passed' : 'failed'] += 1
    console.log(`${holds ? 'ok    ' : 'FAILED'} ${text}`)
  }
  const wrong = reports.flatMap(({ file, wrong }) => wrong.map((line) => `${file}:${line}`))
  note(wrong.length === 0, `what is marked unreachable was not reached${wrong.map((place) => ` ${place}`)}`)
  const total = add(reports)
  console.log(formatRow('native/core', total))
  const { branches, branchesHit, unreachable, assertions } = total
  const all = branches + unreachable + assertions
  console.log(
    `left out: ${unreachable} outcomes marked unreachable, ${assertions} of assertions; ` +
      `with them ${percent(branchesHit, all).trim()} % of ${all}`,
  )
  note(100 * branchesHit >= branchesFloorPercent * branches, `branches >= ${branchesFloorPercent} %`)
  return counts
}

async function main() {
  const values = process.argv.slice(2)
  const at = values.indexOf('--missed')
  const outcome = await checkCoverage({
    missed: at < 0 ? undefined : (values[at + 1] ?? ''),
    isRead: values.includes('--read'),
  })
  if (outcome === absent) throw new ScriptError('clang++-14, llvm-cov-14 and llvm-profdata-14 are needed')
  console.log(`${outcome.passed} passed, ${outcome.failed} failed`)
  if (outcome.failed > 0) process.exitCode = 1
}

runAsProgram(import.meta.url, main)
