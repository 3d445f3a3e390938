// T28 to T31: threads and processes that end in the middle of something, views that outlive their store, and the
// versions of Node.
//
// Each runs in a child process, so that a crash is a result and not the end of the tests. THERMOCLINE_NODES names more
// binaries of Node, separated by colons, that the addon must load into.

import { execFileSync } from 'node:child_process'
import { actions, memoryAt, seeded } from './children/worker-actions.mjs'
import { type Child, expectNone, isNightly, patience, processTest, type Scene } from './support/scene.js'

const terminations = isNightly ? 2_000 : 40
const terminationsWarmUp = 6
const afterMsMax = 12
const terminateMsMax = 1000
const nodeThreadsMax = 2
/** R15 has 100 ms for what is not used any more; a loaded host is slower. */
const settleMsMax = 5000
/** The directory, `lock`, `cache`. */
const descriptorsBesideSegments = 3
const mappingsBesideSegments = 2
/** The log, the blocks, and the private mapping for views. */
const mappingsPerSegmentMax = 3
const endings = isNightly ? 20 : 1
const cycles = isNightly ? 10_000 : 500
/** Memory that was freed settles for ten thousand cycles (by 30 to 80 MiB, then it is flat): a night waits for that. */
const cyclesWarmUp = isNightly ? 12_000 : 100
/** In the night the figure to reach, 1 MiB in 1,000 cycles; else only what a lost mapping or index would cost. */
const slopeKbMax = isNightly ? 1.024 : 40
const cyclesElsewhere = 60
const dimensions = 32
const ways = ['exit', 'throw', 'reject'] as const
const threads = ['main', 'worker'] as const
const childrenAtOnce = 3

interface Resources {
  descriptors: number
  descriptorsOfStore: number
  mappingsOfStore: number
  threads: number
  rssKb: number
}

interface OpenResources extends Resources {
  segments: number
}

/** The main thread's own store holds two files per segment, which workers made more of; nobody else holds any. */
function judgeOpenStore({ descriptorsOfStore, mappingsOfStore, segments }: OpenResources): string[] {
  const descriptorsMax = descriptorsBesideSegments + 2 * segments
  const mappingsMax = mappingsBesideSegments + mappingsPerSegmentMax * segments
  return [
    ...(descriptorsOfStore > descriptorsMax ? [`${descriptorsOfStore} descriptors for ${segments} segments`] : []),
    ...(mappingsOfStore > mappingsMax ? [`${mappingsOfStore} mappings for ${segments} segments`] : []),
  ]
}

function compareResources(before: Resources, after: Resources): string[] {
  const keys = ['descriptors', 'descriptorsOfStore', 'mappingsOfStore', 'threads'] as const
  return keys.flatMap((key) => (after[key] > before[key] ? [`${key}: ${before[key]}, then ${after[key]}`] : []))
}

processTest(
  'workers that are terminated in the middle of something leave the process and the store whole',
  async (scene) => {
    const child = scene.start('terminator.mjs', {
      path: scene.path('store'),
      seed: scene.seed,
      terminations,
      warmUp: terminationsWarmUp,
      afterMsMax,
      descriptorsBeside: descriptorsBesideSegments,
      settleMsMax,
    })
    const [done = { type: 'done' }] = await child.next('done')
    await child.expectSuccess()
    const { before, after, closed } = done as unknown as Record<'before' | 'after', OpenResources> & {
      closed: Resources
    }
    const problems = [...(done.problems as string[]), ...[before, after].flatMap(judgeOpenStore)]
    const others = [before, after].map(({ descriptors, descriptorsOfStore }) => descriptors - descriptorsOfStore)
    if (others[0] !== others[1]) problems.push(`descriptors but those of the store: ${others.join(', then ')}`)
    // Node's own threads come as they are needed.
    if (after.threads > before.threads + nodeThreadsMax)
      problems.push(`threads: ${before.threads}, then ${after.threads}`)
    if (closed.descriptorsOfStore > 0) problems.push(`${closed.descriptorsOfStore} descriptors are left after close`)
    if (closed.mappingsOfStore > 0) problems.push(`${closed.mappingsOfStore} mappings are left after close`)
    if (done.participants !== 1) problems.push(`participants is ${done.participants}`)
    const worst = done.worst as { ms: number; name: string }
    if (worst.ms > patience(terminateMsMax))
      problems.push(`terminate took ${worst.ms} ms in the middle of ${worst.name}`)
    console.log(
      `${terminations} terminations, the slowest ${worst.ms.toFixed(0)} ms (${worst.name}); descriptors ` +
        `${before.descriptors} -> ${after.descriptors}, mappings ${before.mappingsOfStore} -> ${after.mappingsOfStore} -> ` +
        `${closed.mappingsOfStore}, RSS ${before.rssKb} -> ${after.rssKb} KiB`,
    )
    expectNone(problems)
  },
)

interface EndingCase {
  name: string
  way: (typeof ways)[number]
  thread: (typeof threads)[number]
}

async function checkEnding(scene: Scene, { name, way, thread }: EndingCase, number: number): Promise<string[]> {
  const path = scene.path(`store-${number}`)
  const child = scene.start('ender.mjs', { path, name, way, thread })
  const { code, signal } = await child.ended
  const what = `${way} in ${name} of the ${thread} thread`
  const problems: string[] = []
  const expected = way === 'exit' ? 0 : 1
  if (signal !== null || code !== expected) problems.push(`${what}: ended with ${signal ?? code}\n${child.errorText}`)
  if (way !== 'exit' && thread === 'main' && !child.errorText.includes('on purpose')) {
    problems.push(`${what}: ended by something else\n${child.errorText}`)
  }
  const store = scene.open(path, { create: false })
  const { participants, recovered } = store.stats()
  if (participants !== 1) problems.push(`${what}: participants is ${participants}`)
  if (recovered) problems.push(`${what}: the store had to recover`)
  if (store.size !== seeded) problems.push(`${what}: size is ${store.size}`)
  for (let at = 0; at < seeded; at++) {
    const memory = store.get(`m-${at}`)
    const { embedding, content } = memoryAt(at)
    const isWhole = memory?.content === content && memory.embedding?.every((value, each) => value === embedding[each])
    if (!isWhole) problems.push(`${what}: m-${at} is not whole`)
  }
  store.put(memoryAt(0))
  store.close()
  return problems
}

processTest(
  'a process that exits or throws in the middle of something ends as it should, its writes kept',
  async (scene) => {
    const cases: EndingCase[] = []
    for (let round = 0; round < endings; round++) {
      for (const name of Object.keys(actions)) {
        for (const way of ways) {
          const thread = threads[(cases.length + round) % threads.length] as EndingCase['thread']
          cases.push({ name, way, thread })
        }
      }
    }
    const problems: string[] = []
    for (let at = 0; at < cases.length; at += childrenAtOnce) {
      const some = cases.slice(at, at + childrenAtOnce)
      problems.push(...(await Promise.all(some.map((one, offset) => checkEnding(scene, one, at + offset)))).flat())
    }
    console.log(`${cases.length} endings`)
    expectNone(problems)
  },
)

function judgeViews(done: Record<string, unknown>, count: number): string[] {
  const { before, after } = done as unknown as { before: Resources; after: Resources }
  const problems = [...(done.problems as string[]), ...compareResources(before, after)]
  const slope = (after.rssKb - before.rssKb) / count
  if (slope > slopeKbMax && count >= cycles) problems.push(`RSS grows by ${slope.toFixed(2)} KiB a cycle`)
  console.log(
    `${done.version}: ${count} cycles; RSS ${before.rssKb} -> ${after.rssKb} KiB, descriptors ${before.descriptors} -> ` +
      `${after.descriptors}, mappings ${before.mappingsOfStore} -> ${after.mappingsOfStore}`,
  )
  if (after.mappingsOfStore > 0) problems.push(`${after.mappingsOfStore} mappings of a closed store`)
  return problems
}

async function runViews(scene: Scene, name: string, count: number, execPath?: string): Promise<string[]> {
  const task = { path: scene.path(name), warmUp: cyclesWarmUp, cycles: count }
  // Each arena of malloc keeps what was freed in it, and threads come and go: with several, that grows for hours.
  const child: Child = scene.start('views.mjs', task, { MALLOC_ARENA_MAX: '1' }, execPath)
  const [done = { type: 'done' }] = await child.next('done')
  await child.expectSuccess()
  return judgeViews(done, count)
}

processTest(
  'views end with their store, survive being passed on, and opening and closing keeps no memory',
  async (scene) => {
    expectNone(await runViews(scene, 'store', cycles))
  },
)

processTest('the same binary loads and works in the other versions of Node that are here', async (scene) => {
  const binaries = (process.env.THERMOCLINE_NODES ?? '').split(':').filter(Boolean)
  if (binaries.length === 0) console.log('not run here: other versions of Node (THERMOCLINE_NODES)')
  for (const [at, binary] of binaries.entries()) {
    const version = execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim()
    const problems = await runViews(scene, `store-${at}`, cyclesElsewhere, binary)
    problems.push(...(await runEndings(scene, `v${at}`, binary)))
    expectNone(problems.map((problem) => `${version}: ${problem}`))
  }
})

/** Terminated workers under another version. */
async function runEndings(scene: Scene, name: string, execPath: string): Promise<string[]> {
  const task = {
    path: scene.path(name),
    seed: scene.seed,
    terminations: 12,
    warmUp: 4,
    afterMsMax,
    dimensions,
    descriptorsBeside: descriptorsBesideSegments,
    settleMsMax,
  }
  const child = scene.start('terminator.mjs', task, {}, execPath)
  const [done = { type: 'done' }] = await child.next('done')
  await child.expectSuccess()
  return done.problems as string[]
}
