// The policy is pure: the same statistics and the same time give the same plan.

import type { Memory } from 'thermocline'
import {
  activationAt,
  decay,
  isHot,
  isWorthRewriting,
  makePolicy,
  planDemotions,
  planForgetting,
  planHot,
  planWarm,
  policyDefaults,
  pressureOf,
  rankMax,
  rankOf,
  reinforced,
  trendOf,
} from 'thermocline/tiers'
import { expect, test } from 'vitest'

const now = 1_800_000_000_000
const day = 86_400_000
const policy = makePolicy()

function memory(activation: number, idleMs: number, more: Partial<Memory> = {}): Memory {
  return {
    id: 'a',
    embedding: null,
    content: null,
    metadata: {},
    confidence: 1,
    createdAt: now - idleMs,
    sequence: 1,
    activation,
    lastAccess: now - idleMs,
    recallCount: 0,
    ...more,
  }
}

test('the defaults are engram’s thresholds', () => {
  expect(policyDefaults).toEqual({
    hotActivation: 0.7,
    demoteActivation: 0.3,
    hotIdleMs: 300_000,
    warmIdleMs: 7 * day,
    trend: -0.2,
    halfLifeMs: 7 * day,
    warmBytes: Infinity,
  })
  expect(makePolicy({ hotActivation: undefined, trend: -1 })).toEqual({ ...policyDefaults, trend: -1 })
})

test('activation halves once per half-life, and nothing is above what was stored', () => {
  expect(activationAt(memory(0.8, 0), now, day)).toBe(0.8)
  expect(activationAt(memory(0.8, day), now, day)).toBe(0.4)
  expect(activationAt(memory(0.8, 3 * day), now, day)).toBe(0.1)
  expect(activationAt(memory(0.8, -day), now, day)).toBe(0.8)
  expect([decay(day, Infinity), decay(day, 0)]).toEqual([1, 0])
})

test('reinforcement raises what is left, up to 1, and lowers nothing', () => {
  expect(reinforced(memory(0.8, day), now, day, 0.3)).toBeCloseTo(0.7)
  expect(reinforced(memory(0.9, 0), now, day, 0.3)).toBe(1)
  expect(reinforced(memory(5, 0), now, day, 0.3)).toBe(5)
})

test('a memory is hot from an activation of now of 0.7', () => {
  expect([isHot(memory(0.7, 0), now, policy), isHot(memory(0.69, 0), now, policy)]).toEqual([true, false])
  expect(isHot(memory(1, 7 * day), now, policy)).toBe(false)
})

test('a hot memory goes down below 0.3, when idle for 5 minutes, or on a falling trend', () => {
  const falling = [1, 1, 1, 0.7, 0.7, 0.7]
  expect(planHot(memory(0.3, 0), [], now, policy)).toBe('keep')
  expect(planHot(memory(0.29, 0), [], now, policy)).toBe('down')
  expect(planHot(memory(1, 300_000), [], now, policy)).toBe('keep')
  expect(planHot(memory(1, 300_001), [], now, policy)).toBe('down')
  expect(planHot(memory(1, 0), falling, now, policy)).toBe('down')
  expect(planHot(memory(1, 0), [1, 0.1], now, policy)).toBe('keep') // too few to be a trend
})

test('a trend is the mean of the later half of ten less that of the earlier', () => {
  expect(trendOf([1, 1, 0.5, 0.5])).toBe(-0.5)
  expect(trendOf([9, 9, 9, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])).toBe(1) // the first three are forgotten
})

test('a warm memory goes to cold below 0.3 or after 7 days without access', () => {
  expect(planWarm(memory(1, 6 * day), now, policy)).toBe('keep')
  expect(planWarm(memory(100, 7 * day + 1), now, policy)).toBe('down')
  expect(planWarm(memory(0.29, 0), now, policy)).toBe('down')
  const perMemory = makePolicy({ halfLifeMs: ({ metadata }) => (metadata.core === true ? Infinity : day) })
  expect(planWarm(memory(1, 3 * day, { metadata: { core: true } }), now, perMemory)).toBe('keep')
  expect(planWarm(memory(1, 3 * day), now, perMemory)).toBe('down')
})

test('pressure has its levels at 70, 85 and 95 percent', () => {
  expect([0.7, 0.71, 0.85, 0.86, 0.95, 0.96].map((share) => pressureOf(share, 1))).toEqual([
    'normal',
    'moderate',
    'moderate',
    'high',
    'high',
    'critical',
  ])
})

test('under pressure the lowest activations go first, and as many as the level says', () => {
  const candidates = Array.from({ length: 100 }, (_, at) => ({
    id: `m${String(at).padStart(2, '0')}`,
    activation: at / 100,
    move: at === 50 ? ('down' as const) : ('keep' as const),
  }))
  expect(planDemotions(candidates, 'normal')).toEqual(['m50'])
  expect(planDemotions(candidates, 'moderate')).toEqual(['m00', 'm01', 'm02', 'm03', 'm04', 'm50'])
  expect(planDemotions(candidates, 'high')).toHaveLength(11)
  expect(planDemotions(candidates, 'critical')).toHaveLength(21)
  expect(planDemotions(candidates, 'critical', 3)).toEqual(['m00', 'm01', 'm02'])
})

test('a file is rewritten when half of it is dead, or when it is small', () => {
  expect([isWorthRewriting(50, 100, 100), isWorthRewriting(51, 100, 100)]).toEqual([true, false])
  expect([isWorthRewriting(25, 25, 100), isWorthRewriting(26, 26, 100)]).toEqual([true, false])
})

test('a rank is the weighted sum of its parts, and never above the bound for its similarity', () => {
  const idle = memory(1, 7 * day)
  expect(rankOf(0.5, idle, now, policy, {})).toBe(0.5)
  expect(rankOf(0.5, idle, now, policy, { recency: 2 })).toBe(1.5)
  expect(rankOf(0.5, idle, now, policy, { similarity: 0, activation: 1 })).toBe(0.5)
  expect(rankOf(0.5, memory(9, 0), now, policy, { activation: 1 })).toBe(1.5) // at most 1 counts
  expect(rankMax(0.5, { recency: 2, activation: 1 })).toBe(3.5)
})

test('forgetting takes the old, the faint, then the faintest beyond a count and a size', () => {
  const memories = Array.from({ length: 10 }, (_, at) => ({
    id: `m${at}`,
    sequence: at + 1,
    activation: at / 10,
    ageMs: at === 9 ? 100 : 1,
    bytes: 10,
  }))
  const nothing = {
    ids: undefined,
    where: undefined,
    olderThanMs: undefined,
    belowActivation: undefined,
    keepCount: undefined,
    keepBytes: undefined,
  }
  const plan = (more: object): string[] =>
    planForgetting(memories, { ...nothing, ...more }).map(({ memory: { id }, reason }) => `${id} ${reason}`)
  expect(plan({})).toEqual([])
  expect(plan({ olderThanMs: 50, belowActivation: 0.2 })).toEqual(['m0 activation', 'm1 activation', 'm9 age'])
  expect(plan({ keepCount: 8 })).toEqual(['m0 count', 'm1 count'])
  expect(plan({ keepBytes: 75 })).toEqual(['m0 bytes', 'm1 bytes', 'm2 bytes'])
  expect(plan({ olderThanMs: 50, keepCount: 8 })).toEqual(['m9 age', 'm0 count'])
})
