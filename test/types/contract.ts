// Claims about the public types, checked by compiling alone (`types of the tests` of npm test): what is marked as an
// error must be one, everything else must not.

import {
  type Change,
  type CodedError,
  type Condition,
  type Filter,
  type Hit,
  isThermoclineError,
  type JsonObject,
  type Location,
  type LogOffset,
  type Memory,
  type MemoryInput,
  type MemoryPatch,
  type MemoryView,
  type Operation,
  open,
  type SegmentNumber,
  type Store,
  type StoreStats,
  ThermoclineError,
  type VerifyResult,
} from 'thermocline'
import type { ContentLog, WarmTier } from 'thermocline/warm'

/** Compiles only when both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const claim = <_T extends true>(): void => {}

export function claims(store: Store, tier: WarmTier, memory: Memory, view: MemoryView, log: ContentLog): void {
  claim<Same<ReturnType<Store['put']>, number>>()
  claim<Same<ReturnType<Store['get']>, Memory | undefined>>()
  claim<Same<ReturnType<Store['getMany']>, (Memory | undefined)[]>>()
  claim<Same<ReturnType<Store['view']>, MemoryView | undefined>>()
  claim<Same<ReturnType<Store['update']>, boolean>>()
  claim<Same<ReturnType<Store['searchSync']>, Hit[]>>()
  claim<Same<ReturnType<Store['search']>, Promise<Hit[]>>>()
  claim<Same<ReturnType<Store['searchMany']>, Promise<Hit[][]>>>()
  claim<Same<ReturnType<Store['entries']>, IterableIterator<Memory>>>()
  claim<Same<ReturnType<Store['changes']>, AsyncIterableIterator<Change>>>()
  claim<Same<ReturnType<Store['verify']>, Promise<VerifyResult>>>()
  claim<Same<ReturnType<Store['stats']>, StoreStats>>()
  claim<Same<Memory['embedding'], Float32Array | null>>()
  claim<Same<Change['kind'], 'put' | 'update' | 'delete'>>()

  const asStore: Store = tier // WarmTier is a Store
  const input: MemoryInput = memory // what was read can be put back
  const omitted: MemoryInput = { id: 'a', embedding: undefined, content: undefined, metadata: undefined }
  const frozen: MemoryInput = { id: 'a', embedding: [1, 2] as const }
  const patch: MemoryPatch = { content: null }
  const operations: Operation[] = [{ put: input }, { update: 'a', patch }, { delete: 'a' }]
  const metadata: JsonObject = { a: [1, 'x', null, { b: true }] }
  store.write(operations)
  store.put({ ...frozen, metadata }, { ifSequence: 0 })
  open('path', { dimensions: undefined, metric: 'l2', durability: 'commit' })
  const range: Condition = { gte: 1, lt: undefined, exists: true, in: ['a', 1, null], prefix: 'a' }
  const filter: Filter = {
    metadata: { 'a.b': 'x', n: 1, none: null, yes: true, range },
    createdAt: { gt: 0 },
    or: [{ id: { in: ['a'] } }, { not: { confidence: range } }],
    and: undefined,
  }
  store.searchSync([1], { filter })
  store.entries({ where: filter, since: 1 })

  // @ts-expect-error a view is read-only
  view.content = 'x'
  // @ts-expect-error an id is needed
  store.put({ content: 'x' })
  // @ts-expect-error update does not change the embedding
  store.update('a', { embedding: [1, 2, 3] })
  // @ts-expect-error no such metric
  open('path', { metric: 'euclidean' })
  // @ts-expect-error metadata holds JSON values only
  store.put({ id: 'a', metadata: { at: new Date() } })
  // @ts-expect-error a Float64Array is no Vector
  store.searchSync(new Float64Array(3))
  // @ts-expect-error no such part of a filter
  store.entries({ where: { content: { eq: 'x' } } })
  // @ts-expect-error no such part of a condition
  store.entries({ where: { metadata: { a: { like: 'x' } } } })
  // @ts-expect-error a list of values stands behind `in`
  store.searchSync([1], { filter: { metadata: { a: ['x'] } } })
  // @ts-expect-error a variable that was not set is no value
  store.searchSync([1], { filter: { metadata: { a: undefined } } })
  // @ts-expect-error only paths have the short form
  store.searchSync([1], { filter: { createdAt: 5 } })
  // @ts-expect-error a Date is no scalar
  store.searchSync([1], { filter: { createdAt: { gt: new Date() } } })
  // @ts-expect-error size is read-only
  store.size = 5
  // @ts-expect-error an update needs a patch
  const incomplete: Operation = { update: 'a' }
  // @ts-expect-error a raw integer never names a segment
  log.read(1, memory.sequence)
  const { segment, logOffset }: { segment: SegmentNumber; logOffset: LogOffset } = store.locate('a') as Location
  log.read(segment, logOffset)
  // @ts-expect-error offset and segment are different words
  log.read(logOffset, segment)

  const error: unknown = incomplete
  if (isThermoclineError(error)) {
    const coded: CodedError = error
    const details: Readonly<Record<string, number>> = coded.details
    const name: string = new ThermoclineError(coded.code, 'text', { details }).name
    void [name, asStore, omitted]
  }
}
