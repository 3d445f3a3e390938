// Memory spaces: a tiered store per user or agent under one root, apart from each other by being directories of their own.
//
// Not here: anything within a store. A space is made when it is first used, and closed when too many others are in use.

import { randomBytes } from 'node:crypto'
import { type Dirent, existsSync, readdirSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { LRUCache } from 'lru-cache'
import { closedError, Failure, failure, outOfRange, systemFailure, wrongType } from '../errors'
import { checkInteger, checkPath, describe, readOpenOptions } from '../options'
import type { Hit, SearchOptions, Vector } from '../types'
import { ownVector } from '../warm/vector'
import { makeDirectory } from './directories'
import { bytesOfMemory } from './forget'
import { activationAt, halfLifeOf } from './policy'
import { byScore } from './score'
import { readIds, readTieredOptions } from './tiered-options'
import { openTiered } from './tiered-store'
import { ownSearchOptions } from './two-tier-reads'
import type { MemoryStore, TieredOptions } from './types'

const openMaxDefault = 64
const { dispose = Symbol.for('nodejs.dispose'), asyncDispose = Symbol.for('nodejs.asyncDispose') } = Symbol as Partial<
  Pick<SymbolConstructor, 'dispose' | 'asyncDispose'>
>
/** Lower case, so that no two names are one on a disk that is blind to case; no dots, no separators. */
const namePattern = /^[a-z0-9][a-z0-9_-]{0,63}$/

/** What `openSpaces` takes: how each space is opened, and what holds for all. */
export interface SpacesOptions extends TieredOptions {
  /** Most spaces that are kept open. Default 64. */
  openMax?: number | undefined
  /** Most bytes that the memories of all spaces should take; `maintain` forgets beyond it. Default: no bound. */
  bytesMax?: number | undefined
}

/** A hit and the space it is from. */
export interface SpaceHit extends Hit {
  /** Its name. */
  space: string
}

/** Figures of all spaces. */
export interface SpacesStats {
  /** How many there are. */
  spaces: number
  /** Of these, open in this handle. */
  open: number
}

/** What `maintain` of Spaces did. */
export interface SpacesMaintenance {
  /** Bytes of the memories of all spaces, as they are, before anything was forgotten. */
  bytes: number
  /** What was forgotten to fit. */
  forgotten: { space: string; id: string }[]
}

/**
 * Memory spaces under one root. Get them from `openSpaces`.
 *
 * Names have 1 to 64 characters of a-z, 0-9, `_` and `-`, and begin with a letter or digit (RangeError otherwise).
 */
export interface Spaces {
  /**
   * The store of a space, made when it is first used. What is returned goes on working when the space was closed to make room
   * for others: it is opened again; iterators and pending calls of before then fail with CLOSED, and listeners are gone.
   * Everybody who asked for the space has the same; its `close` closes it for all of them, until the space is asked for
   * again. Throws CLOSED after `close`, ARGUMENT for a wrong name; what is done with the store throws as `openTiered` does
   * where it has to be opened, NOT_FOUND once it was dropped and `create` is false.
   */
  space(name: string): MemoryStore
  /** Whether the space has been used. Errors: ARGUMENT. Cost: a system call. */
  has(name: string): boolean
  /** Names of all spaces, sorted. Errors: IO. Cost: reads the directory. */
  list(): string[]
  /**
   * Deletes a space and everything in it. False when there is none. Rejects with BUSY while another process has it open,
   * ARGUMENT, IO, CLOSED.
   */
  drop(name: string): Promise<boolean>
  /**
   * The best hits of several spaces; of all when `spaces` is omitted. Errors: as `Store.search`. Cost: a search of each, one
   * after another, opened where it is not.
   */
  search(query: Vector, options?: SearchOptions & { spaces?: Iterable<string> | undefined }): Promise<SpaceHit[]>
  /**
   * Applies each space's policy, then forgets the memories of lowest activation until all fit into `bytesMax`. Errors: as
   * `MemoryStore.maintain`. Cost: with `bytesMax` every memory is read.
   */
  maintain(): Promise<SpacesMaintenance>
  /** How many there are, and are open. Errors: IO. Cost: reads the directory. */
  stats(): SpacesStats
  /** Closes every open space. Idempotent; any later call throws CLOSED. */
  close(): void
  /** `close`, for `using`. */
  [Symbol.dispose](): void
}

/** Checks a name of a space. */
export function checkSpaceName(name: unknown): string {
  if (typeof name !== 'string') throw wrongType(`a name of a space must be a string, not ${describe(name)}`)
  if (!namePattern.test(name)) {
    throw outOfRange(`a name of a space has 1 to 64 of a-z, 0-9, _ and -, unlike ${describe(name)}`)
  }
  return name
}

class SpaceSet implements Spaces {
  readonly #root: string
  readonly #options: TieredOptions
  readonly #bytesMax: number
  readonly #open: LRUCache<string, MemoryStore>
  readonly #handles = new Map<string, WeakRef<MemoryStore>>()
  #closed = false

  constructor(root: string, { openMax, bytesMax, ...options }: SpacesOptions) {
    this.#root = root
    this.#options = options
    // Now, and not when the first space is used.
    readOpenOptions(readTieredOptions(options).open)
    this.#bytesMax = bytesMax === undefined ? Infinity : checkInteger(bytesMax, 'bytesMax', 0)
    this.#open = new LRUCache<string, MemoryStore>({
      max: openMax === undefined ? openMaxDefault : checkInteger(openMax, 'openMax', 1, 1_000_000),
      dispose: (store) => store.close(),
    })
  }

  #check(): void {
    if (this.#closed) throw closedError()
  }

  #opened(name: string): MemoryStore {
    this.#check()
    const open = this.#open.get(name)
    if (open !== undefined) return open
    const store = openTiered(join(this.#root, name), this.#options)
    this.#open.set(name, store)
    return store
  }

  space(name: string): MemoryStore {
    this.#check()
    const checked = checkSpaceName(name)
    const known = this.#handles.get(checked)?.deref()
    if (known !== undefined) return known
    const handle = makeHandle({
      open: () => this.#opened(checked),
      opened: () => this.#open.peek(checked),
      forget: () => {
        this.#handles.delete(checked)
        this.#open.delete(checked)
      },
    })
    this.#handles.set(checked, new WeakRef(handle))
    return handle
  }

  has(name: string): boolean {
    this.#check()
    return existsSync(join(this.#root, checkSpaceName(name), 'warm'))
  }

  list(): string[] {
    this.#check()
    const names = this.#read()
    return names.flatMap((entry) => (entry.isDirectory() && namePattern.test(entry.name) ? [entry.name] : [])).sort()
  }

  #read(): Dirent[] {
    try {
      return readdirSync(this.#root, { withFileTypes: true })
    } catch (error) {
      throw systemFailure(error, 'the directory of the spaces')
    }
  }

  async drop(name: string): Promise<boolean> {
    if (!this.has(name)) return false
    const store = this.#opened(name)
    if (store.stats().participants > 1) {
      throw failure(Failure.BUSY, 'another process has the space open')
    }
    this.#open.delete(name)
    // Gone at one moment, by a name that no space has; then its bytes.
    const grave = join(this.#root, `.dropped-${randomBytes(6).toString('hex')}`)
    try {
      await rename(join(this.#root, name), grave)
      await rm(grave, { recursive: true, force: true })
    } catch (error) {
      throw systemFailure(error, 'the directory of the space')
    }
    return true
  }

  async search(query: Vector, given?: SearchOptions & { spaces?: Iterable<string> | undefined }): Promise<SpaceHit[]> {
    this.#check()
    const { spaces, ...others } = checkObject(given, 'SearchOptions')
    const options = ownSearchOptions(others)
    const names = spaces === undefined ? this.list() : [...readIds(spaces, 'spaces')].map(checkSpaceName)
    const own = ownVector(query)
    const hits: SpaceHit[] = []
    for (const space of new Set(names)) {
      if (!this.has(space)) continue // to look for what is not there makes nothing
      for (const hit of await this.#opened(space).search(own, options)) hits.push({ ...hit, space })
      hits.sort((a, b) => byScore(a, b) || (a.space < b.space ? -1 : 1)).splice(options.limit)
    }
    return hits
  }

  async maintain(): Promise<SpacesMaintenance> {
    this.#check()
    const { policy } = readTieredOptions(this.#options)
    const all: { space: string; id: string; sequence: number; activation: number; bytes: number }[] = []
    const now = Date.now()
    for (const space of this.list()) {
      const store = this.#opened(space)
      await store.maintain()
      if (this.#bytesMax === Infinity) continue
      for (const memory of this.#opened(space).entries()) {
        const activation = activationAt(memory, now, halfLifeOf(policy, memory))
        all.push({ space, id: memory.id, sequence: memory.sequence, activation, bytes: bytesOfMemory(memory) })
      }
    }
    const bytes = all.reduce((sum, memory) => sum + memory.bytes, 0)
    const forgotten: { space: string; id: string }[] = []
    let present = bytes
    for (const { space, id, bytes: own } of all.sort((a, b) => a.activation - b.activation)) {
      if (present <= this.#bytesMax) break
      const result = await this.#opened(space).forget(id)
      if (result.forgotten.length === 0) continue
      forgotten.push({ space, id })
      present -= own
    }
    return { bytes, forgotten }
  }

  stats(): SpacesStats {
    return { spaces: this.list().length, open: this.#open.size }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#open.clear()
    this.#handles.clear()
  }

  declare readonly [Symbol.dispose]: () => void

  static {
    // As in WarmTier: some contexts have no such symbol.
    Object.defineProperty(SpaceSet.prototype, dispose, {
      value(this: SpaceSet) {
        this.close()
      },
      writable: true,
      configurable: true,
    })
  }
}

/** What a handle on a space asks of the others. */
interface HandleHost {
  /** The store, opened if it is not. */
  open(): MemoryStore
  /** The store if it is open. */
  opened(): MemoryStore | undefined
  /** Closes the store if it is open; whoever asks for the space is given another handle. */
  forget(): void
}

/** Methods that reject where others throw. */
const promising: readonly unknown[] = [
  'search',
  'searchMany',
  'flush',
  'compact',
  'verify',
  'backup',
  'recall',
  'forget',
  'maintain',
] satisfies (keyof MemoryStore)[]

/** A store that is opened when it is used, and again when it was closed to make room. */
function makeHandle(host: HandleHost): MemoryStore {
  let isClosed = false
  const close = (): void => {
    if (isClosed) return
    isClosed = true
    host.forget()
  }
  const closeAfterWork = async (): Promise<void> => {
    await (host.opened() as { [asyncDispose]?: () => Promise<void> } | undefined)?.[asyncDispose]?.()
    close()
  }
  const read = (key: string | symbol): unknown => {
    if (isClosed) throw closedError()
    const store = host.open()
    const value: unknown = Reflect.get(store, key, store)
    return typeof value === 'function' ? value.bind(store) : value
  }
  return new Proxy({} as MemoryStore, {
    get(_target, key) {
      // A promise resolved with the handle asks for this; there is nothing to open for.
      if (key === 'then') return undefined
      // A store is not opened to be closed.
      if (key === 'close' || key === dispose) return close
      if (key === asyncDispose) return closeAfterWork
      if (!promising.includes(key)) return read(key)
      try {
        return read(key)
      } catch (error) {
        return () => Promise.reject(error)
      }
    },
    has: (_target, key) => Reflect.has(host.open(), key),
  })
}

function checkObject<T extends object>(value: T | undefined, what: string): T {
  if (value === undefined) return {} as T
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType(`${what} must be an object, not ${describe(value)}`)
  }
  return value
}

/**
 * Opens the memory spaces under a directory, which is made if it is absent; synchronous.
 *
 * `options`: how each space is opened (`dimensions` is needed), how many are kept open, what all may take. A space costs
 * nothing until it is used, and tens of kilobytes on disk when it is empty. Errors: ARGUMENT, DIMENSION, NOT_A_STORE (a
 * file is in the way), IO, FULL. Since 0.1.0.
 *
 * @example
 * ```js
 * import { openSpaces } from 'thermocline'
 *
 * const spaces = openSpaces('./users', { dimensions: 3 })
 * spaces.space('ada').put({ id: 'tea', embedding: [0, 1, 0], content: 'likes tea' })
 * console.log(spaces.list())
 * spaces.close()
 * ```
 */
export function openSpaces(root: string, options?: SpacesOptions): Spaces {
  const directory = resolve(checkPath(root, 'root'))
  const spaces = new SpaceSet(directory, checkObject(options, 'SpacesOptions'))
  makeDirectory(directory)
  return spaces
}
