// Moving memories into cold files, rewriting those files, and removing what no list names.
//
// The order, in which every step may be the last (docs/tiers.md has the table):
//   1 the file is written and synced, with its directory     an orphan; the memories are in warm
//   2 it is listed, none of its entries counting             the memories are in warm
//   3 frame by frame: entries count, and leave warm          each is in one place, whichever frame was the last
//   4 files that no list names are removed                   after a flush, so that no power cut brings the list back
//
// Several movers do no harm, because every frame holds only if nothing changed under it; the lock in `mover.ts` saves
// work and nothing else. Against removing a file that another mover is about to list: a sweep reads the directory,
// renews the root, and removes only what it had read. A mover that saw the root before that conflicts, and gives its file
// another name before it tries again.

import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { abortError, systemFailure } from '../errors'
import { addon } from '../native'
import type { Memory } from '../types'
import type { WarmTier } from '../warm/warm-tier'
import { type Counting, checkIf, hasBit, type ListedSegment, MoveFrame, operationIf } from './catalogue'
import { encodeColdFile } from './cold-encoder'
import { headerBytes } from './cold-format'
import { type ColdTier, type ColdTierOptions, commitOrConflict } from './cold-tier'

const { sequence: SEQUENCE } = addon.numberAt
/** Memories that leave warm in one frame: few enough that the write lock is held for a fraction of a millisecond. */
const frameMemories = 256
const filePattern = /^[0-9]+-[0-9a-f]+\.cold$/

/** What moving memories to cold did. */
export interface Demotion {
  readonly moved: string[]
  /** Changed or deleted meanwhile: they stay as they are. */
  readonly left: number
}

export class ColdWriter {
  readonly #cold: ColdTier
  readonly #warm: WarmTier
  readonly #directory: string
  readonly #dimensions: number
  readonly #options: ColdTierOptions

  constructor(cold: ColdTier, warm: WarmTier, directory: string, dimensions: number, options: ColdTierOptions) {
    this.#cold = cold
    this.#warm = warm
    this.#directory = directory
    this.#dimensions = dimensions
    this.#options = options
  }

  get segmentMemories(): number {
    return this.#options.segmentMemories
  }

  #step(name: string): void {
    this.#options.onStep?.(name)
  }

  /** Moves these memories, as they were read from warm, into files. Errors: FULL, IO, ABORTED. */
  async demote(memories: readonly Memory[], signal?: AbortSignal): Promise<Demotion> {
    const moved: string[] = []
    for await (const { listed, chunk } of this.#writeAll(memories, signal)) {
      for (let from = 0; from < chunk.length; from += frameMemories) {
        if (signal?.aborted === true) throw abortError(signal)
        moved.push(...this.#moveFrame(listed, chunk, from))
        this.#step('moved')
      }
    }
    return { moved, left: memories.length - moved.length }
  }

  /** Takes memories in that are not in warm, replacing those of the same ids in cold. */
  async accept(memories: readonly Memory[]): Promise<void> {
    for await (const { listed, chunk } of this.#writeAll(memories)) {
      while (!this.#acceptChunk(listed, chunk));
    }
  }

  #acceptChunk(listed: ListedSegment, chunk: readonly Memory[]): boolean {
    const root = this.#cold.catalogue.root()
    const frame = new MoveFrame(root)
    const counting = this.#cold.catalogue.counting(listed) as Counting
    for (const [ordinal, { id }] of chunk.entries()) {
      const before = this.#cold.locate(root, id)
      if (before !== undefined) frame.setCounting(before.segment, before.counting, before.ordinal, false)
      frame.setCounting(listed, counting, ordinal, true)
      frame.hide(checkIf(id, 0))
    }
    return commitOrConflict(frame, this.#warm) !== false
  }

  /** Writes and lists files of at most `segmentMemories` memories each. */
  async *#writeAll(
    memories: readonly Memory[],
    signal?: AbortSignal,
  ): AsyncGenerator<{ listed: ListedSegment; chunk: readonly Memory[] }> {
    // An id twice in a frame would conflict with itself.
    const newest = new Map(memories.map((memory) => [memory.id, memory]))
    const ordered = [...newest.values()].sort((a, b) => a.sequence - b.sequence)
    for (let from = 0; from < ordered.length; from += this.segmentMemories) {
      if (signal?.aborted === true) throw abortError(signal)
      const chunk = ordered.slice(from, from + this.segmentMemories)
      const listed = await this.#listFile(await this.#encode(chunk), chunk.length, () => undefined)
      yield { listed, chunk }
    }
  }

  async #encode(memories: readonly Memory[]): Promise<Uint8Array> {
    const { embeddings: encoding, codec } = this.#options
    return await encodeColdFile(memories, { dimensions: this.#dimensions, encoding, codec })
  }

  /** Writes a file and lists it in a frame that `fill` adds to; again, with another name, whenever the frame conflicts. */
  async #listFile(
    bytes: Uint8Array,
    entries: number,
    fill: (frame: MoveFrame, listed: ListedSegment) => void,
  ): Promise<ListedSegment> {
    let file: string | undefined
    for (;;) {
      const root = this.#cold.catalogue.root()
      file = await this.#nameFile(root.next, file, bytes)
      const crc = crc32(bytes.subarray(0, headerBytes))
      const listed = { number: root.next, file, entries, bytes: bytes.length, crc }
      const frame = new MoveFrame(root)
      frame.list(listed)
      fill(frame, listed)
      if (commitOrConflict(frame, this.#warm) !== false) {
        this.#step('listed')
        return listed
      }
    }
  }

  /** Makes a file of a new name: writes it, or renames the one that was written under a root that is gone. */
  async #nameFile(number: number, previous: string | undefined, bytes: Uint8Array): Promise<string> {
    const file = `${number}-${randomBytes(6).toString('hex')}.cold`
    const path = join(this.#directory, file)
    try {
      if (previous !== undefined && (await renameIfThere(join(this.#directory, previous), path))) {
        await this.#syncDirectory()
        return file
      }
      await mkdir(this.#directory, { mode: 0o700, recursive: true })
      const handle = await open(path, 'wx', 0o600)
      try {
        await handle.writeFile(bytes)
        this.#step('written')
        if (this.#options.isSynced) await handle.sync()
      } finally {
        await handle.close()
      }
      await this.#syncDirectory()
      this.#step('synced')
    } catch (error) {
      throw systemFailure(error, 'a cold file')
    }
    return file
  }

  async #syncDirectory(): Promise<void> {
    if (!this.#options.isSynced) return
    const handle = await open(this.#directory, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** Moves those of one frame that are in warm as they were read. Returns their ids. */
  #moveFrame(listed: ListedSegment, chunk: readonly Memory[], from: number): string[] {
    for (;;) {
      const frame = new MoveFrame(this.#cold.catalogue.root())
      const counting = this.#cold.catalogue.counting(listed)
      if (counting === undefined) return [] // another mover took the file for dead: all its memories are in warm
      const moved: string[] = []
      const end = Math.min(chunk.length, from + frameMemories)
      for (let ordinal = from; ordinal < end; ordinal++) {
        const { id, sequence } = chunk[ordinal] as Memory
        if (this.#warm.peek(id)?.[SEQUENCE] !== sequence) continue
        frame.setCounting(listed, counting, ordinal, true)
        frame.hide(operationIf({ delete: id }, sequence))
        moved.push(id)
      }
      if (moved.length === 0 || commitOrConflict(frame, this.#warm) !== false) return moved
    }
  }

  /**
   * Writes the memories of some files that count into one new file, and lists that instead of them, in one frame. Returns
   * how many there were; undefined when something changed meanwhile.
   */
  async rewrite(segments: readonly ListedSegment[]): Promise<number | undefined> {
    const sources: { segment: ListedSegment; counting: Counting }[] = []
    for (const segment of segments) {
      const counting = this.#cold.catalogue.counting(segment)
      if (counting === undefined) return undefined
      sources.push({ segment, counting })
    }
    const memories = sources
      .flatMap(({ segment, counting }) => readCounting(this.#cold, segment, counting))
      .sort((a, b) => a.sequence - b.sequence)
    if (memories.length === 0) {
      const frame = new MoveFrame(this.#cold.catalogue.root())
      for (const { segment, counting } of sources) frame.drop(segment, counting)
      return commitOrConflict(frame, this.#warm) === false ? undefined : 0
    }
    const bytes = await this.#encode(memories)
    for (const { segment, counting } of sources) {
      if (this.#cold.catalogue.counting(segment)?.sequence !== counting.sequence) return undefined
    }
    let isStale = false
    await this.#listFile(bytes, memories.length, (frame, listed) => {
      // After a conflict because of these very files the new one is listed with nothing that counts, and is dead.
      isStale = sources.some(({ segment, counting }) => {
        return this.#cold.catalogue.counting(segment)?.sequence !== counting.sequence
      })
      if (isStale) return
      const none = { sequence: 0, bits: new Uint8Array((memories.length + 7) >> 3), count: 0 }
      for (let ordinal = 0; ordinal < memories.length; ordinal++) frame.setCounting(listed, none, ordinal, true)
      for (const { segment, counting } of sources) frame.drop(segment, counting)
    })
    return isStale ? undefined : memories.length
  }

  /** Removes files that no list names. Returns their bytes. Errors: IO. */
  async sweep(): Promise<number> {
    const root = this.#cold.catalogue.root()
    const listed = new Set(root.segments.map(({ file }) => file))
    const orphans = (await this.#files()).filter((file) => !listed.has(file))
    if (orphans.length === 0) return 0
    const frame = new MoveFrame(root)
    frame.renewRoot()
    if (commitOrConflict(frame, this.#warm) === false) return 0
    await this.#warm.flush()
    this.#step('unlisted')
    let bytes = 0
    for (const file of orphans) bytes += await removeFile(join(this.#directory, file))
    return bytes
  }

  async #files(): Promise<string[]> {
    try {
      return (await readdir(this.#directory)).filter((file) => filePattern.test(file))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw systemFailure(error, 'a cold file')
    }
  }
}

function readCounting(cold: ColdTier, listed: ListedSegment, { bits }: Counting): Memory[] {
  const segment = cold.segment(listed)
  const memories: Memory[] = []
  for (let ordinal = 0; ordinal < listed.entries; ordinal++) {
    if (hasBit(bits, ordinal)) memories.push(segment.read(ordinal))
  }
  return memories
}

async function renameIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

async function removeFile(path: string): Promise<number> {
  try {
    const handle = await open(path, 'r')
    const { size } = await handle.stat()
    await handle.close()
    await unlink(path)
    return size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw systemFailure(error, 'a cold file')
  }
}
