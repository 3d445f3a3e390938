// Warm and cold as one place for memories: writes. Each memory is in exactly one of the two, at any moment.
//
// Not here: reads of many (`two-tier-reads.ts`), the hot tier, policies. Every write is built on what was seen, and holds
// only if that is still so at the commit (`MoveFrame`, `ifSequence`); else it is tried again. A memory that is in warm is
// written as in any store; one that is in cold comes to warm in the frame that writes it.

import { blame, closedError, Failure, failure, isThermoclineError, wrongType } from '../errors'
import { addon } from '../native'
import { describe, readActivation, readBatchSize, readIfSequence } from '../options'
import type { Memory, PutManyResult, TouchOptions, WriteResult } from '../types'
import { type EncodedOperation, encodeOperation } from '../warm/batch-writer'
import { EncodedMemory, encodeMemory, encodePatch } from '../warm/memory-input'
import { copyVector } from '../warm/vector'
import type { WarmTier } from '../warm/warm-tier'
import { checkUserId, MoveFrame, operationIf, type Root } from './catalogue'
import { type ColdPlace, type ColdTier, commitOrConflict } from './cold-tier'
import type { TierName } from './types'

const { sequence: SEQUENCE } = addon.numberAt
const anySequence = -1
const chunkBytesMax = 1024 * 1024

/** What is known of an id: its sequence, 0 for absent, and its place when that is in cold. */
interface State {
  readonly sequence: number
  readonly place: ColdPlace | undefined
}

/** A memory and where it was found. */
export interface Found {
  readonly memory: Memory
  readonly tier: 'warm' | 'cold'
}

/** Statistics that a memory comes to warm with. */
export interface Access {
  readonly id: string
  /** Undefined: unchanged. */
  readonly activation: number | undefined
  readonly at: number
}

function conflict(sequence: number): Error {
  return failure(Failure.CONFLICT, `the memory has another sequence: ${sequence}`, { sequence })
}

export class TwoTiers {
  readonly warm: WarmTier
  readonly cold: ColdTier
  readonly #dimensions: number
  readonly #onPromoted: (ids: readonly string[]) => void

  /** `onPromoted`: told what came to warm from cold, after each commit that brought any. */
  constructor(warm: WarmTier, cold: ColdTier, onPromoted: (ids: readonly string[]) => void) {
    this.warm = warm
    this.cold = cold
    this.#onPromoted = onPromoted
    this.#dimensions = warm.stats().dimensions
  }

  #state(root: Root, id: string): State {
    const inWarm = this.warm.peek(id)?.[SEQUENCE]
    if (inWarm !== undefined) return { sequence: inWarm, place: undefined }
    const place = root.segments.length === 0 ? undefined : this.cold.locate(root, id)
    return { sequence: place?.sequence ?? 0, place }
  }

  /** Builds a frame on what is now and commits it, again while it conflicts. `build` returns what this is to return. */
  #commit<T>(build: (frame: MoveFrame, stateOf: (id: string) => State, promoted: string[]) => T): {
    built: T
    lastSequence: number
  } {
    for (;;) {
      const promoted: string[] = []
      const done = this.cold.withRoot((root) => {
        const frame = new MoveFrame(root)
        const built = build(frame, (id) => this.#state(root, id), promoted)
        const lastSequence = commitOrConflict(frame, this.warm)
        return lastSequence === false ? undefined : { built, lastSequence }
      })
      if (done === undefined) continue
      if (promoted.length > 0) this.#onPromoted(promoted)
      return done
    }
  }

  find(id: string): Found | undefined {
    for (;;) {
      // The root is read first: while it stays nothing leaves warm.
      const found = this.cold.withRoot((root): Found | undefined | 'moved' => {
        const memory = this.warm.get(id)
        if (memory !== undefined) return { memory, tier: 'warm' }
        const place = root.segments.length === 0 ? undefined : this.cold.locate(root, id)
        if (place !== undefined) return { memory: this.cold.readPlace(place), tier: 'cold' }
        // It may have come back from cold meanwhile, or gone there.
        return this.cold.catalogue.root() === root && !this.warm.has(id) ? undefined : 'moved'
      })
      if (found !== 'moved') return found
    }
  }

  tierOf(id: string): Exclude<TierName, 'hot'> | undefined {
    for (;;) {
      const found = this.cold.withRoot((root): 'warm' | 'cold' | undefined | 'moved' => {
        const { sequence, place } = this.#state(root, id)
        if (place !== undefined) return 'cold'
        if (sequence > 0) return 'warm'
        return this.cold.catalogue.root() === root && !this.warm.has(id) ? undefined : 'moved'
      })
      if (found !== 'moved') return found
    }
  }

  /** `ifSequence`: -1 for any. */
  putEncoded(encoded: EncodedMemory, ifSequence: number): number {
    const id = checkUserId(encoded.id)
    return this.#commit((frame, stateOf, promoted) => {
      const state = stateOf(id)
      if (ifSequence >= 0 && ifSequence !== state.sequence) throw conflict(state.sequence)
      showFirst(frame, state, { kind: 'put', memory: encoded, ifSequence: anySequence }, this.cold, promoted)
    }).lastSequence
  }

  /** As `Store.putMany`; each batch is one frame. */
  putMany(memories: unknown, options: unknown, isClosed: () => boolean): PutManyResult {
    const batchSize = readBatchSize(options)
    if (typeof (memories as Iterable<unknown> | null | undefined)?.[Symbol.iterator] !== 'function') {
      throw wrongType(`memories must be iterable, not ${describe(memories)}`)
    }
    let count = 0
    let lastSequence: number | undefined
    let chunk: EncodedMemory[] = []
    let bytes = 0
    const fail = (error: unknown, index: number): never => {
      throw blame(error, count, index)
    }
    const commit = (): void => {
      if (chunk.length === 0) return
      if (isClosed()) throw closedError()
      try {
        lastSequence = this.#putChunk(chunk)
      } catch (error) {
        fail(error, count + (isThermoclineError(error) ? (error.details.index ?? 0) : 0))
      }
      count += chunk.length
      chunk = []
      bytes = 0
    }
    for (const memory of memories as Iterable<unknown>) {
      const encoded = new EncodedMemory()
      try {
        encodeMemory(memory, this.#dimensions, encoded)
        checkUserId(encoded.id)
      } catch (error) {
        fail(error, count + chunk.length)
      }
      // The caller may use its array for the next memory.
      if (encoded.embedding !== null) encoded.embedding = copyVector(encoded.embedding)
      const size = bytesOf(encoded)
      if (bytes + size > chunkBytesMax) commit()
      chunk.push(encoded)
      bytes += size
      if (chunk.length === batchSize) commit()
    }
    commit()
    return { count, lastSequence: lastSequence ?? this.warm.write([]).lastSequence }
  }

  #putChunk(chunk: readonly EncodedMemory[]): number {
    return this.#commit((frame, stateOf, promoted) => {
      const seen = new Set<string>()
      for (const memory of chunk) {
        const operation = { kind: 'put', memory, ifSequence: anySequence } as const
        if (seen.has(memory.id)) frame.show(operation)
        else showFirst(frame, stateOf(memory.id), operation, this.cold, promoted)
        seen.add(memory.id)
      }
    }).lastSequence
  }

  update(id: unknown, patch: unknown, options: unknown): boolean {
    const ifSequence = readIfSequence(options)
    const encoded = encodePatch(patch)
    const checked = checkUserId(id)
    return this.#commit((frame, stateOf, promoted) => {
      const state = stateOf(checked)
      if (ifSequence >= 0 && ifSequence !== state.sequence) throw conflict(state.sequence)
      if (state.sequence === 0) return false
      showFirst(
        frame,
        state,
        { kind: 'update', id: checked, patch: encoded, ifSequence: anySequence },
        this.cold,
        promoted,
      )
      return true
    }).built
  }

  delete(id: unknown, options?: unknown): TierName | undefined {
    const ifSequence = readIfSequence(options)
    const checked = checkUserId(id)
    return this.#commit((frame, stateOf, promoted): TierName | undefined => {
      const state = stateOf(checked)
      if (ifSequence >= 0 && ifSequence !== state.sequence) throw conflict(state.sequence)
      if (state.sequence === 0) return undefined
      showFirst(frame, state, { kind: 'delete', id: checked, ifSequence: anySequence }, this.cold, promoted)
      return state.place === undefined ? 'warm' : 'cold'
    }).built
  }

  write(operations: unknown): WriteResult {
    if (!Array.isArray(operations)) throw wrongType(`operations must be an array, not ${describe(operations)}`)
    const encoded: EncodedOperation[] = []
    for (let index = 0; index < operations.length; index++) {
      try {
        const operation = encodeOperation(operations[index], this.#dimensions, anySequence)
        checkUserId(idOf(operation))
        encoded.push(operation)
      } catch (error) {
        if (isThermoclineError(error)) Object.assign(error, { details: { ...error.details, index } })
        throw error
      }
    }
    if (encoded.length === 0) return this.warm.write([])
    return { lastSequence: this.writeEncoded(encoded, new Set()) }
  }

  /** At one moment. `present`: ids that must be there, else CONFLICT. */
  writeEncoded(operations: readonly EncodedOperation[], present: ReadonlySet<string>): number {
    const lastKind = new Map(operations.map((operation) => [idOf(operation), operation.kind]))
    return this.#commit((frame, stateOf, promoted) => {
      const seen = new Set<string>()
      for (const operation of operations) {
        const id = idOf(operation)
        if (seen.has(id)) frame.show(operation)
        else {
          const state = stateOf(id)
          if (present.has(id) && state.sequence === 0) throw conflict(0)
          showFirst(frame, state, operation, this.cold, lastKind.get(id) === 'delete' ? [] : promoted)
        }
        seen.add(id)
      }
    }).lastSequence
  }

  touch(id: unknown, options: TouchOptions | undefined): boolean {
    const activation = options === undefined ? NaN : readActivation(options)
    const checked = checkUserId(id)
    for (;;) {
      if (this.warm.touch(checked, options)) return true
      const access = { id: checked, activation: Number.isNaN(activation) ? undefined : activation, at: Date.now() }
      if (this.promote([access]).length > 0) return true
      if (this.tierOf(checked) === undefined) return false
    }
  }

  /** Brings memories that are in cold to warm, at one moment, as accessed then. Returns the ids of those that were. */
  promote(accesses: readonly Access[]): string[] {
    return this.#commit((frame, stateOf, promoted) => {
      for (const { id, activation, at } of accesses) {
        const { place } = stateOf(id)
        if (place === undefined || promoted.includes(id)) continue
        const { sequence: _, ...memory } = this.cold.readPlace(place)
        const put = {
          ...memory,
          activation: activation ?? memory.activation,
          lastAccess: at,
          recallCount: memory.recallCount + 1,
        }
        frame.setCounting(place.segment, place.counting, place.ordinal, false)
        frame.hide(operationIf({ put }, 0))
        promoted.push(id)
      }
      return promoted
    }).built
  }
}

function idOf(operation: EncodedOperation): string {
  return operation.kind === 'put' ? operation.memory.id : operation.id
}

function bytesOf({ id, embedding, content, metadata }: EncodedMemory): number {
  return id.length + (content?.length ?? 0) + (metadata?.length ?? 0) + (embedding?.byteLength ?? 0)
}

/** The first operation of a frame on an id: under the condition of its state, and out of cold if it is there. */
function showFirst(
  frame: MoveFrame,
  state: State,
  operation: EncodedOperation,
  cold: ColdTier,
  promoted: string[],
): void {
  const { place, sequence } = state
  if (place === undefined) {
    frame.show({ ...operation, ifSequence: sequence })
    return
  }
  frame.setCounting(place.segment, place.counting, place.ordinal, false)
  if (operation.kind !== 'delete') promoted.push(idOf(operation))
  if (operation.kind === 'put') {
    frame.show({ ...operation, ifSequence: 0 })
    return
  }
  // What is changed or deleted has to be there. Of a deletion the log then tells, as of any other.
  const memory = operation.kind === 'update' ? cold.readPlace(place) : { id: idOf(operation) }
  frame.hide(operationIf({ put: memory }, 0))
  frame.show({ ...operation, ifSequence: anySequence })
}
