// What must be in the store after a round of children/kill-writer.mjs: exactly what was acknowledged, in the order
// that the returned sequences give, and per worker at most the one operation in doubt.
//
// Method: the change feed is the store's own account of the commit order. Every acknowledged write is found in it,
// at its sequence where one was returned, else in its worker's order; what is left must be operations in doubt, whole.
// Then the model is moved on by the feed and compared with everything that the store holds.

import type { Change, Store } from 'thermocline'
import { stampedProblem } from '../../support/memories.mjs'
import type { LoggedOperation } from './oracle-log.js'

interface Put {
  id: string
  number: number
}
export type Intent =
  | ({ kind: 'put' } & Put)
  | ({ kind: 'update'; base: number } & Put)
  | { kind: 'delete'; id: string }
  | { kind: 'write'; puts: Put[] }
  | { kind: 'putMany'; puts: Put[]; batchSize: number }
export type WorkerLog = LoggedOperation<Intent, number | boolean>[]

/** Stands for the number of whichever put in doubt a record is. */
const inDoubtNumber = -1

interface Stamp {
  number: number
  base: number
  sequence: number
}
/** A record that the log of a worker names. */
interface Expected {
  kind: Change['kind']
  id: string
  number: number
}

export class KillOracle {
  readonly #dimensions: number
  readonly #model = new Map<string, Stamp>()
  #sequence = 0
  acknowledged = 0
  inDoubt = 0
  inDoubtThatCame = 0

  constructor(dimensions: number) {
    this.#dimensions = dimensions
  }

  /** A put by the parent itself. */
  note(id: string, number: number, sequence: number): void {
    this.#model.set(id, { number, base: number, sequence })
    this.#sequence = sequence
  }

  /** All that is wrong after the writers stopped. `logs`: by number of the worker. */
  async check(store: Store, logs: ReadonlyMap<number, WorkerLog>): Promise<string[]> {
    const feed: Change[] = []
    for await (const change of store.changes({ since: this.#sequence })) feed.push(change)
    const since = this.#sequence
    const gap = feed.findIndex((change, at) => change.sequence !== since + 1 + at)
    if (gap >= 0) return [`the feed has ${feed[gap]?.sequence} where ${since + 1 + gap} must be`]
    if (store.sequence !== since + feed.length) {
      return [`the sequence is ${store.sequence}, the feed ends at ${since + feed.length}`]
    }
    const round = new Round(feed, since, this.#model)
    for (const [worker, log] of logs) round.placeAcknowledged(worker, log)
    // Single puts on shared ids last: they fit wherever such an id was put, also in the middle of another worker's write.
    const byFreedom = [...logs].sort(([, a], [, b]) => Number(isSharedPutInDoubt(a)) - Number(isSharedPutInDoubt(b)))
    for (const [worker, log] of byFreedom) round.placeInDoubt(worker, log)
    const problems = round.finish()
    for (const log of logs.values()) this.acknowledged += log.filter((each) => each.acknowledged).length
    this.inDoubt += round.inDoubt
    this.inDoubtThatCame += round.inDoubtThatCame
    if (problems.length > 0) return problems
    this.#sequence = since + feed.length
    problems.push(...this.#compare(store, round.candidates))
    const { ok, problems: found } = await store.verify()
    if (!ok) problems.push(`verify finds ${JSON.stringify(found.slice(0, 3))}`)
    return problems
  }

  #compare(store: Store, candidates: ReadonlyMap<string, number[]>): string[] {
    const problems: string[] = []
    if (store.size !== this.#model.size) problems.push(`size is ${store.size}, not ${this.#model.size}`)
    const listed = new Set<string>()
    for (const memory of store.entries()) {
      if (listed.has(memory.id)) problems.push(`entries gives ${memory.id} twice`)
      listed.add(memory.id)
      if (!this.#model.has(memory.id)) problems.push(`${memory.id} is there and must not be`)
    }
    for (const [id, stamp] of this.#model) {
      const memory = store.get(id)
      if (memory === undefined) {
        problems.push(`${id} is lost`)
        continue
      }
      if (!listed.has(id)) problems.push(`entries misses ${id}`)
      if (memory.sequence !== stamp.sequence) {
        problems.push(`${id} has sequence ${memory.sequence}, not ${stamp.sequence}`)
      }
      const torn = stampedProblem(memory, id, this.#dimensions)
      if (torn !== undefined) problems.push(torn)
      const { number, base } = memory.metadata as { number: number; base: number }
      // Of two puts in doubt on a shared id only the store knows which one came last.
      const allowed = stamp.number === inDoubtNumber ? candidates.get(id) : undefined
      if (allowed?.includes(number) && base === number) Object.assign(stamp, { number, base })
      if (number !== stamp.number || base !== stamp.base) {
        problems.push(`${id} is write ${number} on put ${base}, must be ${stamp.number} on ${stamp.base}`)
      }
    }
    return problems
  }
}

function isSharedPutInDoubt(log: WorkerLog): boolean {
  const intent = log.find(({ acknowledged }) => !acknowledged)?.intent
  return intent?.kind === 'put' && intent.id.startsWith('shared')
}

/** One round: which record of the feed is whose. */
class Round {
  readonly candidates = new Map<string, number[]>()
  readonly #feed: readonly Change[]
  readonly #since: number
  readonly #model: Map<string, Stamp>
  readonly #owners: (Expected | undefined)[]
  readonly #problems: string[] = []
  /** What a worker's own ids are as its log goes on: present or not, and the number of the last put. */
  readonly #own = new Map<string, { base: number } | undefined>()
  /** Place in the feed behind each worker's last record. */
  readonly #behind = new Map<number, number>()
  inDoubt = 0
  inDoubtThatCame = 0

  constructor(feed: readonly Change[], since: number, model: Map<string, Stamp>) {
    this.#feed = feed
    this.#since = since
    this.#model = model
    this.#owners = feed.map(() => undefined)
  }

  #ownState(id: string): { base: number } | undefined {
    return this.#own.has(id) ? this.#own.get(id) : this.#model.get(id)
  }

  /** The records that an operation makes, and what it must return if that is a boolean. */
  #records(worker: number, intent: Intent): { records: Expected[]; result?: boolean } {
    if (intent.kind === 'put') return { records: [this.#put(intent)] }
    if (intent.kind === 'write' || intent.kind === 'putMany')
      return { records: intent.puts.map((put) => this.#put(put)) }
    const present = this.#ownState(intent.id)
    if (intent.kind === 'delete') {
      if (present !== undefined) this.#own.set(intent.id, undefined)
      return { records: present ? [{ ...intent, number: 0 }] : [], result: present !== undefined }
    }
    if (present !== undefined && present.base !== intent.base) {
      this.#problems.push(`worker ${worker} read put ${intent.base} of ${intent.id}, must be ${present.base}`)
    }
    return { records: present ? [intent] : [], result: present !== undefined }
  }

  #put({ id, number }: Put): Expected {
    if (!id.startsWith('shared')) this.#own.set(id, { base: number })
    return { kind: 'put', id, number }
  }

  #isAt(at: number, { kind, id }: Expected): boolean {
    const change = this.#feed[at]
    return change !== undefined && this.#owners[at] === undefined && change.kind === kind && change.id === id
  }

  #take(worker: number, at: number, records: readonly Expected[]): void {
    records.forEach((record, offset) => {
      this.#owners[at + offset] = record
    })
    this.#behind.set(worker, at + records.length)
  }

  placeAcknowledged(worker: number, log: WorkerLog): void {
    for (const { intent, result, acknowledged } of log) {
      if (!acknowledged) continue
      const { records, result: expected } = this.#records(worker, intent)
      const what = `${intent.kind} of ${records[0]?.id ?? '?'} by worker ${worker}`
      if (expected !== undefined && result !== expected) {
        this.#problems.push(`${what} returned ${result}, must be ${expected}`)
      }
      if (records.length === 0) continue
      if (intent.kind === 'putMany') {
        this.#placePutMany(worker, intent.batchSize, records, result as number, what)
        continue
      }
      const behind = this.#behind.get(worker) ?? 0
      const at =
        expected === undefined ? (result as number) - this.#since - records.length : this.#search(behind, records)
      if (at < behind || !records.every((record, offset) => this.#isAt(at + offset, record))) {
        this.#problems.push(`lost: ${what}, which returned ${result}`)
      } else this.#take(worker, at, records)
    }
  }

  /** Where these records lie side by side, from a place on; -1: nowhere. */
  #search(from: number, records: readonly Expected[]): number {
    for (let at = from; at + records.length <= this.#feed.length; at++) {
      if (records.every((record, offset) => this.#isAt(at + offset, record))) return at
    }
    return -1
  }

  /** Each batch lies in one piece; the last one where the result says. */
  #placePutMany(worker: number, batchSize: number, records: Expected[], last: number, what: string): void {
    for (let first = 0; first < records.length; first += batchSize) {
      const batch = records.slice(first, first + batchSize)
      const at = this.#search(this.#behind.get(worker) ?? 0, batch)
      if (at < 0) this.#problems.push(`lost: ${what}, its batch at ${first}`)
      else this.#take(worker, at, batch)
    }
    if (this.#behind.get(worker) !== last - this.#since)
      this.#problems.push(`${what} returned ${last}, which it is not`)
  }

  /**
   * Which of several puts in doubt on one shared id a record is, the feed does not tell: each may be it, also when there
   * are fewer records than puts, but not a record before what its worker did last.
   */
  #addCandidate({ id, number }: Expected, behind: number): void {
    const isPossible = this.#feed.some((change, at) => {
      const owner = this.#owners[at]
      return at >= behind && change.id === id && (owner === undefined || owner.number === inDoubtNumber)
    })
    if (isPossible) this.candidates.set(id, [...(this.candidates.get(id) ?? []), number])
  }

  placeInDoubt(worker: number, log: WorkerLog): void {
    const open = log.filter(({ acknowledged }) => !acknowledged)
    if (open.length > 1) this.#problems.push(`worker ${worker} has ${open.length} operations in doubt`)
    const [operation] = open
    if (operation === undefined) return
    this.inDoubt += 1
    const { records } = this.#records(worker, operation.intent)
    const batchSize = operation.intent.kind === 'putMany' ? operation.intent.batchSize : records.length
    let came = false
    for (let first = 0; first < records.length; first += batchSize) {
      const batch = records.slice(first, first + batchSize)
      const behind = this.#behind.get(worker) ?? 0
      const [only] = batch
      const isSharedPut = operation.intent.kind === 'put' && only?.id.startsWith('shared')
      if (isSharedPut) this.#addCandidate(only as Expected, behind)
      const at = this.#search(behind, batch)
      if (at < 0) break
      came = true
      this.#take(worker, at, isSharedPut ? [{ ...(only as Expected), number: inDoubtNumber }] : batch)
    }
    if (came) this.inDoubtThatCame += 1
  }

  /** Moves the model on by the feed. */
  finish(): string[] {
    this.#feed.forEach((change, at) => {
      const owner = this.#owners[at]
      if (owner === undefined) {
        this.#problems.push(`nobody wrote the ${change.kind} of ${change.id} at ${change.sequence}, or it is not whole`)
        return
      }
      if (change.kind === 'delete') {
        this.#model.delete(change.id)
        return
      }
      const base = change.kind === 'update' ? (this.#model.get(change.id)?.base ?? 0) : owner.number
      this.#model.set(change.id, { number: owner.number, base, sequence: change.sequence })
    })
    return this.#problems
  }
}
