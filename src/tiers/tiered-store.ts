// The store over three tiers: the contract of MemoryStore (`types.ts`), in one file because each method is short and all
// share the same few parts. What a method is, is said in `types.ts` and `store.ts`.
//
// Not here: how warm and cold are one (`two-tiers.ts`, `two-tier-reads.ts`), what recall finds (`recall.ts`), what is
// moved when (`policy.ts`, `mover.ts`). Here: the hot tier in front of them, measuring, events, opening and closing.
//
// Order of checks in every method: closed first, then arguments. Methods that return a promise never throw.

import { EventEmitter } from 'node:events'
import { readdirSync, rmdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { closedError, Failure, failure, isThermoclineError, systemFailure, withAsyncStack, wrongType } from '../errors'
import { addon } from '../native'
import { checkNumber, checkPath, describe, readCompactSignal, readIfSequence } from '../options'
import type {
  BackupResult,
  Change,
  ChangesOptions,
  CompactOptions,
  CompactResult,
  ConditionOptions,
  EntriesOptions,
  Hit,
  Location,
  Memory,
  MemoryInput,
  MemoryPatch,
  MemoryView,
  Operation,
  PutManyOptions,
  PutManyResult,
  SearchOptions,
  TouchOptions,
  Vector,
  VerifyResult,
  WriteResult,
} from '../types'
import { encodeOperation } from '../warm/batch-writer'
import { checkId } from '../warm/memory-id'
import { EncodedMemory, encodeMemory } from '../warm/memory-input'
import { PendingWork } from '../warm/pending-work'
import { openWarmTier, type WarmTier } from '../warm/warm-tier'
import { Catalogue, checkUserId, isControlId } from './catalogue'
import { ColdTier, countAll } from './cold-tier'
import { makeDirectory } from './directories'
import { forget } from './forget'
import { HotTier } from './hot-tier'
import { TierMeter } from './measure'
import { Mover } from './mover'
import { copyMemory } from './plain'
import { activationAt, halfLifeOf, isHot, type Policy, planHot, reinforced } from './policy'
import { recall } from './recall'
import { backupTiers } from './tiered-backup'
import {
  type CheckedMaintain,
  type CheckedTieredOptions,
  readCue,
  readForget,
  readIds,
  readMaintain,
  readTieredOptions,
} from './tiered-options'
import { TieredChanges, TieredEntries, TieredSearch } from './two-tier-reads'
import { type Access, TwoTiers } from './two-tiers'
import type {
  Cue,
  ForgetPolicy,
  ForgetResult,
  MaintainOptions,
  MaintainResult,
  MemoryStore,
  MemoryStoreEvents,
  MemoryStoreStats,
  Recalled,
  TieredOptions,
  TierName,
} from './types'
import { WarmAdapter } from './warm-adapter'

const {
  sequence: SEQUENCE,
  activation: ACTIVATION,
  lastAccess: LAST_ACCESS,
  recallCount: RECALL_COUNT,
} = addon.numberAt
const reinforcementDefault = 0.3
const eventNames: readonly (keyof MemoryStoreEvents)[] = ['migrated', 'evicted', 'forgotten', 'failed']

/** As Node does with listeners of an EventTarget: what the caller's own code throws undoes nothing that was done. */
function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error
  })
}

/** See `MemoryStore`. Get one from `openTiered`. */
export class TieredStore implements MemoryStore {
  readonly #warm: WarmTier
  readonly #cold: ColdTier
  readonly #hot: HotTier | undefined
  readonly #two: TwoTiers
  readonly #search: TieredSearch
  readonly #mover: Mover
  readonly #adapter: WarmAdapter
  readonly #policy: Policy
  readonly #options: CheckedTieredOptions
  readonly #dimensions: number
  readonly #meters = { hot: new TierMeter('hot'), warm: new TierMeter('warm'), cold: new TierMeter('cold') }
  readonly #events = new EventEmitter()
  readonly #pending = new PendingWork()
  readonly #directory: string
  #timer: NodeJS.Timeout | undefined
  #sweptTo = 0
  #closed = false

  /** @internal Use `openTiered`. `directory`: of the whole store. */
  constructor(warm: WarmTier, directory: string, options: CheckedTieredOptions) {
    const { metric, dimensions } = warm.stats()
    const coldDirectory = join(directory, 'cold')
    const isClosed = (): boolean => this.#closed
    this.#warm = warm
    this.#directory = directory
    this.#options = options
    this.#policy = options.policy
    this.#dimensions = dimensions
    this.#adapter = new WarmAdapter(warm)
    this.#cold = new ColdTier(warm, coldDirectory, options.cold)
    this.#two = new TwoTiers(warm, this.#cold, (ids) => this.#moved(ids, 'cold', 'warm'))
    this.#search = new TieredSearch(warm, this.#cold, isClosed)
    if (options.hotBytes > 0) {
      const onEvicted = (id: string, bytes: number): void => {
        this.#meters.hot.movedOut += 1
        this.#emit('evicted', { id, bytes })
      }
      this.#hot = new HotTier({ bytes: options.hotBytes, metric, onEvicted })
    }
    this.#sweptTo = warm.sequence
    this.#mover = new Mover({
      warm: this.#adapter,
      cold: this.#cold,
      policy: options.policy,
      directory: coldDirectory,
      isClosed,
      migrated: (ids) => this.#moved(ids, 'warm', 'cold'),
    })
    if (options.mover !== false && options.open.readOnly !== true) this.#schedule(options.mover)
  }

  #open(): TwoTiers {
    if (this.#closed) throw closedError()
    return this.#two
  }

  #emit<Event extends keyof MemoryStoreEvents>(event: Event, details: MemoryStoreEvents[Event]): void {
    if (this.#events.listenerCount(event) === 0) return
    for (const listener of this.#events.listeners(event)) {
      try {
        listener(details)
      } catch (error) {
        throwLater(error)
      }
    }
  }

  on<Event extends keyof MemoryStoreEvents>(
    event: Event,
    listener: (details: MemoryStoreEvents[Event]) => void,
  ): () => void {
    this.#open()
    if (!eventNames.includes(event)) {
      throw wrongType(`an event is one of ${eventNames.join(', ')}, not ${describe(event)}`)
    }
    if (typeof listener !== 'function') throw wrongType(`a listener must be a function, not ${describe(listener)}`)
    this.#events.on(event, listener)
    return () => void this.#events.off(event, listener)
  }

  #moved(ids: readonly string[], from: TierName, to: TierName): void {
    if (ids.length === 0) return
    this.#meters[from].movedOut += ids.length
    this.#meters[to].movedIn += ids.length
    // It is no longer in warm, by which hot memories are checked.
    if (to === 'cold') for (const id of ids) this.#hot?.remove(id)
    this.#emit('migrated', { ids, from, to })
  }

  // Writing.

  put(memory: MemoryInput, options?: ConditionOptions): number {
    const two = this.#open()
    const ifSequence = readIfSequence(options)
    const encoded = new EncodedMemory()
    encodeMemory(memory, this.#dimensions, encoded)
    const sequence = two.putEncoded(encoded, ifSequence)
    this.#refreshHot(encoded.id, encoded.activation)
    return sequence
  }

  putMany(memories: Iterable<MemoryInput>, options?: PutManyOptions): PutManyResult {
    // Not to hot: that many at once would push out what is in use. Reads bring them there.
    return this.#open().putMany(memories, options, () => this.#closed)
  }

  update(id: string, patch: MemoryPatch, options?: ConditionOptions): boolean {
    return this.#open().update(id, patch, options)
  }

  delete(id: string, options?: ConditionOptions): boolean {
    const tier = this.#open().delete(id, options)
    this.#hot?.remove(id)
    return tier !== undefined
  }

  write(operations: Operation[]): WriteResult {
    return this.#open().write(operations)
  }

  touch(id: string, options?: TouchOptions): boolean {
    const isThere = this.#open().touch(id, options)
    if (isThere) this.#hot?.note(id, options?.activation ?? this.#warm.peek(id)?.[ACTIVATION] ?? 0)
    return isThere
  }

  /** After a write: hot has the newest, or nothing. */
  #refreshHot(id: string, activation: number): void {
    const hot = this.#hot
    if (hot === undefined) return
    const memory = activation >= this.#policy.hotActivation ? this.#warm.get(id) : undefined
    if (memory === undefined || !this.#isHot(memory)) hot.remove(id)
    else this.#admit(memory)
  }

  /** Asked after a write or a read is done, which a half-life that throws must not undo. */
  #isHot(memory: Memory): boolean {
    try {
      return isHot(memory, Date.now(), this.#policy)
    } catch (error) {
      throwLater(error)
      return false
    }
  }

  #admit(memory: Memory): void {
    const hot = this.#hot as HotTier
    const isNew = !hot.has(memory.id)
    if (!hot.keep(memory) || !isNew) return
    this.#meters.hot.movedIn += 1
    this.#emit('migrated', { ids: [memory.id], from: 'warm', to: 'hot' })
  }

  // Reading.

  get(id: string): Memory | undefined {
    const two = this.#open()
    const checked = checkId(id)
    const meter = this.#meters.hot
    const startedAt = meter.isSampled() ? performance.now() : undefined
    meter.reads += 1
    const memory = this.#getHot(checked)
    if (memory !== undefined) {
      meter.hits += 1
      if (startedAt !== undefined) meter.answered(startedAt)
      return memory
    }
    return isControlId(checked) ? undefined : this.#getBelow(two, checked)
  }

  /** Only what is of the newest record. */
  #getHot(id: string): Memory | undefined {
    const hot = this.#hot
    const entry = hot?.entry(id)
    if (hot === undefined || entry === undefined) return undefined
    const numbers = this.#warm.peekIfNewest(id, entry)
    if (numbers === undefined) {
      hot.remove(id)
      return undefined
    }
    // Within bounds: the addon fills them in. The statistics are those of now.
    return copyMemory(
      entry.memory,
      numbers[ACTIVATION] as number,
      numbers[LAST_ACCESS] as number,
      numbers[RECALL_COUNT] as number,
    )
  }

  #getBelow(two: TwoTiers, id: string): Memory | undefined {
    const { warm, cold } = this.#meters
    const startedAt = performance.now()
    const found = two.find(id)
    warm.reads += 1
    if (found?.tier !== 'warm') cold.reads += 1
    if (found === undefined) return undefined
    const meter = this.#meters[found.tier]
    meter.hits += 1
    meter.answered(startedAt)
    const { memory, tier } = found
    if (this.#hot !== undefined && tier === 'warm' && this.#isHot(memory)) this.#admit(memory)
    return memory
  }

  getMany(ids: Iterable<string>): (Memory | undefined)[] {
    this.#open()
    const memories: (Memory | undefined)[] = []
    for (const id of readIds(ids, 'ids')) memories.push(this.get(id))
    return memories
  }

  view(id: string): MemoryView | undefined {
    const two = this.#open()
    const checked = checkId(id)
    if (isControlId(checked)) return undefined
    return this.#warm.view(checked) ?? two.find(checked)?.memory
  }

  has(id: string): boolean {
    return this.tierOf(id) !== undefined
  }

  tierOf(id: string): TierName | undefined {
    const two = this.#open()
    const checked = checkId(id)
    if (isControlId(checked)) return undefined
    const tier = two.tierOf(checked)
    if (tier !== 'warm') return tier
    const kept = this.#hot?.has(checked) === true ? this.#hot.entry(checked)?.memory.sequence : undefined
    return kept !== undefined && kept === this.#warm.peek(checked)?.[SEQUENCE] ? 'hot' : 'warm'
  }

  locate(id: string): Location | undefined {
    this.#open()
    return isControlId(checkId(id)) ? undefined : this.#warm.locate(id)
  }

  entries(options?: EntriesOptions): IterableIterator<Memory> {
    this.#open()
    return new TieredEntries(this.#warm, this.#cold, options, () => this.#closed)
  }

  changes(options?: ChangesOptions): AsyncIterableIterator<Change> {
    this.#open()
    return new TieredChanges(this.#warm, options)
  }

  async search(query: Vector, options?: SearchOptions): Promise<Hit[]> {
    return await this.#work(() => this.#search.search(query, options))
  }

  async searchMany(queries: readonly Vector[], options?: SearchOptions): Promise<Hit[][]> {
    return await this.#work(() => this.#search.searchMany(queries, options))
  }

  searchSync(query: Vector, options?: SearchOptions): Hit[] {
    this.#open()
    return this.#search.searchSync(query, options)
  }

  /** Work that disposal awaits. */
  async #work<T>(begin: () => Promise<T>): Promise<T> {
    try {
      this.#open()
      return await this.#pending.track(begin())
    } catch (error) {
      throw withAsyncStack(error)
    }
  }

  get size(): number {
    this.#open()
    for (;;) {
      const snapshot = this.#cold.catalogue.snapshot()
      const inWarm = this.#warm.size - Catalogue.controlCount(snapshot.root)
      if (this.#cold.catalogue.isCurrent(snapshot)) return inWarm + countAll(snapshot)
    }
  }

  get sequence(): number {
    this.#open()
    return this.#warm.sequence
  }

  // Recall and forgetting.

  async recall(cue: Cue): Promise<Recalled[]> {
    return await this.#work(async () => {
      const checked = readCue(cue)
      const { embed } = this.#options
      const found = await recall({ store: this, policy: this.#policy, embed, isClosed: () => this.#closed }, checked)
      if (this.#closed) throw closedError()
      if (checked.reinforce) this.#reinforceAll(found)
      return found
    })
  }

  /** Counts an access of each, and brings those in cold to warm in one frame. */
  #reinforceAll(found: readonly Recalled[]): void {
    const at = Date.now()
    const accesses: Access[] = []
    for (const { memory, tier } of found) {
      const activation = reinforced(memory, at, halfLifeOf(this.#policy, memory), reinforcementDefault)
      if (tier === 'cold') accesses.push({ id: memory.id, activation, at })
      else this.touch(memory.id, { activation })
    }
    if (accesses.length > 0) this.#two.promote(accesses)
  }

  reinforce(id: string, amount = reinforcementDefault): boolean {
    this.#open()
    checkNumber(amount, 'amount', 0, Number.MAX_VALUE)
    const memory = this.get(id)
    if (memory === undefined) return false
    const activation = reinforced(memory, Date.now(), halfLifeOf(this.#policy, memory), amount)
    return this.touch(id, { activation })
  }

  activationOf(id: string): number | undefined {
    const memory = this.get(id)
    return memory && activationAt(memory, Date.now(), halfLifeOf(this.#policy, memory))
  }

  async forget(what: string | ForgetPolicy): Promise<ForgetResult> {
    return await this.#work(async () => {
      const host = { store: this, two: this.#two, policy: this.#policy, isClosed: () => this.#closed }
      const forgotten = await forget(host, readForget(what), (gone) => {
        this.#hot?.remove(gone.id)
        this.#emit('forgotten', gone)
      })
      return { forgotten }
    })
  }

  supersede(oldId: string, memory: MemoryInput): number {
    this.#open()
    return this.replaceMany([oldId], memory)
  }

  replaceMany(ids: Iterable<string>, memory: MemoryInput): number {
    const two = this.#open()
    const put = encodeOperation({ put: memory }, this.#dimensions, -1)
    const newId = checkUserId(put.kind === 'put' ? put.memory.id : '')
    // Without the store's own ids, whose deletion would take the memories of cold along.
    const old = new Set([...readIds(ids, 'ids')].map(checkUserId))
    const deletions = [...old].filter((id) => id !== newId)
    const deleted = deletions.map((id) => encodeOperation({ delete: id }, this.#dimensions, -1))
    const sequence = two.writeEncoded([...deleted, put], old)
    for (const id of old) this.#hot?.remove(id)
    this.#refreshHot(newId, this.#warm.peek(newId)?.[ACTIVATION] ?? 0)
    return sequence
  }

  // Moving.

  async maintain(options?: MaintainOptions): Promise<MaintainResult> {
    return await this.#work(async () => await this.#maintain(readMaintain(options)))
  }

  async #maintain(options: CheckedMaintain, perSecond?: number): Promise<MaintainResult> {
    // Before a directory is made for what cannot be moved.
    if (this.#options.open.readOnly === true) throw failure(Failure.READ_ONLY, 'the store was opened read-only')
    const cooled = this.#cool()
    const work = await this.#mover.run(options, perSecond)
    if (this.#closed) throw closedError()
    return work === undefined
      ? { ran: false, demoted: 0, rewritten: 0, bytesRemoved: 0, cooled, pressure: 'normal' }
      : { ran: true, cooled, ...work }
  }

  /** Lets go of hot memories that others replaced, or that the policy sends down. Returns how many it sent. */
  #cool(): number {
    const hot = this.#hot
    if (hot === undefined) return 0
    const now = Date.now()
    this.#followOthers(hot)
    const down: string[] = []
    for (const { memory, history } of hot.all()) {
      const numbers = this.#warm.peek(memory.id)
      const present = {
        ...memory,
        activation: numbers?.[ACTIVATION] ?? 0,
        lastAccess: numbers?.[LAST_ACCESS] ?? 0,
      }
      if (numbers === undefined || planHot(present, history, now, this.#policy) === 'down') down.push(memory.id)
    }
    for (const id of down) hot.remove(id)
    this.#moved(down, 'hot', 'warm')
    return down.length
  }

  #followOthers(hot: HotTier): void {
    const until = this.#warm.sequence
    try {
      hot.sweep(this.#warm.log.records({ since: this.#sweptTo }))
    } catch (error) {
      // The history was given back: nothing tells what was replaced.
      if (!isThermoclineError(error)) throw error
      hot.clear()
    }
    this.#sweptTo = until
  }

  #schedule(mover: { readonly intervalMs: number; readonly memoriesPerSecond: number }): void {
    const run = async (): Promise<void> => {
      try {
        await this.#maintain(readMaintain(undefined), mover.memoriesPerSecond)
      } catch (error) {
        if (!this.#closed) this.#emit('failed', { error })
      }
      if (!this.#closed) this.#schedule(mover)
    }
    this.#timer = setTimeout(() => void this.#pending.track(run()), mover.intervalMs)
    this.#timer.unref()
  }

  async compact(options?: CompactOptions): Promise<CompactResult> {
    return await this.#work(async () => {
      const signal = readCompactSignal(options)
      const bytesBefore = this.stats().bytes.total
      const { rewritten } = await this.#maintain({ limit: 0, demote: [], compactCold: true, signal })
      const { moved } = await this.#warm.compact({ signal })
      return { bytesBefore, bytesAfter: this.stats().bytes.total, moved: moved + rewritten }
    })
  }

  // Figures, files, the end.

  stats(): MemoryStoreStats {
    this.#open()
    const warm = this.#warm.stats()
    const snapshot = this.#cold.catalogue.snapshot()
    const inCold = countAll(snapshot)
    const inWarm = warm.memories - Catalogue.controlCount(snapshot.root)
    const coldBytes = this.#cold.bytes
    const { hot: hotMeter, warm: warmMeter, cold: coldMeter } = this.#meters
    const hot = this.#hot
    const { warmBytes } = this.#policy
    return {
      ...warm,
      memories: inWarm + inCold,
      bytes: { ...warm.bytes, total: warm.bytes.total + coldBytes },
      tiers: {
        hot: hotMeter.stats(hot?.size ?? 0, hot?.bytes ?? 0, hot?.budgetBytes ?? 0),
        warm: warmMeter.stats(inWarm, this.#adapter.bytes, warmBytes === Infinity ? null : warmBytes),
        cold: {
          ...coldMeter.stats(inCold, coldBytes, null),
          segments: snapshot.root.segments.length,
          dead: this.#cold.dead,
        },
      },
    }
  }

  async flush(): Promise<void> {
    await this.#work(() => this.#warm.flush())
  }

  async verify(): Promise<VerifyResult> {
    return await this.#work(async () => {
      const { memories, problems } = await this.#warm.verify()
      if (this.#closed) throw closedError()
      const snapshot = this.#cold.catalogue.snapshot()
      const all = [...problems, ...this.#cold.verify()]
      const counted = memories - Catalogue.controlCount(snapshot.root) + countAll(snapshot)
      return { ok: all.length === 0, memories: counted, problems: all }
    })
  }

  async backup(directory: string): Promise<BackupResult> {
    return await this.#work(async () => {
      const target = resolve(checkPath(directory, 'directory'))
      return await backupTiers(this.#warm, join(this.#directory, 'cold'), target, () => this.#closed)
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    this.#pending.interruptAll(closedError)
    this.#hot?.clear()
    this.#cold.close()
    this.#warm.close()
    this.#events.removeAllListeners()
  }

  declare readonly [Symbol.dispose]: () => void
  declare readonly [Symbol.asyncDispose]: () => Promise<void>

  async #closeAfterWork(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#pending.settled()
    this.close()
  }

  static {
    // As in WarmTier: some contexts have no such symbols.
    const { dispose = Symbol.for('nodejs.dispose'), asyncDispose = Symbol.for('nodejs.asyncDispose') } =
      Symbol as Partial<Pick<SymbolConstructor, 'dispose' | 'asyncDispose'>>
    const define = (name: symbol, value: (this: TieredStore) => unknown): void => {
      Object.defineProperty(TieredStore.prototype, name, { value, writable: true, configurable: true })
    }
    define(dispose, function (this: TieredStore) {
      this.close()
    })
    define(asyncDispose, function (this: TieredStore) {
      return this.#closeAfterWork()
    })
  }
}

/** Whether a directory may become a tiered store, or is one; NOT_A_STORE where something else lies. */
function prepareDirectory(directory: string, isCreated: boolean): boolean {
  let names: string[] | undefined
  try {
    names = readdirSync(directory)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTDIR') throw failure(Failure.NOT_A_STORE, 'the path is not a directory')
    if (code !== 'ENOENT') throw systemFailure(error, 'the directory')
  }
  if (names !== undefined && names.length > 0 && !names.includes('warm')) {
    throw failure(Failure.NOT_A_STORE, 'the directory holds something else than a tiered store')
  }
  if (names !== undefined || !isCreated) return false
  makeDirectory(directory)
  return true
}

/**
 * Opens the tiered store in a directory, or creates it there; synchronous.
 *
 * `path`: a directory, which will hold `warm` (a store like any other) and `cold`. `options`: those of `open`, and how the
 * tiers are to be. The store belongs to the calling worker thread; every worker and process may open the same directory.
 * Errors: as `open`. Cost: as `open`; cold files are opened when they are read. Since 0.1.0.
 *
 * @example
 * ```js
 * import { openTiered } from 'thermocline'
 *
 * const memories = openTiered('./agent', { dimensions: 384, hot: { bytes: 16 * 1024 * 1024 } })
 * memories.close()
 * ```
 */
export function openTiered(path: string, options?: TieredOptions): MemoryStore {
  const checked = readTieredOptions(options)
  const directory = resolve(checkPath(path, 'path'))
  const { create = true, readOnly = false } = checked.open
  const isNew = prepareDirectory(directory, create && !readOnly)
  try {
    return new TieredStore(openWarmTier(join(directory, 'warm'), checked.open), directory, checked)
  } catch (error) {
    if (isNew) removeEmpty(directory)
    throw error
  }
}

function removeEmpty(directory: string): void {
  try {
    rmdirSync(directory)
  } catch {
    // Not empty: somebody else has begun a store there.
  }
}
