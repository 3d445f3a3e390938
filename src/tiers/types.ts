// Every type of the tiered store: its options, its contract, what its tiers have in common.
//
// Not here: behaviour. `tiered-store.ts` implements MemoryStore, docs/tiers.md argues why no move loses a memory.

import type { Store } from '../store'
import type { Condition, Filter, Hit, Memory, MemoryInput, OpenOptions, Scalar, StoreStats, Vector } from '../types'

/** Where a memory is: decoded in this thread, in mapped files, or in compressed ones. */
export type TierName = 'hot' | 'warm' | 'cold'

/** How cold embeddings are kept. `f32`: bit for bit. `f16` and `int8` round them: docs/tiers.md has what that costs. */
export type ColdEmbeddings = 'f32' | 'f16' | 'int8'

/** How cold texts are compressed. */
export type ColdCodec = 'brotli' | 'deflate'

/** When a memory moves. All are optional; the defaults are in docs/tiers.md. */
export interface PolicyOptions {
  /** Activation from which a memory is kept decoded when it is read or written. Default 0.7. */
  hotActivation?: number | undefined
  /** Activation below which a memory is moved down. Default 0.3. */
  demoteActivation?: number | undefined
  /** Milliseconds without access after which a memory leaves the hot tier. Default 300,000. */
  hotIdleMs?: number | undefined
  /** Milliseconds without access after which a memory goes to cold. Default 7 days. */
  warmIdleMs?: number | undefined
  /** Change of activation over the last ten accesses, below which a memory leaves the hot tier. Default -0.2. */
  trend?: number | undefined
  /** Milliseconds in which activation halves, for all memories or by memory. Default 7 days; Infinity: never. */
  halfLifeMs?: number | ((memory: Memory) => number) | undefined
  /** Bytes that memories in warm should take at most; from 70, 85 and 95 % of it more is moved. Default: no bound. */
  warmBytes?: number | undefined
}

/** What `openTiered` takes: everything that `open` takes, and how the tiers are to be. */
export interface TieredOptions extends OpenOptions {
  /** How much is kept decoded. */
  hot?:
    | {
        /** Most bytes that decoded memories may take, about. Default 32 MiB; 0: no hot tier. */
        bytes?: number | undefined
      }
    | undefined
  /** How cold memories are kept. */
  cold?:
    | {
        /** Default `f32`. Applies to what is moved from now on. */
        embeddings?: ColdEmbeddings | undefined
        /** Default `brotli`. */
        codec?: ColdCodec | undefined
        /** Most memories in a file, 1..65,536. Default 8,192. */
        segmentMemories?: number | undefined
        /** Bytes of cold files kept decoded. Default 64 MiB. */
        cacheBytes?: number | undefined
      }
    | undefined
  /** When a memory moves. */
  policy?: PolicyOptions | undefined
  /**
   * False: memories move only by `maintain`. Otherwise the policy is applied in the background, in one process at a time. It
   * does not keep the process alive.
   */
  mover?:
    | false
    | {
        /** Milliseconds from one time to the next. Default 60,000. */
        intervalMs?: number | undefined
        /** Most memories to move in a second. Default 2,000. */
        memoriesPerSecond?: number | undefined
      }
    | undefined
  /** Makes the embedding of a text, for cues of text. */
  embed?: ((text: string) => Vector | Promise<Vector>) | undefined
}

/** A range of times in milliseconds since the epoch. All that is given must hold. */
export interface TimeCue {
  /** Exclusive. */
  before?: number | undefined
  /** Exclusive. */
  after?: number | undefined
  /** Inclusive at both ends. */
  between?: readonly [number, number] | undefined
}

/** How much each part counts in the ranking of a recall; a part that is omitted counts nothing, but `similarity` 1. */
export interface RankWeights {
  /** Of the similarity, as `search` scores it. Default 1. */
  similarity?: number | undefined
  /** Of 2 to the power of minus the time since the last access in half-lives. Default 0. */
  recency?: number | undefined
  /** Of the activation of now, at most 1. Default 0. */
  activation?: number | undefined
}

/** What to recall: all that is given must hold, and `embedding`, `text` or `like` ranks. At most one of these three. */
export interface Cue {
  /** Those similar to this one. */
  embedding?: Vector | undefined
  /** Those similar to the embedding that the option `embed` makes of this text; needs that option. */
  text?: string | undefined
  /** Id of a memory: those similar to it, itself not among them. */
  like?: string | undefined
  /** This one memory, if all the rest holds for it. */
  id?: string | undefined
  /** Made in this time. */
  createdAt?: TimeCue | undefined
  /** Last accessed in this time. */
  lastAccess?: TimeCue | undefined
  /** A least confidence, or any condition. */
  confidence?: number | Condition | undefined
  /** By path, as in a Filter. */
  metadata?: { [path: string]: Scalar | Condition } | undefined
  /** Whatever a Filter can say besides. */
  filter?: Filter | undefined
  /** Most memories to recall. Default 10. */
  limit?: number | undefined
  /** Least similarity, inclusive. Only with something to be similar to. */
  minScore?: number | undefined
  /** Default: similarity alone; without anything to be similar to, recency alone. */
  weights?: RankWeights | undefined
  /** False: looks only. Default true: what was recalled is reinforced, and promoted from cold. */
  reinforce?: boolean | undefined
}

/** What a recall found. */
export interface Recalled extends Hit {
  /** Rank is by this, highest first: the weighted sum. Ties: lower sequence first. */
  rank: number
  /** Where it was found. */
  tier: TierName
}

/** Which memories to forget. A list of ids, or a policy, of which every part that is given is applied. */
export interface ForgetPolicy {
  /** These, besides what the other parts mean. Not together with `where` (RangeError). */
  ids?: Iterable<string> | undefined
  /** Only among those that it means. Needs one of the parts below. */
  where?: Filter | undefined
  /** Older than this, by `createdAt`, in milliseconds. */
  olderThanMs?: number | undefined
  /** Activation of now below this. */
  belowActivation?: number | undefined
  /** As many of the lowest activation as there are beyond this count. */
  keepCount?: number | undefined
  /** As many of the lowest activation as take the bytes of all beyond this. */
  keepBytes?: number | undefined
}

/** Why a memory was forgotten. */
export type ForgetReason = 'id' | 'age' | 'activation' | 'count' | 'bytes'

/** What `forget` did. */
export interface ForgetResult {
  /** Each memory that is gone. */
  forgotten: { id: string; reason: ForgetReason; tier: TierName }[]
}

/** What `maintain` takes. */
export interface MaintainOptions {
  /** Most memories to move. Default: as many as the policy says. */
  limit?: number | undefined
  /** Demote these to cold whatever the policy says, instead of applying it. */
  demote?: Iterable<string> | undefined
  /** Rewrite every cold file that holds dead memories, not only those that are mostly dead. Default false. */
  compactCold?: boolean | undefined
  /** Rejects with an AbortError once it is aborted; what was moved by then stays moved. */
  signal?: AbortSignal | undefined
}

/** What `maintain` did. */
export interface MaintainResult {
  /** False: another thread or process is moving, so nothing was done here. */
  ran: boolean
  /** Memories that went from warm to cold. */
  demoted: number
  /** Memories of cold files that were written again. */
  rewritten: number
  /** Bytes of cold files that were removed. */
  bytesRemoved: number
  /** Memories that left the hot tier. */
  cooled: number
  /** How full warm is. */
  pressure: PressureLevel
}

/** How full a tier is: from 70, 85, 95 % of its budget on. */
export type PressureLevel = 'normal' | 'moderate' | 'high' | 'critical'

/** Latencies in microseconds, measured on a sample of the calls. */
export interface LatencyStats {
  /** Calls measured. */
  count: number
  /** Microseconds that half of them took at most. */
  p50: number
  /** Microseconds that 99 of 100 took at most. */
  p99: number
  /** Microseconds of the longest. */
  max: number
}

/** Measured figures of one tier. */
export interface TierStats {
  /** Which tier. */
  name: TierName
  /** Hot memories are in warm too, so they do not add up. */
  memories: number
  /** Hot: estimated. Warm and cold: in files. */
  bytes: number
  /** Bytes that it should take at most, by `hot.bytes` and `policy.warmBytes`; null: no bound. */
  budgetBytes: number | null
  /** Reads by id that this handle asked this tier for. */
  reads: number
  /** Those of them that it answered. */
  hits: number
  /** hits / reads; 0 when there were none. */
  hitRate: number
  /** Reads by id that the tier answered. */
  latency: LatencyStats
  /** Memories that came to it through this handle. */
  movedIn: number
  /** Memories that left it through this handle. */
  movedOut: number
}

/** As StoreStats, of all tiers: `memories` counts each once, `bytes.total` has the cold files too. */
export interface MemoryStoreStats extends StoreStats {
  /** Each tier; of cold also its files, and the dead memories in them. */
  tiers: { hot: TierStats; warm: TierStats; cold: TierStats & { segments: number; dead: number } }
}

/** What a MemoryStore tells while it works, in the thread that did it. */
export interface MemoryStoreEvents {
  /**
   * Memories changed their place: the mover took them to cold, or an access or a write brought them from there; `hot` only
   * when a read or write brought them there or the policy took them out.
   */
  migrated: { ids: readonly string[]; from: TierName; to: TierName }
  /** A decoded memory made room for others. It is still in warm. */
  evicted: { id: string; bytes: number }
  /** Memories are gone for good. */
  forgotten: { id: string; reason: ForgetReason; tier: TierName }
  /** The background mover failed; it tries again at its next interval. */
  failed: { error: unknown }
}

/**
 * A store over three tiers: the contract of Store, with recall, reinforcement, forgetting and moves. Get one from
 * `openTiered`.
 *
 * What differs from a Store: moves between warm and cold take sequences of their own, so those of writes have gaps, and a
 * memory that comes back from cold has a new one; `changes` tells writes only, not moves. `locate` knows warm memories.
 * Views of cold memories are copies. `touch` of a cold memory brings it to warm. Ids that begin with U+10FFFF and
 * `thermocline/` are the store's own (ARGUMENT).
 *
 * Threads, processes, errors and durability: as Store; any number of threads and processes may move memories.
 */
export interface MemoryStore extends Store {
  /** Where a memory is; undefined when absent. Errors: KEY_SIZE. Cost: look-ups, nothing is decoded. */
  tierOf(id: string): TierName | undefined

  /**
   * The memories that a cue means, best first; reinforces them, and brings those in cold back to warm, unless told not to.
   * Errors: as `search`; ARGUMENT for a wrong cue, or text without `embed`. Cost: a search, or without anything to be
   * similar to a pass over all; a promoted memory costs a write.
   */
  recall(cue: Cue): Promise<Recalled[]>

  /**
   * Raises a memory's activation of now by `amount` (default 0.3) towards at most 1, and counts an access. False when
   * absent. Statistics only, unless the memory is in cold, which it leaves by a write. Errors: KEY_SIZE, ARGUMENT. Cost: a
   * `get` and a `touch`.
   */
  reinforce(id: string, amount?: number): boolean

  /**
   * The activation of now: what was stored, halved once per half-life since the last access. Undefined when absent. Errors:
   * KEY_SIZE. Cost: a `get`.
   */
  activationOf(id: string): number | undefined

  /**
   * Deletes memories for good: by id, or by a policy. The result names what went. Cold files that hold forgotten memories
   * are rewritten by `maintain`. Errors: ARGUMENT when nothing at all is asked for. Cost: policies read every memory.
   */
  forget(what: string | ForgetPolicy): Promise<ForgetResult>

  /**
   * Puts a memory in the place of another, at one moment, and returns its sequence. Errors: as `put`; CONFLICT when the old
   * one is absent. Cost: as `write`.
   */
  supersede(oldId: string, memory: MemoryInput): number

  /**
   * Puts one memory in the place of many, at one moment, and returns its sequence. Errors: as `put`; CONFLICT when one of
   * them is absent. Cost: as `write`.
   */
  replaceMany(ids: Iterable<string>, memory: MemoryInput): number

  /**
   * Applies the policy now: moves memories, rewrites cold files that are mostly dead, removes what nothing names. Rejects
   * with ABORTED, ARGUMENT, CORRUPT, FULL, IO, POISONED, READ_ONLY, CLOSED; each memory is whole in one tier wherever it ends. Cost:
   * a pass over warm; what moves is read, compressed and, unless `durability` is `'none'`, synced. On the event loop, in
   * steps.
   */
  maintain(options?: MaintainOptions): Promise<MaintainResult>

  /** Figures of all tiers, measured now. Cost: as `Store.stats`. */
  stats(): MemoryStoreStats

  /**
   * Calls `listener` at each event of this handle until the function that it returns is called. What a listener throws becomes
   * an uncaught exception: it undoes nothing of what it was told of. Errors: ARGUMENT.
   */
  on<Event extends keyof MemoryStoreEvents>(
    event: Event,
    listener: (details: MemoryStoreEvents[Event]) => void,
  ): () => void
}

/** What hot, warm and cold have in common. `test/contract/tier-contract.ts` is the suite that each passes. */
export interface Tier {
  /** Which tier it is. */
  readonly name: TierName
  /** Memories in it. */
  readonly size: number
  /** Bytes that it takes. */
  readonly bytes: number
  /** Whether there is a memory of that id. */
  has(id: string): boolean
  /** A memory of the caller's own, equal to what was accepted but for its sequence; undefined when absent. */
  get(id: string): Memory | undefined
  /** Takes memories in, replacing those of the same ids. */
  accept(memories: readonly Memory[]): Promise<void>
  /** False when absent. */
  remove(id: string): boolean
  /** The exact hits, best first, ties by lower sequence. */
  search(query: Float32Array, options: { limit: number; minScore?: number; filter?: Filter }): Hit[]
  /** Each memory once, by sequence. */
  entries(): IterableIterator<Memory>
}
