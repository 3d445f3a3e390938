// Recall: the memories that a cue means, best first. Reads only; what reinforces is the store's.

import { setImmediate } from 'node:timers/promises'
import { closedError, wrongType } from '../errors'
import type { Memory, SearchOptions, Vector } from '../types'
import { compileFilter } from './filter-match'
import { type Policy, rankMax, rankOf } from './policy'
import { Top } from './score'
import type { CheckedCue } from './tiered-options'
import { absentMemory } from './two-tier-reads'
import type { MemoryStore, RankWeights, Recalled } from './types'

const bySimilarity: RankWeights = { similarity: 1 }
const byRecency: RankWeights = { similarity: 0, recency: 1 }
/** How many more hits than wanted are ranked at first, when more than similarity counts. */
const poolFactor = 8
const poolMin = 64
/** Memories looked at between two turns of the event loop. */
const lookMemories = 512

export interface RecallHost {
  readonly store: MemoryStore
  readonly policy: Policy
  readonly embed: ((text: string) => Vector | Promise<Vector>) | undefined
  isClosed(): boolean
}

export async function recall(host: RecallHost, cue: CheckedCue): Promise<Recalled[]> {
  const query = await makeQuery(host, cue)
  if (host.isClosed()) throw closedError()
  if (cue.id !== undefined) return recallOne(host, cue, cue.id)
  return query === undefined ? await recallAll(host, cue) : await recallSimilar(host, cue, query)
}

async function makeQuery(
  { store, embed }: RecallHost,
  { embedding, text, like }: CheckedCue,
): Promise<Vector | undefined> {
  if (text !== undefined) {
    if (embed === undefined) throw wrongType('a cue of text needs the option embed')
    return await embed(text)
  }
  if (like === undefined) return embedding
  const memory = store.get(like)
  if (memory === undefined) throw absentMemory(like)
  if (memory.embedding === null) throw wrongType('the memory to be like has no embedding')
  return memory.embedding
}

function toRecalled(host: RecallHost, memory: Memory, score: number, rank: number): Recalled {
  // It may have been deleted meanwhile; then it is as good as in warm.
  return { memory, score, rank, tier: host.store.tierOf(memory.id) ?? 'warm' }
}

function recallOne(host: RecallHost, { filter, weights = byRecency }: CheckedCue, id: string): Recalled[] {
  const memory = host.store.get(id)
  if (memory === undefined) return []
  if (filter !== undefined && !compileFilter(filter)(memory, () => memory.metadata)) return []
  return [toRecalled(host, memory, 0, rankOf(0, memory, Date.now(), host.policy, weights))]
}

/** Nothing to be similar to: every memory that the filter means is ranked. */
async function recallAll(host: RecallHost, { filter, limit, weights = byRecency }: CheckedCue): Promise<Recalled[]> {
  const now = Date.now()
  const top = new Top<Memory>(limit, -Infinity)
  let looked = 0
  for (const memory of host.store.entries(filter === undefined ? {} : { where: filter })) {
    const rank = rankOf(0, memory, now, host.policy, weights)
    if (top.wants(rank, memory.sequence)) top.add(rank, memory.sequence, memory)
    if (++looked % lookMemories === 0) await setImmediate()
  }
  return top.kept.map(({ score: rank, place: memory }) => toRecalled(host, memory, 0, rank))
}

/**
 * Hits are taken by similarity until none that is left could rank higher than those that are wanted, whatever else counts:
 * so the ranking is that of all memories.
 */
async function recallSimilar(host: RecallHost, cue: CheckedCue, query: Vector): Promise<Recalled[]> {
  const { filter, limit, minScore, like, weights = bySimilarity } = cue
  const now = Date.now()
  const isPlain = (weights.recency ?? 0) === 0 && (weights.activation ?? 0) === 0
  // The memory to be like is its own best hit.
  const wanted = limit + (like === undefined ? 0 : 1)
  for (let pool = isPlain ? wanted : Math.max(poolMin, wanted * poolFactor); ; pool *= 4) {
    const options: SearchOptions = { limit: pool, minScore, filter }
    const hits = await host.store.search(query, options)
    const ranked = hits
      .filter(({ memory }) => memory.id !== like)
      .map(({ memory, score }) => ({ memory, score, rank: rankOf(score, memory, now, host.policy, weights) }))
      .sort((a, b) => b.rank - a.rank || a.memory.sequence - b.memory.sequence)
      .slice(0, limit)
    const worst = ranked[limit - 1]?.rank ?? -Infinity
    const least = hits[hits.length - 1]?.score ?? -Infinity
    if (isPlain || hits.length < pool || worst >= rankMax(least, weights)) {
      return ranked.map(({ memory, score, rank }) => toRecalled(host, memory, score, rank))
    }
  }
}
