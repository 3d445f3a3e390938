// Writing many memories as few frames: `putMany` and `write`.
//
// Not here: what a frame is, nor that it is all or nothing; the core does that in `batchCommit`.
//
// Invariant: whatever leaves these functions, by return or by throw, the stage that they took is empty again.

import { addDetails, wrongType } from '../errors'
import type { NativeStore } from '../native'
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

/** What the writers need of the store around them. */
export interface BatchHost {
  readonly dimensions: number
  readonly stages: Stages
  isClosed(): boolean
}

interface Batch {
  readonly stage: NativeStore
  readonly size: number
  /** memories committed */
  count: number
  /** memories staged */
  staged: number
  /** bytes staged, embeddings included */
  stagedBytes: number
  lastSequence: number
}

/** Bytes that a memory adds to a frame: an upper bound, or measured where `exact`. */
function frameBytes(memory: EncodedMemory, exact: boolean): number {
  const { id, content, metadata, embedding } = memory
  const units = id.length + (content?.length ?? 0) + (metadata?.length ?? 0)
  const textBytes = exact
    ? Buffer.byteLength(id) + Buffer.byteLength(content ?? '') + Buffer.byteLength(metadata ?? '')
    : units * utf8BytesPerUnitMax
  return textBytes + recordOverheadBytes + (embedding === null ? 0 : embedding.byteLength)
}

function fits(batch: Batch, memory: EncodedMemory): boolean {
  if (batch.stagedBytes + frameBytes(memory, false) <= batchBytesMax) return true
  return batch.stagedBytes + frameBytes(memory, true) <= batchBytesMax
}

function commit(batch: Batch): void {
  const { count, staged } = batch
  batch.staged = 0
  batch.stagedBytes = 0
  try {
    batch.lastSequence = batch.stage.batchCommit()
  } catch (error) {
    // No single item is to blame: the first one that is not in the store.
    throw addDetails(error, { count, index: count })
  }
  batch.count += staged
}

function stageMemory(stage: NativeStore, memory: EncodedMemory): number {
  memory.stageNumbers(stage.numbers)
  return stage.batchPut(memory.id, memory.embedding, memory.content, memory.metadata)
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
  const batch: Batch = { stage, size, count: 0, staged: 0, stagedBytes: 0, lastSequence: 0 }
  let finished = false
  try {
    putManyItems(host, batch, memories as Iterable<unknown>)
    finished = true
  } finally {
    if (!finished && !host.isClosed()) stage.batchReset()
    host.stages.give(stage)
  }
  // `lastSequence` is the last commit's; no item, no commit.
  return { count: batch.count, lastSequence: batch.count === 0 ? stage.sequence() : batch.lastSequence }
}

function putManyItems(host: BatchHost, batch: Batch, memories: Iterable<unknown>): void {
  const encoded = new EncodedMemory()
  // The loop calls `return` on the iterator when its body throws, and lets the iterator's own error through.
  for (const memory of memories) {
    try {
      encodeMemory(memory, host.dimensions, encoded)
    } catch (error) {
      throw putManyItemError(batch, error)
    }
    // No code of the caller runs from here to the end of the body.
    if (batch.staged > 0 && !fits(batch, encoded)) commit(batch)
    try {
      batch.stagedBytes = stageMemory(batch.stage, encoded)
    } catch (error) {
      throw putManyItemError(batch, error)
    }
    batch.staged += 1
    if (batch.staged === batch.size || batch.stagedBytes >= batchBytesMax) commit(batch)
  }
  if (batch.staged > 0) commit(batch)
}

function putManyItemError(batch: Batch, error: unknown): unknown {
  return addDetails(error, { count: batch.count, index: batch.count + batch.staged })
}

/** An operation ready for the addon. */
type EncodedOperation =
  | { readonly kind: 'put'; readonly memory: EncodedMemory }
  | { readonly kind: 'update'; readonly id: string; readonly patch: EncodedPatch }
  | { readonly kind: 'delete'; readonly id: string }

function encodeOperation(value: unknown, dimensions: number): EncodedOperation {
  if (typeof value !== 'object' || value === null)
    throw wrongType(`an operation must be an object, not ${describe(value)}`)
  const keys = Object.keys(value)
  const operation = value as Record<string, unknown>
  if (keys.length === 1 && keys[0] === 'put') {
    const memory = new EncodedMemory()
    encodeMemory(operation.put, dimensions, memory)
    return { kind: 'put', memory }
  }
  if (keys.length === 1 && keys[0] === 'delete') return { kind: 'delete', id: checkId(operation.delete) }
  if (keys.length === 2 && keys.includes('update') && keys.includes('patch')) {
    return { kind: 'update', id: checkId(operation.update), patch: encodePatch(operation.patch) }
  }
  throw wrongType('an operation must be one of { put }, { update, patch } and { delete }')
}

function stageOperation(stage: NativeStore, operation: EncodedOperation): void {
  switch (operation.kind) {
    case 'put':
      stageMemory(stage, operation.memory)
      return
    case 'update':
      stagePatchNumbers(operation.patch, stage.numbers)
      stage.batchUpdate(operation.id, operation.patch.content, operation.patch.metadata)
      return
    case 'delete':
      stage.batchDelete(operation.id)
  }
}

/** See `Store.write`. */
export function write(host: BatchHost, operations: unknown): WriteResult {
  if (!Array.isArray(operations)) throw wrongType(`operations must be an array, not ${describe(operations)}`)
  const encoded: EncodedOperation[] = []
  for (let index = 0; index < operations.length; index++) {
    encoded.push(withIndex(index, () => encodeOperation(operations[index], host.dimensions)))
  }
  // All code of the caller has run: it may have closed the store, or changed an array that `encoded` refers to.
  // The addon checks the latter again when it copies.
  const stage = host.stages.take()
  try {
    for (const [index, operation] of encoded.entries()) withIndex(index, () => stageOperation(stage, operation))
    return { lastSequence: encoded.length === 0 ? stage.sequence() : stage.batchCommit() }
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
