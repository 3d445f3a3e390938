// Searches the models: those of Spin exhaustively, those of Relacy (relacy.mjs) by so many executions. Sound, each must
// hold in every configuration; with a fault planted or an order weakened, it must not.
//
//   node models/check.mjs [--only <part of a name>] [--jobs 2] [--executions 50000]
//
// Imports only node: modules. Needs `spin`, `relacy-dev` and compilers. A search of Spin that met its depth or memory
// limit has shown nothing and fails. A fault must be found by the property that is named here, not by any.

import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { checkRelacy } from './relacy.mjs'

const run = promisify(execFile)
const models = dirname(fileURLToPath(import.meta.url))
const depthMax = 100000
const memoryMiB = 6000
const timeoutMs = 220000

// Each row: title, defines of the configuration, and for a fault first its define, last the property that finds it.
const sound = [
  ['4 operations, 2 kills, a get', 'OPS=2 KILLS=2 GETS=1 SEGMENTS=3'],
  ['4 operations, 2 kills, a snapshot', 'OPS=2 KILLS=2 GETS=0 SNAPSHOT SEGMENTS=3'],
  ['4 operations, segments of 1 slot, 2 kills', 'OPS=2 SLOTS=1 KILLS=2 GETS=0 SEGMENTS=4'],
  ['2 operations, 2 kills, 2 gets and a snapshot', 'OPS=1 IDS=1 KILLS=2 GETS=2 SNAPSHOT SEGMENTS=3'],
  ['frames of 2 records of one id, 2 kills, a get', 'OPS=1 RECORDS=2 KILLS=2 GETS=1 SEGMENTS=3'],
  ['the index grows, 2 kills, 2 gets', 'OPS=1 GROWERS=1 KILLS=2 GETS=2 SEGMENTS=2'],
  ['the index grows, 4 operations, a kill', 'OPS=2 GROWERS=1 KILLS=1 GETS=0 SEGMENTS=3'],
  ['the index grows, frames of 2 records, 2 kills', 'OPS=1 GROWERS=1 RECORDS=2 KILLS=2 GETS=0 SEGMENTS=3'],
  ['2 kills, both start again', 'OPS=2 KILLS=2 REJOINS=2 GETS=0 SEGMENTS=3'],
]

const order = 'tail<('
const gapless = 'r_sequence'
const live = 'alive['
const one = 'OPS=1 GETS=0'
const planted = [
  ['tail moved before the frame is written', 'F_TAIL_FIRST', `${one} KILLS=1`, 'count==0'],
  ['applied moved before the frame is applied', 'F_APPLIED_FIRST', 'OPS=1 KILLS=1 GETS=1', 'version>=expected'],
  ['last_frame moved before the frame is applied', 'F_LAST_FRAME_FIRST', `${one} KILLS=1`, 'cell['],
  ['lock taken from a live owner', 'F_STEAL', `${one} KILLS=0`, live],
  ['lock taken by the number without the incarnation', 'F_NO_INCARNATION', 'OPS=2 GETS=0 KILLS=1 REJOINS=1', live],
  ['own number alone taken for oneself', 'F_SELF_BY_NUMBER', 'OPS=2 GETS=0 KILLS=1 REJOINS=1', 'invalid end state'],
  ['repair by increment', 'F_INCREMENT', `${one} KILLS=1`, 'size==count'],
  ['takeover without repair', 'F_NO_REPAIR', `${one} KILLS=1`, gapless],
  ['repair skips what the index names', 'F_REPAIR_SKIPS', `${one} IDS=1 KILLS=1`, 'died['],
  ['takeover begins after last_frame', 'F_SKIP_LAST_FRAME', `${one} KILLS=1`, gapless],
  ['last_frame always applied again', 'F_REAPPLY', 'OPS=1 RECORDS=2 KILLS=1 GETS=1 SEGMENTS=3', 'version>=expected'],
  [
    'last_frame applied again while the index is copied',
    'F_REAPPLY_INVISIBLE',
    `${one} RECORDS=2 KILLS=1 GROWERS=1 SEGMENTS=3`,
    'cell[',
  ],
  ['segment check left out', 'F_NO_SEGMENT_CHECK', 'OPS=2 SLOTS=1 KILLS=0 GETS=0', order],
  ['claim by load and store', 'F_RACY_CLAIM', `${one} KILLS=0`, 'slot_taken'],
  ['same id twice, previous from the index', 'F_PREVIOUS_FROM_INDEX', `${one} RECORDS=2 KILLS=0`, 'died['],
  ['reader ignores applied', 'F_IGNORE_APPLIED', 'OPS=1 KILLS=0 GETS=1', 'version<=applied'],
  ['applied looked at anew for each record', 'F_APPLIED_ANEW', 'OPS=1 RECORDS=2 KILLS=0 GETS=1', 'version%2'],
  ['no second load of the list generation', 'F_NO_SECOND_LOOK', 'OPS=2 KILLS=0 GETS=0 SNAPSHOT', 'held_segments'],
  ['new segment from the list held', 'F_LIST_HELD', 'OPS=2 SLOTS=1 KILLS=0 GETS=0', 'meta_segments'],
  ['list of a dead owner not published', 'F_LIST_NOT_PUBLISHED', 'OPS=2 SLOTS=1 KILLS=1 GETS=0', 'meta_segments'],
  ['index published before it caught up', 'F_PUBLISH_EARLY', 'OPS=1 KILLS=0 GETS=1 GROWERS=1', 'version>=expected'],
  ['a miss believed at once', 'F_MISS_BELIEVED', 'OPS=1 KILLS=0 GETS=1 GROWERS=1', 'version>=expected'],
]

const soundPins = [
  ['pins: 2 callers of 2 calls, 3 looks', 'CALLS=2 LOOKS=3'],
  ['pins: 2 callers of 3 calls, 2 looks', 'CALLS=3 LOOKS=2'],
]
const unmapped = 'mapped'
const plantedPins = [
  ['pins: no barrier on every thread', 'F_NO_BARRIER', 'CALLS=1', unmapped],
  ['pins: calls under way noted before the table is changed', 'F_NOTED_FIRST', 'CALLS=1', unmapped],
  ['pins: the call looks the segment up before it pins', 'F_LATE_PIN', 'CALLS=1', unmapped],
  ['pins: unmapped without a grace', 'F_NO_GRACE', 'CALLS=1', unmapped],
  ['pins: a hold taken before the grace ignored', 'F_HOLD_IGNORED F_HELD_DROPPED', 'CALLS=1', unmapped],
  ['pins: a hold taken during the grace ignored', 'F_HELD_DROPPED', 'CALLS=1', unmapped],
  ['pins: what is leaving is given out without putting it back', 'F_NO_PUT_BACK', 'CALLS=1', unmapped],
]

/** Builds the verifier for the defines and runs it. */
async function search(directory, model, defines) {
  mkdirSync(directory)
  const flags = defines.split(' ').map((define) => `-D${define}`)
  await run('spin', [...flags, '-a', join(models, model)], { cwd: directory })
  await run('cc', ['-O2', '-w', '-DSAFETY', '-DCOLLAPSE', `-DMEMLIM=${memoryMiB}`, '-o', 'pan', 'pan.c'], {
    cwd: directory,
  })
  const started = Date.now()
  const { stdout } = await run(join(directory, 'pan'), [`-m${depthMax}`], {
    cwd: directory,
    timeout: timeoutMs,
    maxBuffer: 64 << 20,
  })
  const number = (pattern) => Number(pattern.exec(stdout)?.[1] ?? Number.NaN)
  return {
    errors: number(/errors: (\d+)/),
    states: number(/(\d+) states, stored/),
    depth: number(/depth reached (\d+)/),
    seconds: (Date.now() - started) / 1000,
    violation: /^pan:\d+: (.*) \(at depth/m.exec(stdout)?.[1],
    truncated: /max search depth too small|out of memory|resource limits|hash-compact|bit statespace/i.test(stdout),
    complete: !/Search not completed/.test(stdout) && /^Full statespace search/m.test(stdout),
  }
}

/** Undefined when the search shows what it must. */
function faultOf(result, violation) {
  if (result.truncated || Number.isNaN(result.errors)) return 'the search met a limit'
  if (violation === undefined) {
    if (result.errors > 0) return `violated: ${result.violation}`
    return result.complete ? undefined : 'the search was not completed'
  }
  if (result.errors === 0) return 'not found'
  return result.violation?.includes(violation) ? undefined : `found by another property: ${result.violation}`
}

async function check(directory, model, title, defines, violation) {
  let fault
  let text = ''
  try {
    const result = await search(directory, model, defines)
    fault = faultOf(result, violation)
    const size = `${result.states} states, depth ${result.depth}, ${result.seconds.toFixed(1)} s`
    text = violation === undefined ? `holds: ${size}` : `found: ${size}`
  } catch (error) {
    fault = `${error.message}${error.stdout ?? ''}`.trim()
  }
  rmSync(directory, { recursive: true, force: true })
  console.log(`${fault === undefined ? 'ok' : 'FAILED'}  ${title} (${defines}): ${fault ?? text}`)
  return fault === undefined
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    jobs: { type: 'string', default: '2' },
    executions: { type: 'string', default: '50000' },
  },
})
for (const [tool, there] of [
  ['spin', spawnSync('spin', ['-V']).error === undefined],
  ['relacy-dev', existsSync('/usr/include/relacy/relacy.hpp')],
]) {
  if (there) continue
  console.log(`not run here: ${tool}`)
  process.exit(0)
}
const tasksOf = (model, held, broken) => [
  ...held.map(([title, defines]) => [model, `sound: ${title}`, defines]),
  ...broken.map(([title, flag, defines, violation]) => [model, `planted: ${title}`, `${flag} ${defines}`, violation]),
]
const tasks = [...tasksOf('commit.pml', sound, planted), ...tasksOf('pins.pml', soundPins, plantedPins)].filter(
  ([, title, defines]) => `${title} ${defines}`.includes(values.only),
)
const scratch = mkdtempSync(join(tmpdir(), 'thermocline-models-'))
let passed = 0
let next = 0
const worker = async () => {
  while (next < tasks.length) {
    const index = next++
    if (await check(join(scratch, String(index)), ...tasks[index])) ++passed
  }
}
await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
const relacy = await checkRelacy(join(scratch, 'relacy'), {
  only: values.only,
  jobs: Number(values.jobs),
  executions: Number(values.executions),
})
rmSync(scratch, { recursive: true, force: true })
passed += relacy.passed
const failed = tasks.length + relacy.passed + relacy.failed - passed
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 && passed > 0 ? 0 : 1
