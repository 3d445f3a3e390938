// T36: what a process holds of a store, and what the store holds of the disk, comes to a plateau, however long others
// come, write, are killed and go.
//
// Method: a keeper (children/soak-keeper.mjs) has the store open all the while. In each round three processes of two
// workers write beside it, on as many ids as in every other round; one of them is killed, one is joined by the third
// and ends cleanly. Then the keeper deletes what the round put, waits until the helper has compacted by itself, and
// says what it holds. The later half of the rounds must not hold more than the earlier one.
//
// THERMOCLINE_SECONDS=<n> sets how long (at most an hour).

import { type Child, expectNone, isNightly, processTest, type Scene, sleep } from './support/scene.js'

const seconds = Number(process.env.THERMOCLINE_SECONDS ?? (isNightly ? 1200 : 0))
const roundsMin = 6
/** What is allocated once, such as the buffers of a search's threads, is there by then. */
const roundsOfWarmUp = 2
const workersPerProcess = 2
const writingMsMax = isNightly ? 3000 : 250
const numbersPerWorker = 10_000
const numbersMax = 2 ** 23
const dimensions = 64
const ownIds = 40
const sharedIds = 40
const roundIds = 2000
const keptIds = 300
const options = { dimensions, autoCompact: { deadShare: 0.4, deadBytes: 2 ** 20 }, indexed: ['number'] }
/** For what the helper does within 100 ms where it is not short of processors, and for a compaction. */
const settledMsMax = 20_000

/** The directory, `lock`, `cache`; the list is read and closed. */
const descriptorsBesideSegments = 3
const mappingsBesideSegments = 2
/** The log, the blocks, and the private mapping for views. */
const mappingsPerSegmentMax = 3
/** The log, the blocks, the keys. */
const filesPerSegment = 3
const killsPerRoundMax = 2
/** `meta`, `lock`, `cache`; what is made ahead. */
const filesBesideSegmentsMax = 6

/** In the night what a lost buffer would cost; else what a lost mapping or index would. */
const rssKbPerRoundMax = isNightly ? 64 : 8192
const rssKbMore = isNightly ? 4096 : 32_768
const totalBytesMore = 4 * 2 ** 20

interface Held {
  descriptors: number
  descriptorsOfStore: number
  mappingsOfStore: number
  threads: number
  rssKb: number
  anonymousKb: number
  files: number
  segments: number
  participants: number
  memories: number
  sequence: number
  compacted: boolean
  totalBytes: number
  problems: string[]
}

function startWriters(scene: Scene, round: number, index: number): Child {
  const first = index * workersPerProcess
  return scene.start('host.mjs', {
    script: './soak-writer.mjs',
    workers: workersPerProcess,
    firstWorker: first,
    directory: scene.path('store'),
    seed: scene.seed,
    options,
    dimensions,
    ownIds,
    sharedIds,
    roundIds,
    numberBase: (round * 8 * numbersPerWorker) % numbersMax,
    numbersPerWorker,
  })
}

/** Processes that come and go beside the keeper; the writes of those that ended by themselves. */
async function runRound(scene: Scene, keeper: Child, round: number): Promise<number> {
  const { random } = scene
  keeper.send({ type: 'run' })
  const [first, second] = [startWriters(scene, round, 0), startWriters(scene, round, 1)] as const
  await Promise.all([first, second].map((child) => child.next('ready', workersPerProcess)))
  await sleep(random() * writingMsMax)
  await first.killAndWait()
  const third = startWriters(scene, round, 2)
  // Killed while it loads or opens, now and then.
  const isCutShort = scene.below(4) === 0
  if (isCutShort) await sleep(random() * 100)
  else await third.next('ready', workersPerProcess)
  await sleep(random() * writingMsMax)
  let operations = 0
  const stop = async (child: Child) => {
    child.send({ type: 'stop' })
    for (const stopped of await child.next('stopped', workersPerProcess)) operations += stopped.operations as number
    await child.expectSuccess()
  }
  await Promise.all([stop(second), isCutShort ? third.killAndWait() : stop(third)])
  return operations
}

/** Bounds that follow from what the store is at that moment. */
function judgeMoment(held: Held, round: number): string[] {
  const { segments } = held
  const bounds: [keyof Held, number][] = [
    ['descriptorsOfStore', descriptorsBesideSegments + 2 * segments],
    ['mappingsOfStore', mappingsBesideSegments + mappingsPerSegmentMax * segments],
    // What a process was copying when it was killed lies there until somebody opens the store alone.
    ['files', filesBesideSegmentsMax + filesPerSegment * (segments + killsPerRoundMax * (round + 1))],
    ['participants', 1],
  ]
  return [
    ...held.problems,
    ...bounds.flatMap(([key, max]) => ((held[key] as number) > max ? [`${key} is ${held[key]}, at most ${max}`] : [])),
  ].map((problem) => `round ${round}: ${problem}`)
}

/** What must be the same, or nearly, in the earlier and the later half of the rounds that follow the warm-up. */
function judgeHalves(rounds: readonly Held[]): string[] {
  const warm = rounds.slice(Math.max(roundsOfWarmUp, isNightly ? Math.floor(rounds.length / 3) : 0))
  const halves = [warm.slice(0, warm.length >> 1), warm.slice(warm.length >> 1)] as const
  const [earlier, later] = halves.map((half) => (key: keyof Held) => half.map((held) => held[key] as number))
  if (earlier === undefined || later === undefined) throw new Error('there are two halves')
  const problems: string[] = []
  const expectMost = (key: keyof Held, allowed: (most: number) => number) => {
    const [before, after] = [Math.max(...earlier(key)), Math.max(...later(key))]
    if (after > allowed(before)) problems.push(`${key} was ${before} at most, later ${after}`)
  }
  expectMost('threads', (most) => most)
  expectMost('memories', (most) => most + ownIds)
  // How much of it is dead, and made ahead, differs from round to round; what stays for good adds up.
  expectMost('totalBytes', (most) => 2 * most + totalBytesMore)
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const growth = mean(later('rssKb')) - mean(earlier('rssKb'))
  const allowed = Math.max(rssKbMore, (warm.length / 2) * rssKbPerRoundMax)
  if (growth > allowed) problems.push(`RSS grew by ${growth.toFixed(0)} KiB, at most ${allowed}`)
  return problems
}

function describe(rounds: readonly Held[]): string {
  const keys = [
    'descriptorsOfStore',
    'mappingsOfStore',
    'threads',
    'rssKb',
    'anonymousKb',
    'totalBytes',
    'files',
  ] as const
  const places = [roundsOfWarmUp, rounds.length >> 1, rounds.length - 1]
  return keys.map((key) => `${key} ${places.map((at) => rounds[at]?.[key]).join(' -> ')}`).join(', ')
}

processTest('processes that come and go for long leave no process and no disk fuller', async (scene) => {
  const keeper = scene.start('soak-keeper.mjs', {
    directory: scene.path('store'),
    seed: scene.seed,
    options,
    dimensions,
    keptIds,
    descriptorsBesideSegments,
    mappingsBesideSegments,
    mappingsPerSegmentMax,
    settledMsMax,
  })
  await keeper.next('ready')
  const deadline = Date.now() + seconds * 1000
  const rounds: Held[] = []
  const problems: string[] = []
  let operations = 0
  while (rounds.length < roundsMin || Date.now() < deadline) {
    operations += await runRound(scene, keeper, rounds.length)
    keeper.send({ type: 'settle' })
    const [held] = (await keeper.next('settled')) as unknown as [Held]
    expectNone(judgeMoment(held, rounds.length))
    rounds.push(held)
  }
  keeper.send({ type: 'end' })
  const [ended] = (await keeper.next('ended')) as unknown as [Record<'before' | 'after', Held>]
  await keeper.expectSuccess()
  const { before, after } = ended
  for (const key of ['descriptors', 'descriptorsOfStore', 'mappingsOfStore', 'threads'] as const)
    if (after[key] > before[key]) problems.push(`after close ${key} is ${after[key]}, before it was ${before[key]}`)
  problems.push(...judgeHalves(rounds))
  const last = rounds.at(-1) as Held
  console.log(
    `${rounds.length} rounds, ${3 * rounds.length} processes, at least ${operations} operations, ${last.sequence} writes, ` +
      `${rounds.filter(({ compacted }) => compacted).length} rounds in which the helper compacted; ${describe(rounds)}`,
  )
  const store = scene.open(scene.path('store'), options)
  const { ok } = await store.verify()
  if (!ok || store.size !== last.memories) problems.push(`${store.size} memories at the end, not ${last.memories}`)
  if (last.sequence < rounds.length * 500) problems.push(`only ${last.sequence} writes: this proved nothing`)
  if (!rounds.some(({ compacted }) => compacted)) problems.push('nothing was compacted: this proved nothing')
  expectNone(problems)
})
