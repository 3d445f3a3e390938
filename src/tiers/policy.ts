// When memories move, and how they rank: pure functions of statistics and the time.
//
// Not here: moving (`mover.ts`), reading (`recall.ts`). Nothing here reads a clock.

import type { Memory } from '../types'
import type { PolicyOptions, PressureLevel, RankWeights } from './types'

const dayMs = 86_400_000
const historyMax = 10

/** The policy with every default filled in. */
export interface Policy {
  readonly hotActivation: number
  readonly demoteActivation: number
  readonly hotIdleMs: number
  readonly warmIdleMs: number
  readonly trend: number
  readonly halfLifeMs: number | ((memory: Memory) => number)
  readonly warmBytes: number
}

/** What applies where an option is omitted: the thresholds of docs/tiers.md. */
export const policyDefaults: Policy = {
  hotActivation: 0.7,
  demoteActivation: 0.3,
  hotIdleMs: 300_000,
  warmIdleMs: 7 * dayMs,
  trend: -0.2,
  halfLifeMs: 7 * dayMs,
  warmBytes: Infinity,
}

/** Fills in the defaults. */
export function makePolicy(options: PolicyOptions = {}): Policy {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return { ...policyDefaults, ...Object.fromEntries(given) }
}

/** Statistics that decide. */
export type Activity = Pick<Memory, 'activation' | 'lastAccess'>

export function halfLifeOf(policy: Policy, memory: Memory): number {
  return typeof policy.halfLifeMs === 'function' ? policy.halfLifeMs(memory) : policy.halfLifeMs
}

/** How much is left of anything that halves once per half-life. An access in the future counts as now. */
export function decay(sinceMs: number, halfLifeMs: number): number {
  if (sinceMs <= 0 || halfLifeMs === Infinity) return 1
  return halfLifeMs <= 0 ? 0 : 2 ** (-sinceMs / halfLifeMs)
}

/** The activation at a time. Lazy: nothing rewrites memories to age them. */
export function activationAt({ activation, lastAccess }: Activity, now: number, halfLifeMs: number): number {
  return activation * decay(now - lastAccess, halfLifeMs)
}

/** The activation to store after an access: raised by `amount`, not beyond 1, and never below what it is. */
export function reinforced(activity: Activity, now: number, halfLifeMs: number, amount: number): number {
  const present = activationAt(activity, now, halfLifeMs)
  return Math.max(present, Math.min(1, present + amount))
}

/** Mean of the later half of the last ten activations minus mean of the earlier half; 0 for fewer than four. */
export function trendOf(history: readonly number[]): number {
  const recent = history.slice(-historyMax)
  if (recent.length < 4) return 0
  const half = recent.length >> 1
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
  return mean(recent.slice(half)) - mean(recent.slice(0, half))
}

/** How full a tier is. */
export function pressureOf(bytes: number, budgetBytes: number): PressureLevel {
  const share = bytes / budgetBytes
  if (share > 0.95) return 'critical'
  if (share > 0.85) return 'high'
  return share > 0.7 ? 'moderate' : 'normal'
}

/** Share of a tier's memories to move because it is full. */
export const pressureShares: Readonly<Record<PressureLevel, number>> = {
  normal: 0,
  moderate: 0.05,
  high: 0.1,
  critical: 0.2,
}

export type Move = 'keep' | 'down'

/** Whether a memory belongs in the hot tier when it is read or written. */
export function isHot(memory: Memory, now: number, policy: Policy): boolean {
  return activationAt(memory, now, halfLifeOf(policy, memory)) >= policy.hotActivation
}

/** What becomes of a memory in the hot tier. `history`: its last activations, oldest first. */
export function planHot(memory: Memory, history: readonly number[], now: number, policy: Policy): Move {
  const activation = activationAt(memory, now, halfLifeOf(policy, memory))
  if (activation < policy.demoteActivation || now - memory.lastAccess > policy.hotIdleMs) return 'down'
  return trendOf(history) < policy.trend ? 'down' : 'keep'
}

/** What becomes of a memory in warm, pressure aside. */
export function planWarm(memory: Memory, now: number, policy: Policy): Move {
  const activation = activationAt(memory, now, halfLifeOf(policy, memory))
  return activation < policy.demoteActivation || now - memory.lastAccess > policy.warmIdleMs ? 'down' : 'keep'
}

/** A memory in a plan. */
export interface Candidate {
  readonly id: string
  readonly activation: number
  readonly move: Move
}

/**
 * Which memories leave warm, lowest activation first: those that their own statistics send, and as many others as the
 * pressure asks for.
 */
export function planDemotions(candidates: readonly Candidate[], pressure: PressureLevel, limit = Infinity): string[] {
  const share = Math.ceil(candidates.length * pressureShares[pressure])
  const ordered = [...candidates].sort((a, b) => a.activation - b.activation || (a.id < b.id ? -1 : 1))
  const chosen = ordered.filter(({ move }, place) => move === 'down' || place < share)
  return chosen.slice(0, limit).map(({ id }) => id)
}

/** Whether a cold file is rewritten: at least half of it dead, or much smaller than a new one would be. */
export function isWorthRewriting(alive: number, entries: number, entriesMax: number): boolean {
  return alive * 2 <= entries || alive * 4 <= entriesMax
}

/** The part of a rank that is not similarity, and the most that it can be. */
export function rankOf(similarity: number, memory: Memory, now: number, policy: Policy, weights: RankWeights): number {
  const halfLife = halfLifeOf(policy, memory)
  const { similarity: bySimilarity = 1, recency = 0, activation = 0 } = weights
  return (
    bySimilarity * similarity +
    recency * decay(now - memory.lastAccess, halfLife) +
    activation * Math.min(1, activationAt(memory, now, halfLife))
  )
}

/** No memory of at most this similarity ranks above this. */
export function rankMax(similarity: number, weights: RankWeights): number {
  const { similarity: bySimilarity = 1, recency = 0, activation = 0 } = weights
  return bySimilarity * similarity + Math.max(0, recency) + Math.max(0, activation)
}
