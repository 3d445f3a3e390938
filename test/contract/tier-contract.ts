// The contract of a Tier (src/tiers/types.ts), as a suite that hot, warm and cold each adopt in one line:
//
//   tierContract('hot', makeHot)
//
// `makeTier` gives an empty tier of three dimensions and the cosine metric. `isExact`: embeddings come back bit for bit.

import type { Filter, Memory } from 'thermocline'
import type { Tier } from 'thermocline/tiers'
import { describe, expect, test } from 'vitest'

export interface TierContractOptions {
  isExact?: boolean
}

const base: Memory = {
  id: 'full',
  embedding: new Float32Array([0.5, -1, 2]),
  content: 'all of it: ü 🌊 \u0000',
  metadata: { a: 1, b: ['x', null, { deep: -0 }], __proto: 'no' },
  confidence: 0.25,
  createdAt: 1_600_000_000_000.5,
  sequence: 7,
  activation: 0.5,
  lastAccess: 1_700_000_000_000,
  recallCount: 7,
}

function memory(id: string, more: Partial<Memory> = {}): Memory {
  return { ...base, id, ...more }
}

/** What a tier keeps of a memory: everything but the sequence, which warm gives anew. */
function facts({ sequence: _, embedding, ...rest }: Memory): unknown {
  return { ...rest, embedding: embedding === null ? null : [...embedding] }
}

export function tierContract(
  name: string,
  makeTier: () => Tier | Promise<Tier>,
  { isExact = true }: TierContractOptions = {},
): void {
  const expectSame = (found: Memory | undefined, wanted: Memory): void => {
    if (isExact) expect(found && facts(found)).toStrictEqual(facts(wanted))
    else {
      expect(found && { ...found, embedding: null, sequence: 0 }).toStrictEqual({
        ...wanted,
        embedding: null,
        sequence: 0,
      })
      for (const [at, value] of (wanted.embedding ?? []).entries()) {
        expect(found?.embedding?.[at]).toBeCloseTo(value, 1)
      }
    }
  }

  describe(`${name} keeps the contract of a Tier`, () => {
    test('an empty tier has nothing, finds nothing, and loses nothing', async () => {
      const tier = await makeTier()
      expect([tier.size, tier.has('a'), tier.get('a'), tier.remove('a')]).toEqual([0, false, undefined, false])
      expect([...tier.entries()]).toEqual([])
      expect(tier.search(new Float32Array([1, 0, 0]), { limit: 5 })).toEqual([])
      await tier.accept([])
      expect(tier.size).toBe(0)
    })

    test('a memory comes back as it was accepted, all of it', async () => {
      const tier = await makeTier()
      const memories = [
        memory('full'),
        memory('none', { embedding: null, content: null, metadata: {}, sequence: 8 }),
        memory('empty', { content: '', sequence: 9 }),
        memory('ü🌊', { content: 'x'.repeat(200_000), sequence: 10 }),
        memory('i'.repeat(511), { metadata: { '': { 'a.b': [] } }, sequence: 11 }),
        memory('-0', { metadata: { zero: -0, text: '-0' }, createdAt: -0.5, sequence: 12 }),
      ]
      await tier.accept(memories)
      expect(tier.size).toBe(memories.length)
      for (const each of memories) {
        expect(tier.has(each.id)).toBe(true)
        expectSame(tier.get(each.id), each)
      }
      expect(Object.is(tier.get('-0')?.metadata.zero, -0)).toBe(true)
    })

    test('null and empty content stay different', async () => {
      const tier = await makeTier()
      await tier.accept([memory('null', { content: null }), memory('empty', { content: '', sequence: 8 })])
      expect([tier.get('null')?.content, tier.get('empty')?.content]).toEqual([null, ''])
    })

    test('what is read is the reader’s own', async () => {
      const tier = await makeTier()
      await tier.accept([memory('a')])
      const read = tier.get('a') as Memory
      read.embedding?.fill(9)
      read.metadata.a = 'changed'
      ;(read.metadata.b as unknown[]).length = 0
      expectSame(tier.get('a'), memory('a'))
    })

    test('accepting an id again replaces it', async () => {
      const tier = await makeTier()
      await tier.accept([memory('a'), memory('b', { sequence: 8 })])
      await tier.accept([memory('a', { content: 'newer', sequence: 9 })])
      expect([tier.size, tier.get('a')?.content]).toEqual([2, 'newer'])
      await tier.accept([memory('c', { content: '1', sequence: 10 }), memory('c', { content: '2', sequence: 11 })])
      expect([tier.size, tier.get('c')?.content]).toEqual([3, '2'])
    })

    test('what is removed is gone from every read', async () => {
      const tier = await makeTier()
      await tier.accept([memory('a'), memory('b', { sequence: 8 })])
      expect([tier.remove('a'), tier.remove('a')]).toEqual([true, false])
      expect([tier.size, tier.has('a'), tier.get('a')]).toEqual([1, false, undefined])
      expect([...tier.entries()].map(({ id }) => id)).toEqual(['b'])
      expect(tier.search(new Float32Array([0, 0, 1]), { limit: 5 }).map((hit) => hit.memory.id)).toEqual(['b'])
      await tier.accept([memory('a', { sequence: 9 })])
      expect([tier.size, tier.has('a')]).toEqual([2, true])
    })

    test('entries tells each memory once, by sequence', async () => {
      const tier = await makeTier()
      const ids = Array.from({ length: 60 }, (_, at) => `m${at}`)
      const all = ids.map((id, at) => memory(id, { sequence: at + 1, content: id }))
      await tier.accept(all.slice(0, 40))
      await tier.accept(all.slice(40))
      expect([...tier.entries()].map(({ id }) => id)).toEqual(ids)
      const sequences = [...tier.entries()].map(({ sequence }) => sequence)
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b))
    })

    test('search finds the best, with ties by sequence, a least score and a filter', async () => {
      const tier = await makeTier()
      await tier.accept([
        memory('x', { embedding: new Float32Array([1, 0, 0]), metadata: { k: 1 }, sequence: 1 }),
        memory('y', { embedding: new Float32Array([0, 1, 0]), metadata: { k: 2 }, sequence: 2 }),
        memory('x2', { embedding: new Float32Array([2, 0, 0]), metadata: { k: 3 }, sequence: 3 }),
        memory('none', { embedding: null, sequence: 4 }),
        memory('zero', { embedding: new Float32Array(3), metadata: { k: 4 }, sequence: 5 }),
      ])
      const query = new Float32Array([1, 0, 0])
      const found = (options: { limit: number; minScore?: number; filter?: Filter }): unknown =>
        tier.search(query, options).map(({ memory: { id }, score }) => [id, score])
      expect(found({ limit: 10 })).toEqual([
        ['x', 1],
        ['x2', 1],
        ['y', 0],
        ['zero', 0],
      ])
      expect(found({ limit: 1 })).toEqual([['x', 1]])
      expect(found({ limit: 10, minScore: 1 })).toEqual([
        ['x', 1],
        ['x2', 1],
      ])
      expect(found({ limit: 1, filter: { metadata: { k: { gt: 1 } } } })).toEqual([['x2', 1]])
    })

    test('size and bytes grow with what is in it', async () => {
      const tier = await makeTier()
      const before = tier.bytes
      await tier.accept(
        Array.from({ length: 300 }, (_, at) => memory(`m${at}`, { sequence: at + 1, content: `${at}`.repeat(300) })),
      )
      expect(tier.size).toBe(300)
      expect(tier.bytes).toBeGreaterThan(before)
    })
  })
}
