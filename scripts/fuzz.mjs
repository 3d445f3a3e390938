// node scripts/fuzz.mjs [--runs n] [--only target] [--seed n]: every target of native/fuzz under libFuzzer, with
// AddressSanitizer and UndefinedBehaviorSanitizer. Needs clang. Last line: `N passed, N failed`.
//
// `--runs` is the number of inputs for a decoder; a whole store costs as much as a hundred of those and gets fewer.
// What a target finds is kept in .cache/fuzz/<target>/ and its name printed, with the command that plays it again. The
// corpus stays there too, so that a later run goes on where this one ended.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { absent } from './checks.mjs'
import { findCommand, root, run, runAsProgram, runOrFail, ScriptError } from './run.mjs'

const binary = join(root, 'build-native', 'fuzz', 'thermocline_fuzz')
const runsUsual = 20_000
const costs = { store: 100, operations: 100 }
const memoryMegabytes = 1024 // under the sanitizer; what a decoder allocates must not follow from the input
const secondsPerInput = 20

function numberAfter(values, flag, fallback) {
  const at = values.indexOf(flag)
  if (at < 0) return fallback
  const number = Number(values[at + 1])
  if (!Number.isInteger(number) || number < 1) throw new ScriptError(`${flag} takes a number`)
  return number
}

async function build() {
  await runOrFail('building the fuzz targets', 'make', [
    '--silent',
    '-C',
    join(root, 'native'),
    '-j2',
    'VARIANT=fuzz',
    'fuzz',
  ])
}

async function targetNames() {
  const { output } = await run(binary, [], { quiet: true })
  const names = output.trim().split('\n')
  if (names.length < 2) throw new ScriptError('the binary names no targets')
  return names
}

/** Executions, and whether nothing was found. */
async function fuzz(target, runs, seed) {
  const folder = join(root, '.cache', 'fuzz', target)
  const corpus = join(folder, 'corpus')
  mkdirSync(corpus, { recursive: true })
  const seeds = mkdtempSync(join(tmpdir(), 'thermocline-seeds-'))
  try {
    const env = { THERMOCLINE_FUZZ_TARGET: target }
    await runOrFail('making seeds', binary, [], { env: { ...env, THERMOCLINE_FUZZ_SEEDS: seeds } })
    const { code, output } = await run(
      binary,
      [
        `-runs=${runs}`,
        `-seed=${seed}`,
        `-timeout=${secondsPerInput}`,
        `-rss_limit_mb=${memoryMegabytes}`,
        `-artifact_prefix=${folder}/`,
        '-print_final_stats=1',
        '-verbosity=0',
        '-use_value_profile=1',
        '-max_len=4096',
        corpus,
        seeds,
      ],
      { env, quiet: true },
    )
    const executed = Number(/stat::number_of_executed_units: (\d+)/.exec(output)?.[1] ?? 0)
    const enough = executed >= runs
    if (code === 0 && enough) return { executed, found: false }
    process.stdout.write(output)
    if (!enough && code === 0) throw new ScriptError(`${target}: ${executed} of ${runs} inputs`)
    console.log(`play it again: THERMOCLINE_FUZZ_TARGET=${target} ${binary} <the file named above>`)
    return { executed, found: true }
  } finally {
    rmSync(seeds, { recursive: true, force: true })
  }
}

/** `{ passed, failed }`: a target each. `runs`: inputs for a decoder; `only`: one target's name. */
export async function checkFuzz({ runs = runsUsual, only, seed = 1 } = {}) {
  if (findCommand('clang++-14') === undefined) return absent
  await build()
  const names = (await targetNames()).filter((name) => only === undefined || name === only)
  if (names.length === 0) throw new ScriptError(`no target is called ${only}`)
  const counts = { passed: 0, failed: 0 }
  let total = 0
  for (const name of names) {
    const startedAt = performance.now()
    const { executed, found } = await fuzz(name, Math.ceil(runs / (costs[name] ?? 1)), seed)
    counts[found ? 'failed' : 'passed'] += 1
    total += executed
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    console.log(`${found ? 'FAILED' : 'ok    '} ${name}: ${executed} inputs in ${seconds} s, seed ${seed}`)
  }
  console.log(`${total} inputs`)
  return counts
}

async function main() {
  const values = process.argv.slice(2)
  const at = values.indexOf('--only')
  const outcome = await checkFuzz({
    runs: numberAfter(values, '--runs', runsUsual),
    only: at < 0 ? undefined : values[at + 1],
    seed: numberAfter(values, '--seed', 1),
  })
  if (outcome === absent) throw new ScriptError('clang++-14 is not here')
  console.log(`${outcome.passed} passed, ${outcome.failed} failed`)
  if (outcome.failed > 0) process.exitCode = 1
}

runAsProgram(import.meta.url, main)
