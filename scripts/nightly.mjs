// npm run test:nightly -- --part n/3: a third of the tests with their larger numbers (THERMOCLINE_NIGHTLY=1), the
// concurrent ones twenty times in a row. Without --part everything.
//
// Parts are made alike by what each check took when it was last measured: the longest goes first, to the part that has
// least. A file that is not in the list counts as a third of a minute.

import { join, relative } from 'node:path'
import { killTests, nativeTests, powerTests, readCounts, runChecks, vitest } from './checks.mjs'
import { checkCoverage } from './coverage.mjs'
import { checkFuzz } from './fuzz.mjs'
import { checkPlanted } from './planted.mjs'
import { listFiles, root, run, runAsProgram, ScriptError } from './run.mjs'
import { setup } from './setup.mjs'

const roundsOfConcurrent = 20
const testTimeout = 4_000_000
const fuzzRuns = 1_120_000 // of each decoder: ten million inputs in all

const modelExecutions = 500_000 // of each model, sound and weakened

/** Minutes, on two cores that had other work too. */
const minutes = {
  'kill tests': 50,
  'power tests': 30,
  'concurrent tests': 24,
  'test/processes/soak.test.ts': 21,
  'native tests': 20,
  'fuzz targets': 18,
  'test/processes/node.test.ts': 14,
  models: 12,
  'test/processes/kill.test.ts': 11,
  'test/processes/locks.test.ts': 11,
  coverage: 8,
  'planted bugs': 7,
  'test/processes/block-cuts.test.ts': 5,
  'test/processes/linearizability.test.ts': 4,
  'test/package/source-build.test.ts': 4,
  'test/processes/stress.test.ts': 2,
}
const minutesOfOthers = 0.3

function readPart(values) {
  const at = values.indexOf('--part')
  if (at < 0) return { part: 1, parts: 1 }
  const [, part, parts] = /^(\d+)\/(\d+)$/.exec(values[at + 1] ?? '')?.map(Number) ?? []
  if (part === undefined || part < 1 || part > parts) throw new ScriptError('usage: --part n/3')
  return { part, parts }
}

/** The names in `parts` lists whose minutes add up to about the same. */
function deal(names, parts) {
  const dealt = Array.from({ length: parts }, () => ({ names: [], minutes: 0 }))
  const cost = (name) => minutes[name] ?? minutesOfOthers
  for (const name of [...names].sort((a, b) => cost(b) - cost(a) || (a < b ? -1 : 1))) {
    const least = dealt.reduce((best, each) => (each.minutes < best.minutes ? each : best))
    least.names.push(name)
    least.minutes += cost(name)
  }
  return dealt
}

async function runConcurrent() {
  const total = { passed: 0, failed: 0 }
  for (let round = 1; round <= roundsOfConcurrent; round++) {
    console.log(`\n--- concurrent tests, round ${round} of ${roundsOfConcurrent}`)
    const { passed, failed } = await vitest({ extra: ['test/concurrent', `--testTimeout=${testTimeout}`] })
    total.passed += passed
    total.failed += failed
  }
  return total
}

/** Spin as ever, Relacy with more executions. */
async function checkModels() {
  const program = join(root, 'models', 'check.mjs')
  const { output } = await run(process.execPath, [program, '--executions', String(modelExecutions)], { capture: true })
  return readCounts(output)
}

async function main() {
  const { part, parts } = readPart(process.argv.slice(2))
  await setup()
  process.env.THERMOCLINE_NIGHTLY = '1'
  const suites = {
    'kill tests': killTests,
    'power tests': powerTests,
    'native tests': nativeTests,
    'concurrent tests': runConcurrent,
    'planted bugs': checkPlanted,
    coverage: checkCoverage,
    'fuzz targets': () => checkFuzz({ runs: fuzzRuns }),
    models: checkModels,
  }
  const files = listFiles(join(root, 'test'), (name) => name.endsWith('.test.ts'))
    .map((file) => relative(root, file))
    .filter((file) => !file.startsWith('test/concurrent/'))
  const { names, minutes: expected } = deal([...Object.keys(suites), ...files], parts)[part - 1]
  console.log(`part ${part} of ${parts}: ${names.length} checks, about ${Math.round(expected)} minutes`)
  await runChecks(
    names.map((name) => [
      name,
      suites[name] ?? (() => vitest({ extra: [name, `--testTimeout=${testTimeout}`], allowNone: false })),
    ]),
  )
}

runAsProgram(import.meta.url, main)
