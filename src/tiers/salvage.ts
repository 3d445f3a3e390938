// Saving what can be read of a damaged store, tiered or not.
//
// Of a tiered one warm is salvaged first: its log says which entries of which cold files count. These are read one by one
// and written into cold files of the new store. Where the log's word of a file is lost, all its entries count that are not
// in warm; of several of one id the one of the highest sequence.

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'
import { crc32 } from 'node:zlib'
import { LRUCache } from 'lru-cache'
import { Failure, failure, isThermoclineError, outOfRange, systemFailure, withAsyncStack } from '../errors'
import { checkPath } from '../options'
import type { Memory, SalvageResult } from '../types'
import { salvageWarm } from '../warm/salvage'
import { withTargetLock } from '../warm/target-lock'
import { openWarmTier, type WarmTier } from '../warm/warm-tier'
import { Catalogue, type Counting, hasBit, isControlId, type ListedSegment } from './catalogue'
import { headerBytes } from './cold-format'
import { ColdSegment } from './cold-segment'
import { ColdTier } from './cold-tier'
import { isFree, syncPath } from './tiered-backup'

const cacheBytes = 16 * 1024 * 1024

/** What is left of what the log says of a cold file. */
interface KnownFile {
  readonly file: string
  /** Undefined: not in the list, or the list is lost. */
  readonly listed: ListedSegment | undefined
  /** Undefined: it is not known which of its entries count. */
  readonly counting: Counting | undefined
}

/** Undefined where what is read is damaged. */
function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isThermoclineError(error)) return undefined
    throw systemFailure(error, 'a cold file')
  }
}

/** The files that may hold memories. `isWhole`: the log lost nothing, so no file counts that it does not list. */
function listFiles(warm: WarmTier, directory: string, isWhole: boolean): KnownFile[] {
  const catalogue = new Catalogue(warm)
  const segments = unlessDamaged(() => catalogue.root().segments) ?? []
  const known = segments.map((listed) => {
    return { file: listed.file, listed, counting: unlessDamaged(() => catalogue.counting(listed)) }
  })
  if (isWhole || !existsSync(directory)) return known
  const names = new Set(segments.map(({ file }) => file))
  const others = readdirSync(directory).filter((file) => file.endsWith('.cold') && !names.has(file))
  return [...known, ...others.map((file) => ({ file, listed: undefined, counting: undefined }))]
}

/** Brings cold memories into the new store. */
class ColdSalvage {
  readonly #warm: WarmTier
  readonly #target: string
  /** Sequences of what was brought, by id. */
  readonly #brought = new Map<string, number>()
  lost = 0

  constructor(warm: WarmTier, target: string) {
    this.#warm = warm
    this.#target = target
  }

  get memories(): number {
    return this.#brought.size
  }

  async bring(directory: string, { file, listed, counting }: KnownFile, number: number): Promise<void> {
    const path = join(directory, file)
    const cache = new LRUCache<string, { bytes: number; part: unknown }>({
      maxSize: cacheBytes,
      sizeCalculation: ({ bytes }) => bytes,
    })
    const segment = unlessDamaged(() => {
      if (!existsSync(path)) throw failure(Failure.CORRUPT, 'a file that is listed is missing')
      return new ColdSegment(number, path, listed?.crc ?? crc32(readFileSync(path).subarray(0, headerBytes)), cache)
    })
    try {
      if (segment === undefined || unlessDamaged(() => segment.directory()) === undefined) {
        this.lost += counting?.count ?? listed?.entries ?? 1
        return
      }
      await this.#accept(segment, this.#read(segment, counting))
    } finally {
      segment?.close()
    }
  }

  #read(segment: ColdSegment, counting: Counting | undefined): Memory[] {
    const found: Memory[] = []
    for (let ordinal = 0; ordinal < segment.shape.entries; ordinal++) {
      if (counting !== undefined && !hasBit(counting.bits, ordinal)) continue
      const id = segment.idAt(ordinal)
      const known = this.#brought.get(id) ?? 0
      if (this.#warm.has(id) || known >= segment.sequenceAt(ordinal)) continue
      const whole = unlessDamaged(() => segment.read(ordinal))
      if (whole === undefined) this.lost += 1
      const memory = whole ?? unlessDamaged(() => segment.readTexts(ordinal))
      if (memory === undefined) continue
      this.#brought.set(id, memory.sequence)
      found.push(memory)
    }
    return found
  }

  async #accept({ shape }: ColdSegment, memories: readonly Memory[]): Promise<void> {
    const { encoding: embeddings, codec } = shape
    const options = { embeddings, codec, segmentMemories: Math.max(1, shape.entries), cacheBytes, isSynced: true }
    const cold = new ColdTier(this.#warm, this.#target, options)
    try {
      await cold.accept(memories)
    } finally {
      cold.close()
    }
  }
}

/** What warm says of the old files is no longer so. */
function dropCatalogue(warm: WarmTier): void {
  const controls = [...warm.entries()].flatMap(({ id }) => (isControlId(id) ? [id] : []))
  warm.write(controls.map((id) => ({ delete: id })))
}

async function salvageTiers(source: string, draft: string): Promise<SalvageResult> {
  const salvaged = await salvageWarm(join(source, 'warm'), join(draft, 'warm'))
  const directory = join(source, 'cold')
  const warm = openWarmTier(join(draft, 'warm'))
  try {
    const files = listFiles(warm, directory, salvaged.lost === 0)
    dropCatalogue(warm)
    const inWarm = warm.size
    const cold = new ColdSalvage(warm, join(draft, 'cold'))
    for (const [place, file] of files.entries()) await cold.bring(directory, file, place + 1)
    await warm.flush()
    return { memories: inWarm + cold.memories, lost: salvaged.lost + cold.lost }
  } finally {
    warm.close()
  }
}

async function salvageTiered(source: string, target: string): Promise<SalvageResult> {
  if (target === source || target.startsWith(source + sep)) throw outOfRange('`to` must not be inside `from`')
  return await withTargetLock(target, async () => {
    if (!(await isFree(target))) throw failure(Failure.EXISTS, 'the directory of the new store is not empty')
    const draft = `${target}.${randomBytes(6).toString('hex')}`
    try {
      await mkdir(draft, { mode: 0o700 })
      const result = await salvageTiers(source, draft)
      await syncPath(draft)
      await rename(draft, target)
      return result
    } catch (error) {
      throw systemFailure(error, 'the new store')
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
  })
}

/**
 * Writes what can be read of a damaged or poisoned store into a new one, off the event loop.
 *
 * `from`: the damaged store, only read; a directory of `openTiered`, a space of `openSpaces` too, which becomes a tiered
 * store again. `to`: absent or empty, and not inside `from`. Whatever holds by its checksum is taken, the newest write of
 * each id that can be read; sequences are kept. When an id's newest write is among what is lost, the one before it shows,
 * and a lost deletion revives. A memory whose embedding alone is lost comes without it. If `meta` is gone the metric is
 * cosine. Of a tiered store cold files are read on the event loop, and what the log says of a file may be lost too: then
 * what was forgotten from that file revives, until it was rewritten. Rejects with NOT_FOUND, NOT_A_STORE, EXISTS, BUSY, FULL,
 * IO, ARGUMENT; then nothing is left at `to`. The new store is synced when it resolves. Since 0.1.0.
 */
export async function salvage(from: string, to: string): Promise<SalvageResult> {
  try {
    const source = resolve(checkPath(from, 'from'))
    const target = resolve(checkPath(to, 'to'))
    // A store that is not tiered has no directories.
    const isTiered = existsSync(join(source, 'warm'))
    return await (isTiered ? salvageTiered(source, target) : salvageWarm(source, target))
  } catch (error) {
    throw withAsyncStack(error)
  }
}
