// npm run test:nightly -- --part n/3: a third of the test files with enlarged numbers (THERMOCLINE_NIGHTLY=1), the
// concurrent ones twenty times in a row. Without --part everything.

import { join, relative } from 'node:path'
import { killTests, nativeTests, powerTests, runChecks, vitest } from './checks.mjs'
import { listFiles, root, runAsProgram, ScriptError } from './run.mjs'
import { setup } from './setup.mjs'

const roundsOfConcurrent = 20
const testTimeout = 600_000

function readPart(values) {
  const at = values.indexOf('--part')
  if (at < 0) return { part: 1, parts: 1 }
  const [, part, parts] = /^(\d+)\/(\d+)$/.exec(values[at + 1] ?? '')?.map(Number) ?? []
  if (part === undefined || part < 1 || part > parts) throw new ScriptError('usage: --part n/3')
  return { part, parts }
}

async function main() {
  const { part, parts } = readPart(process.argv.slice(2))
  await setup()
  process.env.THERMOCLINE_NIGHTLY = '1'
  const files = listFiles(join(root, 'test'), (name) => name.endsWith('.test.ts')).map((file) => relative(root, file))
  const isConcurrent = (file) => file.startsWith('test/concurrent/')
  // Dealt out in turn, each kind by itself, so that the parts are of like length.
  const dealt = (list) => list.filter((_, index) => index % parts === part - 1)
  const concurrent = dealt(files.filter(isConcurrent))
  const others = dealt(files.filter((file) => !isConcurrent(file)))
  const limits = [`--testTimeout=${testTimeout}`]
  const checks = part === 1 ? [['native tests', nativeTests]] : []
  if (part === Math.min(2, parts)) checks.push(['power tests', powerTests])
  if (part === parts) checks.push(['kill tests', killTests])
  if (others.length > 0) checks.push(['vitest', () => vitest({ extra: [...others, ...limits] })])
  for (let round = 1; round <= roundsOfConcurrent && concurrent.length > 0; round++) {
    checks.push([
      `concurrent, round ${round} of ${roundsOfConcurrent}`,
      () => vitest({ extra: [...concurrent, ...limits] }),
    ])
  }
  await runChecks(checks)
}

runAsProgram(import.meta.url, main)
