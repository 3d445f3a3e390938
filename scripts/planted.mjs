// node scripts/planted.mjs [--red] [part of a fault's name]: every bug of native/core/base/planted.h is played, one at
// a time, and the test named here must turn red; without a bug the same tests must be green, which `--red` leaves out.
// Last line: `N passed, N failed`.
//
// A test that cannot fail proves nothing. What is red: an expectation failed, or the process died by a signal.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { listFiles, root, run, runAsProgram, ScriptError } from './run.mjs'

const binaries = { test: 'thermocline_test', kill: 'thermocline_kill', power: 'thermocline_power' }

/** Fault, binary, test, further arguments. */
const faults = [
  ['RacyClaim', 'test', 'StoreConcurrency.ThreadsThatPutReplaceUpdateDeleteAndGetShareNoPlaceAndTearNothing'],
  ['TailBeforeFrame', 'kill', 'Step.APutIsThereWholeOrNotWhereverItsWriterDies', '--rounds', '80'],
  ['AppliedBeforeApply', 'kill', 'Step.ASurvivorSeesAPutWholeOrNotAndGoesOn', '--rounds', '200'],
  ['StatisticsLost', 'test', 'StoreModel.AnySequenceOfWritesEqualsAMap'],
  ['RepairIncrements', 'test', 'StoreRepair.AnUnappliedCommitIsAppliedByTheNextOpenerOnceOrTwiceToTheSameEnd'],
  ['OwnerAlwaysLives', 'test', 'SharedLock.OfADeadOwnerIsTakenAlsoByWhoNeverWaits'],
  ['NoGrace', 'test', 'Pins.NobodyReadsWhatWasGivenBack'],
  ['NoSecondLook', 'test', 'CompactLoad.AMemoryThatIsAlwaysThereIsAlwaysFound'],
  ['FrameCheckLeftOut', 'test', 'StoreDamage.ADamagedEndOfTheLogCostsOnlyWhatCameAfterIt'],
  [
    'RecordCheckLeftOut',
    'test',
    'HostileBytes.EveryCallAfterAChangeOfAnyFileGivesATypedErrorOrTheRightBytes',
    '--rounds',
    '300',
  ],
  ['BlockCheckLeftOut', 'test', 'StoreDamage.AnEmbeddingThatDidNotReachTheDiskEndsThePrefix'],
  ['ChainIgnored', 'power', 'PowerCut.LeavesAPrefixThatHoldsEverythingAReturnedFlushCovered', '--rounds', '30'],
  ['LogEndsIgnored', 'power', 'PowerTrace.AFrameThatARecoveryDroppedDoesNotComeBack'],
  ['ImagesIgnored', 'test', 'StoreFlush.MakesGoodBlocksThatNeverReachedTheDisk'],
  ['OldBootBelieved', 'test', 'StoreRecovery.AnotherBootWithoutACleanCloseRebuildsTheCache'],
  ['WatermarkBeforeSync', 'power', 'PowerCut.LeavesAPrefixThatHoldsEverythingAReturnedFlushCovered', '--rounds', '30'],
  ['FlushForgetsALog', 'power', 'PowerTrace.AFlushAfterARotationCoversBothLogs'],
  ['NoPoison', 'power', 'SyncFailure.PoisonsTheStoreForEveryParticipantAndLeavesItReadable'],
  ['CompactionDropsNewest', 'test', 'Compact.GivesTheSpaceOfDeletedMemoriesBackAndKeepsTheOthers'],
  ['CompactionDropsDeletions', 'test', 'Compact.ADeletionIsKeptUntilItsRunHeadsTheList'],
  ['CompactionKeepsFiles', 'test', 'Compact.GivesTheSpaceOfDeletedMemoriesBackAndKeepsTheOthers'],
  ['SketchSlackTooSmall', 'test', 'Sketch.BoundsHoldAsOftenAsTheirConfidenceSays'],
  ['ColumnSkipped', 'test', 'MemoryFilter.MarksWhatMatchesWhateverWasFoundOutBefore'],
]

const diedBySignal = 128 // as run() has it

const header = 'native/core/base/planted.h'

/** Throws unless the table has every fault of the header, and no other. */
function checkTable() {
  const listed = [...readFileSync(join(root, header), 'utf8').matchAll(/\bfault\((\w+)\)/g)].map(([, name]) => name)
  const named = faults.map(([name]) => name)
  const odd = [...listed.filter((name) => !named.includes(name)), ...named.filter((name) => !listed.includes(name))]
  if (odd.length > 0 || listed.length === 0) throw new ScriptError(`not in both ${header} and its table: ${odd}`)
}

/** Builds the planted binaries; only the files with bugs are compiled once more. */
async function build() {
  const folder = join(root, 'native')
  const { code, output } = await run(
    'make',
    ['--silent', '-C', folder, '-j2', 'VARIANT=planted', 'all', 'kill', 'power'],
    { quiet: true },
  )
  if (code === 0) return
  process.stdout.write(output)
  throw new ScriptError('the planted binaries do not compile')
}

/** No binary that users get has any of it. */
function productIsSound() {
  const isProduct = (name) => name === 'thermocline.node'
  const files = [...listFiles(join(root, 'prebuilds')), ...listFiles(join(root, 'build', 'Release'), isProduct)]
  const sound = (path) => !readFileSync(path).includes('THERMOCLINE_FAULT')
  if (sound(join(root, 'build-native', 'planted', binaries.test))) throw new ScriptError('nothing is planted')
  return files.every(sound)
}

/** Whether the test is green; with a fault, what turned it red is not of interest. */
async function isGreen([fault, binary, ...testArguments], planted) {
  const env = planted ? { THERMOCLINE_FAULT: fault } : {}
  const program = join(root, 'build-native', 'planted', binaries[binary])
  const { code, output } = await run(program, testArguments, { quiet: true, env })
  if (/^0 passed, 0 failed$/m.test(output)) throw new ScriptError(`no test is called ${testArguments[0]}`)
  if (![0, 1, diedBySignal].includes(code)) throw new ScriptError(`${binary} ended with ${code}: ${output}`)
  if (code !== 0 && !planted) process.stdout.write(output)
  return code === 0
}

/** `{ passed, failed }`. `filter`: part of a fault's name; `sound`: whether the tests also run without a fault. */
export async function checkPlanted({ filter = '', sound = true } = {}) {
  checkTable()
  await build()
  const counts = { passed: 0, failed: 0 }
  const note = (holds, text, startedAt) => {
    counts[holds ? 'passed' : 'failed'] += 1
    console.log(`${holds ? 'ok    ' : 'FAILED'} ${text} (${Math.round(performance.now() - startedAt)} ms)`)
  }
  note(productIsSound(), 'the addon has none of them', performance.now())
  const done = new Set()
  for (const fault of faults.filter(([name]) => name.includes(filter))) {
    const [name, ...test] = fault
    const startedAt = performance.now()
    note(!(await isGreen(fault, true)), `${name} turns ${test[1]} red`, startedAt)
    const key = test.join(' ')
    if (!sound || done.has(key)) continue
    done.add(key)
    const soundAt = performance.now()
    note(await isGreen(fault, false), `${test[1]} is green without`, soundAt)
  }
  return counts
}

async function main() {
  const values = process.argv.slice(2)
  const filter = values.find((value) => value !== '--red')
  const { passed, failed } = await checkPlanted({ filter, sound: !values.includes('--red') })
  console.log(`${passed} passed, ${failed} failed`)
  if (failed > 0 || passed === 0) process.exitCode = 1
}

runAsProgram(import.meta.url, main)
