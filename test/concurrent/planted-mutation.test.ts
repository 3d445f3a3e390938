// Goal: C1 and C5 see the bug that they are for. Method: they run in a child, once with the addon into which the
// seed's racy slot claim is planted, where both must fail and say why, and once with the sound one, where both pass.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { testMsMax } from '../support/concurrent.js'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const planted = join(root, 'build', 'Release', 'thermocline_planted.node')
const files = ['test/concurrent/offset-uniqueness.test.ts', 'test/concurrent/writers-at-barrier.test.ts']
// A race needs two threads in the same microsecond: the writers of the child meet before every second put, three times
// as often as usual. On a host busy with other work even that may miss it once, hence the rounds.
const childFactor = 3
const childWave = 2
const roundsMax = 6
const counts = { THERMOCLINE_FACTOR: String(childFactor), THERMOCLINE_WAVE: String(childWave) }
const names = ['C1', 'C5']
const options = ['--reporter=json', '--no-file-parallelism']

interface Result {
  status: string
  message: string
}

/** Results of C1 and C5 in a child, by the first word of the test's name. */
async function runChild(addon: string | undefined): Promise<Map<string, Result>> {
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-planted-'))
  const output = join(directory, 'report.json')
  const program = join(root, 'node_modules', 'vitest', 'vitest.mjs')
  const { THERMOCLINE_ADDON: _own, THERMOCLINE_SEED: _seed, VITEST: _vitest, ...env } = process.env
  try {
    const child = spawn(process.execPath, [program, 'run', ...options, `--outputFile=${output}`, ...files], {
      cwd: root,
      stdio: 'ignore',
      env: { ...env, ...counts, ...(addon ? { THERMOCLINE_ADDON: addon } : {}) },
    })
    await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject))
    const { testResults } = JSON.parse(readFileSync(output, 'utf8')) as {
      testResults: { assertionResults: { title: string; status: string; failureMessages: string[] }[] }[]
    }
    const results = testResults.flatMap(({ assertionResults }) => assertionResults)
    return new Map(
      results.map(({ title, status, failureMessages }) => [
        title.split(':')[0] as string,
        { status, message: failureMessages.join('\n') },
      ]),
    )
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

test('C1 and C5 fail with the racy slot claim, and say what they saw of it', { timeout: testMsMax }, async () => {
  expect(existsSync(planted), 'the planted addon is built').toBe(true)
  const messages = new Map<string, string>()
  for (let round = 0; round < roundsMax && messages.size < names.length; round++) {
    for (const [name, { status, message }] of await runChild(planted)) {
      if (status === 'failed') messages.set(name, message)
    }
  }
  for (const name of names) {
    const message = messages.get(name) as string
    expect(message, `${name} saw nothing in ${roundsMax} rounds`).toBeDefined()
    console.log(`${name} with the racy claim: ${message.split('\n').slice(0, 2).join(' ')}`)
    // Of two records with one slot a read refuses the one that the slot does not name, unless it came between.
    expect(message).toMatch(/slot shared: \d+\/\d+ by|embedding of another memory|the store's bytes are damaged/)
    expect(message).toMatch(/replay: THERMOCLINE_SEED=\d+ npx vitest run/)
  }
})

test('C1 and C5 pass in the same child with the sound addon', { timeout: testMsMax }, async () => {
  const results = await runChild(undefined)
  for (const name of names) expect(results.get(name)).toEqual({ status: 'passed', message: '' })
})
