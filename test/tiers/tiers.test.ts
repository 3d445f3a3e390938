// Hot, warm and cold each pass the one contract of a Tier; cold with every way of keeping embeddings and texts.

import { join } from 'node:path'
import { ColdTier, type ColdTierOptions, HotTier, type Tier, WarmAdapter } from 'thermocline/tiers'
import { openWarmTier } from 'thermocline/warm'
import { expect, onTestFinished, test } from 'vitest'
import { tierContract } from '../contract/tier-contract.js'
import { temporaryDirectory } from '../support/temporary.js'

function makeCold(options: Partial<ColdTierOptions> = {}): Tier {
  const directory = temporaryDirectory()
  const warm = openWarmTier(join(directory, 'warm'), { dimensions: 3, durability: 'none' })
  const cold = new ColdTier(warm, join(directory, 'cold'), {
    embeddings: 'f32',
    codec: 'brotli',
    segmentMemories: 8192,
    cacheBytes: 1 << 20,
    isSynced: false,
    ...options,
  })
  onTestFinished(() => {
    cold.close()
    warm.close()
  })
  return cold
}

function makeWarm(): Tier {
  const warm = openWarmTier(temporaryDirectory(), { dimensions: 3, durability: 'none' })
  onTestFinished(() => warm.close())
  return new WarmAdapter(warm)
}

tierContract('hot', () => new HotTier({ bytes: 64 << 20, metric: 'cosine' }))
tierContract('warm', makeWarm)
tierContract('cold', () => makeCold())
tierContract('cold, deflate, small files, no cache', () =>
  makeCold({ codec: 'deflate', segmentMemories: 7, cacheBytes: 0 }),
)
tierContract('cold, f16', () => makeCold({ embeddings: 'f16' }), { isExact: false })
tierContract('cold, int8', () => makeCold({ embeddings: 'int8' }), { isExact: false })

test('the hot budget is never exceeded, and who was not read for longest makes room', async () => {
  const evicted: string[] = []
  const bytes = 100_000
  const tier = new HotTier({ bytes, metric: 'cosine', onEvicted: (id) => evicted.push(id) })
  const memory = (at: number) => ({
    id: `m${at}`,
    embedding: new Float32Array(64).fill(at),
    content: 'x'.repeat(at * 7),
    metadata: { at },
    confidence: 1,
    createdAt: 1,
    sequence: at + 1,
    activation: 1,
    lastAccess: 1,
    recallCount: 0,
  })
  for (let at = 0; at < 200; at++) {
    await tier.accept([memory(at)])
    tier.get('m0')
    expect(tier.bytes).toBeLessThanOrEqual(bytes)
  }
  expect(tier.has('m0')).toBe(true)
  expect(evicted[0]).toBe('m1')
  expect(tier.size + evicted.length).toBe(200)
  expect(tier.keep({ ...memory(1), content: 'y'.repeat(bytes) })).toBe(false)
})
