// Forgetting: which memories a policy means, and their deletion. A memory that changed since it was looked at stays.

import { setImmediate } from 'node:timers/promises'
import { closedError, Failure, isThermoclineError } from '../errors'
import type { Memory } from '../types'
import { activationAt, halfLifeOf, type Policy } from './policy'
import type { CheckedForget } from './tiered-options'
import type { TwoTiers } from './two-tiers'
import type { ForgetReason, ForgetResult, MemoryStore } from './types'

/** Memories looked at, or deleted, between two turns of the event loop. */
const turnMemories = 256

export interface ForgetHost {
  readonly store: MemoryStore
  readonly two: TwoTiers
  readonly policy: Policy
  isClosed(): boolean
}

type Forgotten = ForgetResult['forgotten'][number]

/** What is known of a memory that may be forgotten. */
export interface Forgettable {
  readonly id: string
  readonly sequence: number
  readonly activation: number
  readonly ageMs: number
  readonly bytes: number
}

/** Bytes that a memory is: texts, metadata as JSON, embedding. */
export function bytesOfMemory({ id, content, metadata, embedding }: Memory): number {
  const texts = Buffer.byteLength(id) + Buffer.byteLength(content ?? '') + Buffer.byteLength(JSON.stringify(metadata))
  return texts + (embedding?.byteLength ?? 0)
}

/** Which of these a policy means, and why. Pure; the first reason that applies is given. */
export function planForgetting(
  memories: readonly Forgettable[],
  { olderThanMs = Infinity, belowActivation = 0, keepCount = Infinity, keepBytes = Infinity }: CheckedForget,
): { memory: Forgettable; reason: ForgetReason }[] {
  const planned: { memory: Forgettable; reason: ForgetReason }[] = []
  const kept: Forgettable[] = []
  for (const memory of memories) {
    if (memory.ageMs > olderThanMs) planned.push({ memory, reason: 'age' })
    else if (memory.activation < belowActivation) planned.push({ memory, reason: 'activation' })
    else kept.push(memory)
  }
  let count = kept.length
  let bytes = kept.reduce((sum, memory) => sum + memory.bytes, 0)
  for (const memory of kept.sort((a, b) => a.activation - b.activation || a.sequence - b.sequence)) {
    const reason = count > keepCount ? 'count' : bytes > keepBytes ? 'bytes' : undefined
    if (reason === undefined) break
    planned.push({ memory, reason })
    count -= 1
    bytes -= memory.bytes
  }
  return planned
}

/** Looks at every memory that `where` means. */
export async function listForgettable(host: ForgetHost, where: CheckedForget['where']): Promise<Forgettable[]> {
  const now = Date.now()
  const found: Forgettable[] = []
  for (const memory of host.store.entries(where === undefined ? {} : { where })) {
    found.push({
      id: memory.id,
      sequence: memory.sequence,
      activation: activationAt(memory, now, halfLifeOf(host.policy, memory)),
      ageMs: now - memory.createdAt,
      bytes: bytesOfMemory(memory),
    })
    if (found.length % turnMemories === 0) await setImmediate()
  }
  return found
}

/** Deletes; `told` is called for each that is gone. */
export async function forget(
  host: ForgetHost,
  what: CheckedForget,
  told: (gone: Forgotten) => void,
): Promise<Forgotten[]> {
  const forgotten: Forgotten[] = []
  const remove = (id: string, reason: ForgetReason, ifSequence?: number): void => {
    if (host.isClosed()) throw closedError()
    const tier = deleteIf(host.two, id, ifSequence)
    if (tier === undefined) return
    const gone = { id, reason, tier }
    forgotten.push(gone)
    told(gone)
  }
  for (const id of what.ids ?? []) remove(id, 'id')
  const { olderThanMs, belowActivation, keepCount, keepBytes } = what
  const isPolicy = [olderThanMs, belowActivation, keepCount, keepBytes].some((part) => part !== undefined)
  if (!isPolicy) return forgotten
  const planned = planForgetting(await listForgettable(host, what.where), what)
  for (const [done, { memory, reason }] of planned.entries()) {
    if (done % turnMemories === 0) await setImmediate()
    remove(memory.id, reason, memory.sequence)
  }
  return forgotten
}

function deleteIf(two: TwoTiers, id: string, ifSequence: number | undefined): Forgotten['tier'] | undefined {
  try {
    return two.delete(id, ifSequence === undefined ? undefined : { ifSequence })
  } catch (error) {
    if (isThermoclineError(error) && error.code === Failure.CONFLICT.code) return undefined
    throw error
  }
}
