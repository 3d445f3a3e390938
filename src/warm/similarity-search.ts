// Searching: the query checked, the scan asked for, its hits decoded.
//
// Not here: the scan, which the core does, off the event loop for `search`. Hits come back as places of records,
// because decoding needs JavaScript and few memories are hits.

import { closedError, outOfRange, wrongType } from '../errors'
import type { NativeStore } from '../native'
import { type CheckedSearchOptions, describe, metrics, readSearchOptions } from '../options'
import type { Hit } from '../types'
import type { MemoryReader } from './memory-reader'
import type { PendingWork } from './pending-work'
import { copyVector, encodeVector, isZeroVector } from './vector'

/** Each hit comes as score, segment and log offset. */
const numbersPerHit = 3

/** What a search needs of the store around it. */
export interface SearchHost {
  readonly native: NativeStore
  readonly reader: MemoryReader
  readonly pending: PendingWork
  isClosed(): boolean
}

/** Names a search on the thread pool within this environment. */
let lastToken = 0

function checkQuery(query: unknown, native: NativeStore): Float32Array {
  const vector = encodeVector(query, native.dimensions, 'a query')
  // It has no direction, so every score would be an arbitrary 0.
  if (metrics[native.metric] === 'cosine' && isZeroVector(vector)) {
    throw outOfRange('a query must not be all zeros under the cosine metric')
  }
  return vector
}

function decodeHits(triples: Float64Array, reader: MemoryReader): Hit[] {
  const hits: Hit[] = []
  for (let at = 0; at < triples.length; at += numbersPerHit) {
    // Within bounds: the addon returns whole triples.
    const score = triples[at] as number
    hits.push({ memory: reader.readAt(triples[at + 1] as number, triples[at + 2] as number), score })
  }
  return hits
}

/** See `Store.searchSync`. */
export function searchSync(host: SearchHost, query: unknown, options: unknown): Hit[] {
  const { limit, minScore, exact, recall, threads, filter } = readSearchOptions(options)
  const vector = checkQuery(query, host.native)
  return decodeHits(host.native.searchSync(vector, limit, minScore, exact, recall, threads, filter), host.reader)
}

/** See `Store.search`. */
export async function search(host: SearchHost, query: unknown, options: unknown): Promise<Hit[]> {
  const checked = readSearchOptions(options)
  // Copied, because the scan reads it after this call returned.
  const [triples] = await searchOffThread(host, copyVector(checkQuery(query, host.native)), checked)
  return decodeHits(triples as Float64Array, host.reader)
}

/** See `Store.searchMany`. */
export async function searchMany(host: SearchHost, queries: unknown, options: unknown): Promise<Hit[][]> {
  const checked = readSearchOptions(options)
  if (!Array.isArray(queries)) throw wrongType(`queries must be an array of vectors, not ${describe(queries)}`)
  // One by one and by number: a hole is an error too, and what a strange array says of its length makes no room.
  const copies: Float32Array[] = []
  for (let at = 0; at < queries.length; at++) copies.push(copyVector(checkQuery(queries[at], host.native)))
  const { dimensions } = host.native
  const vectors = new Float32Array(copies.length * dimensions)
  for (const [at, copy] of copies.entries()) vectors.set(copy, at * dimensions)
  const found = await searchOffThread(host, vectors, checked)
  return found.map((triples) => decodeHits(triples, host.reader))
}

async function searchOffThread(
  host: SearchHost,
  vectors: Float32Array,
  options: CheckedSearchOptions,
): Promise<Float64Array[]> {
  const { native, pending } = host
  const { limit, minScore, exact, recall, threads, filter } = options
  const token = ++lastToken
  const scan = native.searchMany(vectors, limit, minScore, exact, recall, threads, filter, token)
  const found = await pending.interruptibleToItsEnd(scan, () => native.searchCancel(token), options.signal)
  // The store may have been closed between the scan's end and this turn.
  if (host.isClosed()) throw closedError()
  return found
}
