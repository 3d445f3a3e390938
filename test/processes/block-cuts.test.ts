// T7: the power goes while processes write, and with it any choice of what the disk was not asked to flush: of blocks, the
// file system's journal and names included, where T6 cuts files.
//
// The oracle: what each process wrote, by sequence, and from when on which sequence was promised. Whatever the disk
// keeps, the store on it is exactly a prefix of that history, and holds what was promised before the cut.

import { type Memory, open, type Store } from 'thermocline'
import { stampedProblem } from '../support/memories.mjs'
import { CutDisks, mountImage, RecordedDisk, type Request, whyNoDisks } from './support/recorded-disk.js'
import { codeOf, expectNone, isNightly, processTest, type Scene } from './support/scene.js'

const cuts = isNightly ? 300 : 24
const diskMegabytes = 48
const operations = isNightly ? 4000 : 1500
const dimensions = 16
const idsEach = 120
/** Where nothing is synced, so many cuts must be seen to lose what was promised, or this test could not see a loss. */
const lossOfControl = 0.2

type Write = [sequence: number, id: string, number: number]

interface Recording {
  requests: Request[]
  /** By sequence, from 1. */
  history: Write[]
  /** By time. */
  promises: [sequence: number, at: bigint][]
  begin: bigint
  end: bigint
}

async function record(scene: Scene, name: string, durabilities: readonly string[], syncs: boolean): Promise<Recording> {
  const disk = new RecordedDisk(scene.path(name), diskMegabytes)
  try {
    const directory = `${await disk.mount()}/store`
    open(directory, { dimensions, durability: syncs ? 'flush' : 'none' }).close()
    const children = durabilities.map((durability, at) =>
      scene.start('block-writer.mjs', {
        directory,
        seed: scene.seed + at,
        dimensions,
        durability,
        syncs,
        operations: durability === 'commit' ? operations / 10 : operations,
        ids: idsEach,
        name: `w${at}`,
        numberBase: at * 100_000,
      }),
    )
    for (const child of children) await child.next('ready')
    const begin = process.hrtime.bigint()
    for (const child of children) child.send({ type: 'go' })
    const done = (await Promise.all(children.map((child) => child.next('done')))).flat() as unknown as Recording[]
    const end = process.hrtime.bigint()
    for (const child of children) child.send({ type: 'close' })
    for (const child of children) await child.expectSuccess()
    const history = done.flatMap((each) => each.history).sort(([left], [right]) => left - right)
    const promises = done.flatMap((each) => each.promises).sort(([, left], [, right]) => Number(left - right))
    return { requests: disk.unmount(), history, promises, begin, end }
  } finally {
    disk.release()
  }
}

function judgeMemory(store: Store, [sequence, id, number]: Write): string[] {
  let memory: Memory | undefined
  const code = codeOf(() => {
    memory = store.get(id)
  })
  if (code !== undefined) return [`${id}: ${code}`]
  if (memory === undefined) return [`${id} is not there`]
  if (memory.sequence !== sequence || memory.metadata.number !== number) {
    return [`${id} is write ${memory.metadata.number} of ${memory.sequence}, must be ${number} of ${sequence}`]
  }
  return [stampedProblem(memory, id, dimensions)].filter((problem) => problem !== undefined)
}

/** What is wrong with the store on a disk; "lost" begins what was promised and is not there. */
async function judge(directory: string, { history }: Recording, promised: number): Promise<string[]> {
  const problems: string[] = []
  let store: Store
  try {
    store = open(directory, { create: false })
  } catch (error) {
    return [`lost: the store, of which ${promised} was promised: ${(error as { code?: string }).code ?? error}`]
  }
  try {
    const { sequence } = store
    if (sequence < promised) problems.push(`lost: ${promised} was promised, ${sequence} is there`)
    const model = new Map<string, Write>()
    for (const write of history.slice(0, sequence)) {
      if (write[2] === 0) model.delete(write[1])
      else model.set(write[1], write)
    }
    if (store.size !== model.size)
      problems.push(`size is ${store.size}, of ${sequence} writes it must be ${model.size}`)
    for (const write of model.values()) problems.push(...judgeMemory(store, write))
    const { ok, problems: found } = await store.verify()
    if (!ok) problems.push(`verify finds ${JSON.stringify(found.slice(0, 2))}`)
    store.put({ id: 'after the cut' })
    await store.flush()
  } finally {
    store.close()
  }
  return problems
}

/** Cuts a recording so many times; the problems of each cut. */
async function cut(scene: Scene, recording: Recording, name: string): Promise<string[][]> {
  const { requests, promises, begin, end } = recording
  const first = requests.findIndex(({ at }) => at > begin)
  const last = requests.findLastIndex(({ at }) => at < end)
  const places = Array.from({ length: cuts }, () => first + scene.below(last - first)).sort(
    (left, right) => left - right,
  )
  const disks = new CutDisks(requests, diskMegabytes * 2 ** 20, scene.random)
  const results: string[][] = []
  const bootBefore = process.env.THERMOCLINE_BOOT_ID
  try {
    for (const [number, place] of places.entries()) {
      process.env.THERMOCLINE_BOOT_ID = `${name} ${number}`
      const at = requests[place]?.at ?? end
      const promised = promises.filter((promise) => promise[1] < at).reduce((most, [each]) => Math.max(most, each), 0)
      const image = mountImage(disks.at(place), scene.path('image'), scene.path('image-mounted'))
      try {
        const problems = await judge(scene.path('image-mounted/store'), recording, promised)
        results.push(problems.map((problem) => `${name}, cut ${number} at request ${place}: ${problem}`))
      } finally {
        image.unmount()
      }
    }
  } finally {
    if (bootBefore === undefined) delete process.env.THERMOCLINE_BOOT_ID
    else process.env.THERMOCLINE_BOOT_ID = bootBefore
  }
  return results
}

processTest(
  'whatever blocks a loss of power takes, the store is a prefix that holds what was promised',
  async (scene) => {
    const why = whyNoDisks()
    if (why !== undefined) {
      console.log(why)
      return
    }
    const recording = await record(scene, 'recorded', ['flush', 'commit'], true)
    const { requests, history, promises } = recording
    const gap = history.findIndex(([sequence], at) => sequence !== at + 1)
    expectNone(gap < 0 ? [] : [`the writers tell no write of sequence ${gap + 1}`])
    const results = await cut(scene, recording, 'recorded')
    const control = await record(scene, 'control', ['none'], false)
    const lost = (await cut(scene, control, 'control')).filter(([first]) => first?.includes('lost')).length
    const flushes = requests.filter(({ bytes }) => bytes === undefined).length
    console.log(
      `${cuts} cuts in ${requests.length} requests, ${flushes} of them flushes, of ${history.length} writes and ` +
        `${promises.length} promises; without syncs ${lost} of ${cuts} cuts lost something`,
    )
    expectNone(results.flat())
    if (lost < cuts * lossOfControl) throw new Error(`only ${lost} cuts of ${cuts} lose anything without a sync`)
  },
)
