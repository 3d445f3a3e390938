// Writing many memories as few frames: `putMany` and `write`.
//
// Not here: what a frame is, nor that it is all or nothing; the core does that in `batchCommit`.
//
// Invariant: whatever leaves these functions, by return or by throw, the stage that they took is empty again.

import { addDetails, blame, wrongType } from '../errors'
import { addon, type NativeBatchArrays, type NativeStore } from '../native'
import { describe } from '../options'
import type { PutManyResult, WriteResult } from '../types'
import { checkId } from './memory-id'
import { EncodedMemory, type EncodedPatch, encodeMemory, encodePatch, stagePatchNumbers } from './memory-input'
import type { Stages } from './stages'

/** Keeps the time under the write lock short (design rule: internal batches of at most 256 records and 1 MiB). */
const batchBytesMax = 1024 * 1024
/** More than the header of any record. */
const recordOverheadBytes = 160
const utf8BytesPerUnitMax = 3
/** Texts are handed over when so many UTF-16 units have come together: what fits the caches and V8's young space. */
const groupUnits = 16 * 1024
/** A memory with longer texts fills a frame by itself. */
const textUnitsMax = batchBytesMax
const fieldCount = 9
/** A frame of so many bytes is committed on another thread while the next one is gathered: below, the hand-over costs more. */
const backgroundBytesMin = 128 * 1024

const { applied: APPLIED, ifSequence: IF_SEQUENCE } = addon.numberAt
const anySequence = -1

/** What the writers need of the store around them. */
export interface BatchHost {
  readonly dimensions: number
  readonly stages: Stages
  isClosed(): boolean
}

/**
 * One frame in the making. Memories are gathered in arrays that the addon reads, their texts in one string: a native
 * call for each memory would cost as much as all else that is done for it.
 */
class Batch {
  readonly #stage: NativeStore
  readonly #dimensions: number
  readonly #sizeMax: number
  #arrays: NativeBatchArrays
  /** The arrays of the frame that is being committed, if any: used next. */
  #otherArrays: NativeBatchArrays | undefined
  /** memories committed */
  count = 0
  lastSequence = 0
  /** memories of this frame */
  #staged = 0
  /** memories of the frame before, which is being committed meanwhile */
  #submitted = 0
  /** of those staged, how many the addon has */
  #handedOver = 0
  /** bytes that the addon has, embeddings included */
  #bytes = 0
  /** texts that the addon has not yet, one after the other */
  #text = ''

  constructor(stage: NativeStore, size: number) {
    this.#stage = stage
    this.#arrays = stage.batchArrays()
    this.#dimensions = stage.dimensions
    this.#sizeMax = Math.min(size, this.#arrays.capacity)
  }

  /** Adds a memory; commits the frame before it when both do not fit, and the frame when it is full. */
  add(memory: EncodedMemory): void {
    const units = textUnits(memory)
    if (this.#staged > 0 && !this.#fits(units, memory)) this.commit()
    if (units > textUnitsMax) {
      this.#addAlone(memory)
      return
    }
    this.#setFields(memory)
    this.#text += memory.id
    if (memory.content !== null) this.#text += memory.content
    if (memory.metadata !== undefined) this.#text += memory.metadata
    this.#staged += 1
    if (this.#text.length >= groupUnits) this.#handOver()
    if (this.#staged === this.#sizeMax || this.#bytes >= batchBytesMax) this.commit()
  }

  /** Commits all that was added. */
  finish(): void {
    this.commit()
    this.settle()
  }

  commit(): void {
    this.#handOver()
    this.settle()
    const staged = this.#staged
    if (staged === 0) return
    const large = this.#bytes >= backgroundBytesMin
    this.#begin()
    if (large) {
      this.#stage.batchSubmit()
      this.#submitted = staged
      const arrays = this.#otherArrays ?? this.#stage.batchArrays()
      this.#otherArrays = this.#arrays
      this.#arrays = arrays
      return
    }
    this.#countCommit(staged, () => this.#stage.batchCommit())
  }

  /** Waits for the frame in the background; throws what became of it. `count` is right afterwards. */
  settle(): void {
    const submitted = this.#submitted
    this.#submitted = 0
    if (submitted > 0) this.#countCommit(submitted, () => this.#stage.batchWait())
  }

  /** Names the memory of this frame that comes next as the one to blame. */
  blameNext(error: unknown): unknown {
    this.settle()
    return blame(error, this.count, this.count + this.#staged)
  }

  /** Drops the frame. Throws what is wrong with a memory added before whatever made the caller stop. */
  drop(): void {
    try {
      this.settle()
      this.#handOver()
    } finally {
      this.#begin()
      this.#stage.batchReset()
    }
  }

  #countCommit(memories: number, commit: () => number): void {
    const { count } = this
    try {
      this.lastSequence = commit()
    } catch (error) {
      // No single item is to blame: the first one that is not in the store.
      throw blame(error, count, count)
    }
    this.count += memories
  }

  #begin(): void {
    this.#staged = 0
    this.#handedOver = 0
    this.#bytes = 0
    this.#text = ''
  }

  /** Bounded first, measured only when the bound does not settle it. */
  #fits(units: number, memory: EncodedMemory): boolean {
    const more = this.#frameBytes(memory)
    const waiting = this.#staged - this.#handedOver
    const bound = (units + this.#text.length) * utf8BytesPerUnitMax + (waiting + 1) * more
    if (this.#bytes + bound <= batchBytesMax) return true
    this.#handOver()
    return this.#bytes + textBytes(memory) + more <= batchBytesMax
  }

  /** Bytes of a memory in a frame without its texts. */
  #frameBytes(memory: EncodedMemory): number {
    return recordOverheadBytes + (memory.embedding === null ? 0 : memory.embedding.byteLength)
  }

  #setFields(memory: EncodedMemory): void {
    const { fields, rows } = this.#arrays
    const { embedding } = memory
    const row = this.#staged * this.#dimensions
    if (embedding === null) rows.fill(0, row, row + this.#dimensions)
    else rows.set(embedding, row)
    const at = this.#staged * fieldCount
    fields[at] = memory.confidence
    fields[at + 1] = memory.createdAt
    fields[at + 2] = memory.activation
    fields[at + 3] = memory.lastAccess
    fields[at + 4] = memory.recallCount
    fields[at + 5] = memory.id.length
    fields[at + 6] = memory.content === null ? -1 : memory.content.length
    fields[at + 7] = memory.metadata === undefined ? 0 : memory.metadata.length
    fields[at + 8] = embedding === null ? 0 : 1
  }

  #handOver(): void {
    const first = this.#handedOver
    if (first === this.#staged) return
    try {
      this.#bytes = this.#stage.batchPutGroup(this.#text, first, this.#staged - first)
    } catch (error) {
      const sound = this.#stage.numbers[APPLIED] as number
      this.settle()
      throw blame(error, this.count, this.count + first + sound)
    }
    this.#handedOver = this.#staged
    this.#text = ''
  }

  /** A memory with a long text: a frame of its own, converted without a copy in the arrays. */
  #addAlone(memory: EncodedMemory): void {
    this.commit()
    try {
      stageMemory(this.#stage, memory)
    } catch (error) {
      throw this.blameNext(error)
    }
    this.#staged = 1
    this.#handedOver = 1
    this.commit()
  }
}

function textUnits(memory: EncodedMemory): number {
  return memory.id.length + (memory.content?.length ?? 0) + (memory.metadata?.length ?? 0)
}

function textBytes(memory: EncodedMemory): number {
  return (
    Buffer.byteLength(memory.id) + Buffer.byteLength(memory.content ?? '') + Buffer.byteLength(memory.metadata ?? '')
  )
}

function stageMemory(stage: NativeStore, memory: EncodedMemory, ifSequence = anySequence): void {
  memory.stageNumbers(stage.numbers)
  stage.numbers[IF_SEQUENCE] = ifSequence
  stage.batchPut(memory.id, memory.embedding, memory.content, memory.metadata)
}

/** See `Store.putMany`. */
export function putMany(host: BatchHost, memories: unknown, size: number): PutManyResult {
  if (
    memories === null ||
    memories === undefined ||
    typeof (memories as Iterable<unknown>)[Symbol.iterator] !== 'function'
  ) {
    throw wrongType(`memories must be iterable, not ${describe(memories)}`)
  }
  const stage = host.stages.take()
  try {
    const batch = new Batch(stage, size)
    putManyItems(host, batch, memories as Iterable<unknown>)
    // `lastSequence` is the last commit's; no item, no commit.
    return { count: batch.count, lastSequence: batch.count === 0 ? stage.sequence() : batch.lastSequence }
  } finally {
    host.stages.give(stage)
  }
}

function putManyItems(host: BatchHost, batch: Batch, memories: Iterable<unknown>): void {
  const encoded = new EncodedMemory()
  let finished = false
  try {
    // The loop calls `return` on the iterator when its body throws, and lets the iterator's own error through.
    for (const memory of memories) {
      try {
        encodeMemory(memory, host.dimensions, encoded)
      } catch (error) {
        throw batch.blameNext(error)
      }
      // No code of the caller runs from here to the end of the body.
      batch.add(encoded)
    }
    batch.finish()
    finished = true
  } finally {
    if (!finished && !host.isClosed()) batch.drop()
  }
}

/** An operation ready for the addon. `ifSequence`: of the id when the frame is committed, 0 absent, -1 any. */
export type EncodedOperation =
  | { readonly kind: 'put'; readonly memory: EncodedMemory; readonly ifSequence: number }
  | { readonly kind: 'update'; readonly id: string; readonly patch: EncodedPatch; readonly ifSequence: number }
  | { readonly kind: 'delete' | 'check'; readonly id: string; readonly ifSequence: number }

/** Checks an operation of `write` and encodes it; all code of the caller runs here. */
export function encodeOperation(value: unknown, dimensions: number, ifSequence: number): EncodedOperation {
  if (typeof value !== 'object' || value === null)
    throw wrongType(`an operation must be an object, not ${describe(value)}`)
  const keys = Object.keys(value)
  const operation = value as Record<string, unknown>
  if (keys.length === 1 && keys[0] === 'put') {
    const memory = new EncodedMemory()
    encodeMemory(operation.put, dimensions, memory)
    return { kind: 'put', memory, ifSequence }
  }
  if (keys.length === 1 && keys[0] === 'delete') {
    return { kind: 'delete', id: checkId(operation.delete), ifSequence }
  }
  if (keys.length === 2 && keys.includes('update') && keys.includes('patch')) {
    return { kind: 'update', id: checkId(operation.update), patch: encodePatch(operation.patch), ifSequence }
  }
  throw wrongType('an operation must be one of { put }, { update, patch } and { delete }')
}

function stageOperation(stage: NativeStore, operation: EncodedOperation): void {
  switch (operation.kind) {
    case 'put':
      stageMemory(stage, operation.memory, operation.ifSequence)
      return
    case 'update':
      stagePatchNumbers(operation.patch, stage.numbers)
      stage.numbers[IF_SEQUENCE] = operation.ifSequence
      stage.batchUpdate(operation.id, operation.patch.content, operation.patch.metadata)
      return
    case 'delete':
      stage.numbers[IF_SEQUENCE] = operation.ifSequence
      stage.batchDelete(operation.id)
      return
    case 'check':
      stage.numbers[IF_SEQUENCE] = operation.ifSequence
      stage.batchCheck(operation.id)
  }
}

/** See `Store.write`. */
export function write(host: BatchHost, operations: unknown): WriteResult {
  if (!Array.isArray(operations)) throw wrongType(`operations must be an array, not ${describe(operations)}`)
  const encoded: EncodedOperation[] = []
  for (let index = 0; index < operations.length; index++) {
    encoded.push(withIndex(index, () => encodeOperation(operations[index], host.dimensions, anySequence)))
  }
  return commit(host, encoded)
}

/** Commits all of them at one moment, or throws CONFLICT and has written nothing. */
export function commit(host: BatchHost, encoded: readonly EncodedOperation[]): WriteResult {
  // All code of the caller has run: it may have closed the store, or changed an array that `encoded` refers to.
  // The addon checks the latter again when it copies.
  const stage = host.stages.take()
  try {
    for (const [index, operation] of encoded.entries()) withIndex(index, () => stageOperation(stage, operation))
    return { lastSequence: stage.batchCommit() }
  } catch (error) {
    if (!host.isClosed()) stage.batchReset()
    throw error
  } finally {
    host.stages.give(stage)
  }
}

function withIndex<T>(index: number, step: () => T): T {
  try {
    return step()
  } catch (error) {
    throw addDetails(error, { index })
  }
}
