// T24: every operation takes effect at one moment between its begin and its end, whichever process does it; every
// snapshot is one moment of the whole history.
//
// Method: eight clients in two processes; each history has ids of its own in one store. support/linearizability.ts
// searches an order for each key, support/snapshots.ts a prefix for each snapshot. In some histories one process is
// killed: what it had begun may have taken effect or not.

import type { Change, Store } from 'thermocline'
import { type Event, findWrongKeys, type State } from './support/linearizability.js'
import { readOracleLog } from './support/oracle-log.js'
import { type Child, expectNone, isNightly, type Message, processTest, type Scene, sleep } from './support/scene.js'
import { type PlacedWrite, type Snapshot, SnapshotJudge } from './support/snapshots.js'

const histories = isNightly ? 2000 : 60
/** Every so many-th history one process is killed. */
const killEvery = isNightly ? 4 : 15
const historiesPerStore = 500
const processes = 2
const workersPerProcess = 4
const operationsPerClient = 50
const keys = 8
const dimensions = 12
const startAheadNs = 4_000_000n
const killMsMax = 12

/** An operation as a client noted it. */
type Noted = { begin: number; end?: number; sequence?: number; key?: string } & (
  | { kind: 'get'; result?: State }
  | { kind: 'put' | 'update'; number: number; result?: boolean }
  | { kind: 'delete'; result?: boolean }
  | { kind: 'write'; puts: { key: string; number: number }[] }
)

class Histories {
  readonly #scene: Scene
  #children: Child[] = []
  #directory = ''
  #store: Store | undefined
  operations = 0
  besideOthers = 0
  snapshots = 0
  kills = 0

  constructor(scene: Scene) {
    this.#scene = scene
  }

  async #renewStore(history: number): Promise<Store> {
    await this.#closeAll()
    this.#directory = this.#scene.path(`store-${history}`)
    this.#store = this.#scene.open(this.#directory, { dimensions, durability: 'none' })
    return this.#store
  }

  async #startMissing(): Promise<void> {
    const started: Child[] = []
    for (let index = 0; index < processes; index++) {
      const child = this.#children[index]
      if (child !== undefined && !child.hasEnded) continue
      this.#children[index] = this.#scene.start('host.mjs', {
        script: './history-client.mjs',
        workers: workersPerProcess,
        firstWorker: index * workersPerProcess,
        directory: this.#directory,
        dimensions,
        keys,
      })
      started.push(this.#children[index] as Child)
    }
    await Promise.all(started.map((child) => child.next('ready', workersPerProcess)))
  }

  async #closeAll(): Promise<void> {
    const living = this.#children.filter((child) => !child.hasEnded)
    for (const child of living) child.send({ type: 'close' })
    await Promise.all(living.map((child) => child.expectSuccess()))
    this.#children = []
    this.#store?.close()
    this.#store = undefined
  }

  async run(history: number): Promise<string[]> {
    const store =
      this.#store === undefined || history % historiesPerStore === 0 ? await this.#renewStore(history) : this.#store
    await this.#startMissing()
    const since = store.sequence
    const isKilled = history % killEvery === killEvery - 1
    const prefix = this.#scene.path(`log-${history}`)
    const task = {
      type: 'history',
      history,
      seed: this.#scene.seed,
      operations: operationsPerClient,
      since,
      logPrefix: isKilled ? prefix : undefined,
      startAt: String(process.hrtime.bigint() + startAheadNs),
    }
    for (const child of this.#children) child.send(task)
    const said = isKilled ? await this.#runAndKill() : await this.#collect(this.#children)
    const feed: Change[] = []
    for await (const change of store.changes({ since })) feed.push(change)
    const noted = isKilled ? this.#readLogs(prefix) : said.flatMap(({ worker, events }) => own(worker, events))
    return this.#judge(history, since, feed, noted, said)
  }

  async #collect(children: readonly Child[]): Promise<Message[]> {
    return (await Promise.all(children.map((child) => child.next('ran', workersPerProcess)))).flat()
  }

  async #runAndKill(): Promise<Message[]> {
    const victim = this.#scene.below(processes)
    await sleep(this.#scene.random() * killMsMax)
    await (this.#children[victim] as Child).killAndWait()
    this.kills += 1
    return this.#collect(this.#children.filter((_, index) => index !== victim))
  }

  #readLogs(prefix: string): [number, Noted][] {
    return Array.from({ length: processes * workersPerProcess }, (_, worker) => {
      const log = readOracleLog<Noted, Partial<Noted>>(`${prefix}-${worker}`)
      return log.map(({ intent, result }): [number, Noted] => [worker, { ...intent, ...result } as Noted])
    }).flat()
  }

  #judge(history: number, since: number, feed: Change[], noted: [number, Noted][], said: Message[]): string[] {
    const events = noted.flatMap(([client, operation]) => toEvents(client, operation))
    const wrongKeys = findWrongKeys(events).map((key) => {
      const lines = events.filter((event) => event.key === key).sort((left, right) => left.begin - right.begin)
      return `${key} is not linearizable:\n${lines.map((line) => JSON.stringify(line)).join('\n')}`
    })
    const judge = new SnapshotJudge(feed, since, placeWrites(noted))
    for (const [, operation] of noted) {
      if (operation.kind === 'get' && operation.end !== undefined) {
        judge.read(operation.key ?? '', operation.result ?? '', operation.sequence ?? 0)
      }
    }
    const snapshots = said.flatMap((message) => message.snapshots as Snapshot[])
    for (const snapshot of snapshots) judge.judge(snapshot)
    this.snapshots += snapshots.length
    this.operations += noted.length
    this.besideOthers += countBesideOthers(noted)
    return [...feedProblems(feed, since, noted), ...wrongKeys, ...judge.problems].map(
      (problem) => `history ${history}: ${problem}`,
    )
  }

  async end(): Promise<void> {
    const store = this.#store
    const verified = await store?.verify()
    if (verified?.ok !== true) throw new Error(`verify finds ${JSON.stringify(verified?.problems)}`)
    await this.#closeAll()
  }
}

function own(worker: unknown, events: unknown): [number, Noted][] {
  return (events as Noted[]).map((event) => [worker as number, event])
}

function toEvents(client: number, operation: Noted): Event[] {
  const { begin, end } = operation
  const common = { client, begin, end }
  if (operation.kind === 'write') {
    return operation.puts.map(({ key, number }) => ({ ...common, kind: 'put', key, number }))
  }
  const { key = '' } = operation
  if (operation.kind === 'put') return [{ ...common, kind: 'put', key, number: operation.number }]
  return [{ ...operation, ...common, key } as Event]
}

/** The puts and writes that said where they are. */
function placeWrites(noted: readonly [number, Noted][]): PlacedWrite[] {
  return noted.flatMap(([, { kind, sequence, begin, end, ...rest }]) => {
    if ((kind !== 'put' && kind !== 'write') || sequence === undefined) return []
    const count = kind === 'write' ? (rest as { puts: unknown[] }).puts.length : 1
    return [{ first: sequence - count + 1, last: sequence, begin, end }]
  })
}

/** The feed must have each put where it said it is, and as many updates and deletes as were done. */
function feedProblems(feed: readonly Change[], since: number, noted: readonly [number, Noted][]): string[] {
  const problems: string[] = []
  feed.forEach(({ sequence }, at) => {
    if (sequence !== since + 1 + at) problems.push(`the feed has ${sequence} at ${since + 1 + at}`)
  })
  let known = 0
  let doubtful = 0
  for (const [client, operation] of noted) {
    const { kind, key, sequence, end } = operation
    const puts = kind === 'write' ? operation.puts.map((put) => put.key) : [key]
    if (kind === 'get') continue
    if (end === undefined) doubtful += puts.length
    else if (kind === 'update' || kind === 'delete') known += operation.result === true ? 1 : 0
    else {
      known += puts.length
      puts.forEach((id, at) => {
        const change = feed[(sequence ?? 0) - since - puts.length + at]
        if (change?.id !== id || change?.kind !== 'put')
          problems.push(`${kind} of ${id} by ${client} is not at ${sequence}`)
      })
    }
  }
  if (feed.length < known || feed.length > known + doubtful) {
    problems.push(`the feed has ${feed.length} records, not ${known} and at most ${doubtful} in doubt`)
  }
  return problems
}

/** Operations during which another client's one was under way. */
function countBesideOthers(noted: readonly [number, Noted][]): number {
  const sorted = [...noted].sort(([, left], [, right]) => left.begin - right.begin)
  const beside = new Set<Noted>()
  let latest: Noted | undefined
  for (const [, operation] of sorted) {
    if (latest !== undefined && operation.begin <= (latest.end ?? Number.POSITIVE_INFINITY)) {
      beside.add(operation).add(latest)
    }
    if ((operation.end ?? Number.POSITIVE_INFINITY) > (latest?.end ?? -1)) latest = operation
  }
  return beside.size
}

processTest('every history of two processes is linearizable, and every snapshot is a prefix of it', async (scene) => {
  const all = new Histories(scene)
  for (let history = 0; history < histories; history++) expectNone(await all.run(history))
  await all.end()
  const share = ((100 * all.besideOthers) / all.operations).toFixed(0)
  console.log(
    `${histories} histories, ${all.operations} operations (${share} % beside another), ` +
      `${all.snapshots} snapshots, ${all.kills} kills`,
  )
  if (all.besideOthers < all.operations / 50) throw new Error('hardly any operation was beside another')
})
