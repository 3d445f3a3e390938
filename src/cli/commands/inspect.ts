// The commands that look: stats, verify, get, search. They open the store read-only, so they neither create one nor
// write a memory.

import { Failure, isThermoclineError } from '../../errors'
import type { Store } from '../../store'
import type { MemoryStoreStats } from '../../tiers/types'
import type { Hit, Memory, StoreStats, Vector, VerifyResult } from '../../types'
import { type OptionValues, readCount, readFilter, readScore } from '../arguments'
import { argumentAt, type Command, type Invocation, useStore } from '../command'
import { type Console, paint } from '../console'
import { CommandFailure, ExitCode, usageFailure } from '../failure'
import { readText } from '../files'
import { formatHits, formatMemory, parseJson } from '../memory-line'
import {
  formatBytes,
  formatCount,
  formatMemories,
  formatTable,
  formatTime,
  printable,
  printableLines,
  truncate,
} from '../text'

const limitDefault = 10
/** No store has more memories than that, and one more can still be counted. */
const limitMax = 2 ** 31 - 2
/** How much of a content a list shows where no terminal says how much fits. */
const previewCharacters = 100
const previewCharactersMin = 20
const embeddingElementsShown = 4

const pathParameter = { name: 'path', about: 'the directory of the store, tiered or not' }

/** How the memories of a tiered store lie. */
function describeTiers({ tiers: { warm, cold } }: MemoryStoreStats): string[][] {
  const files = `${formatCount(cold.segments)} ${cold.segments === 1 ? 'file' : 'files'}`
  return [
    ['  warm', formatCount(warm.memories)],
    ['  cold', `${formatCount(cold.memories)} in ${files}, ${formatBytes(cold.bytes)}`],
  ]
}

function describeStats(path: string, stats: StoreStats | MemoryStoreStats): string {
  const { bytes } = stats
  return formatTable([
    ['store', printable(path)],
    ['memories', formatCount(stats.memories)],
    ...('tiers' in stats ? describeTiers(stats) : []),
    ['dimensions', String(stats.dimensions)],
    ['metric', stats.metric],
    ['sequence', `${formatCount(stats.sequence)}, durable up to ${formatCount(stats.durableSequence)}`],
    ['segments', formatCount(stats.segments)],
    ['epoch', `${formatCount(stats.epoch)}${stats.recovered ? ', new: this opening recovered the store' : ''}`],
    ['processes', `${formatCount(stats.participants)}, this one included`],
    ['on disk', formatBytes(bytes.total)],
    ['  blocks', formatBytes(bytes.blocks)],
    ['  log', formatBytes(bytes.log)],
    ['  index', formatBytes(bytes.index)],
    ['  dead', `${formatBytes(bytes.dead)}, which compact gives back`],
    ['  reserved', `${formatBytes(bytes.reserved)}, for what is still to come`],
  ])
}

async function runStats(invocation: Invocation): Promise<number> {
  const stats = await useStore(invocation, { readOnly: true }, async (store) => store.stats())
  await invocation.console.printResult(
    () => JSON.stringify(stats),
    () => describeStats(argumentAt(invocation, 0), stats),
  )
  return ExitCode.done
}

function describeVerification(console: Console, { ok, memories, problems }: VerifyResult): string {
  if (ok) return console.quiet ? '' : `${paint(console.output, 'green', 'ok')}: ${formatMemories(memories)} checked\n`
  const rows = problems.map(({ code, file, offset, id = '' }) => [code, file, String(offset), printable(id)])
  const table = formatTable([['problem', 'file', 'offset', 'id'], ...rows], ['left', 'left', 'right'])
  const verdict = `${formatCount(problems.length)} ${problems.length === 1 ? 'problem' : 'problems'}`
  return `${table}${paint(console.output, 'red', verdict)} in ${formatMemories(memories)}\n`
}

async function runVerify(invocation: Invocation): Promise<number> {
  const { console } = invocation
  try {
    const result = await useStore(invocation, { readOnly: true }, (store) => store.verify())
    await console.printResult(
      () => JSON.stringify(result),
      () => describeVerification(console, result),
    )
    return result.ok ? ExitCode.done : ExitCode.problems
  } catch (error) {
    // Too damaged to be opened: that is what was asked.
    if (!isThermoclineError(error) || error.code !== Failure.CORRUPT.code) throw error
    const { message, details } = error
    throw new CommandFailure(Failure.CORRUPT, message, { details, exitCode: ExitCode.problems })
  }
}

function describeEmbedding(embedding: Float32Array | null): string {
  if (embedding === null) return 'none'
  const shown = Array.from(embedding.subarray(0, embeddingElementsShown), (element) => String(+element.toPrecision(4)))
  const rest = embedding.length > shown.length ? ', …' : ''
  return `[${shown.join(', ')}${rest}] (${formatCount(embedding.length)} dimensions)`
}

function describeMemory(memory: Memory): string {
  const table = formatTable([
    ['id', printable(memory.id)],
    ['sequence', formatCount(memory.sequence)],
    ['created', formatTime(memory.createdAt)],
    ['last access', formatTime(memory.lastAccess)],
    ['recalled', `${formatCount(memory.recallCount)} times`],
    ['activation', String(memory.activation)],
    ['confidence', String(memory.confidence)],
    ['embedding', describeEmbedding(memory.embedding)],
    ['metadata', printable(JSON.stringify(memory.metadata))],
    ['content', memory.content === null ? 'none' : formatBytes(Buffer.byteLength(memory.content))],
  ])
  return memory.content === null ? table : `${table}\n${printableLines(memory.content)}\n`
}

function requireMemory(store: Store, path: string, id: string): Memory {
  const memory = store.get(id)
  if (memory !== undefined) return memory
  throw new CommandFailure(Failure.NOT_FOUND, `${path}: there is no memory '${id}'`)
}

async function runGet(invocation: Invocation): Promise<number> {
  const [path, id] = [argumentAt(invocation, 0), argumentAt(invocation, 1)]
  const memory = await useStore(invocation, { readOnly: true }, async (store) => requireMemory(store, path, id))
  await invocation.console.printResult(
    () => formatMemory(memory),
    () => describeMemory(memory),
  )
  return ExitCode.done
}

/** The embedding in a file: an array of numbers, or a memory that has one, as `get --json` prints it. */
async function readEmbedding(file: string): Promise<Vector> {
  const what = file === '-' ? 'stdin' : file
  const value = parseJson(await readText(file), what)
  const isMemory = typeof value === 'object' && value !== null && 'embedding' in value
  const embedding: unknown = isMemory ? value.embedding : value
  // Elements are the store's to check.
  if (Array.isArray(embedding)) return embedding as number[]
  throw new CommandFailure(Failure.ARGUMENT, `${what} holds no array of numbers, nor a memory with an embedding`)
}

interface Question {
  readonly limit: number
  readonly minScore: number | undefined
  readonly filter: ReturnType<typeof readFilter>
}

function readQuestion(options: OptionValues): Question {
  return {
    limit: Math.min(readCount(options, 'limit') ?? limitDefault, limitMax),
    minScore: readScore(options),
    filter: readFilter(options, 'filter'),
  }
}

async function searchLike(store: Store, path: string, id: string, question: Question): Promise<Hit[]> {
  const { embedding } = requireMemory(store, path, id)
  if (embedding === null) throw new CommandFailure(Failure.ARGUMENT, `${path}: memory '${id}' has no embedding`)
  // One more, because the memory itself is among them, unless many others are equal to it.
  const hits = await store.search(embedding, { ...question, limit: question.limit + 1 })
  return hits.filter(({ memory }) => memory.id !== id).slice(0, question.limit)
}

function describeHits(console: Console, hits: readonly Hit[]): string {
  if (hits.length === 0) return console.quiet ? '' : 'no memory found\n'
  const heads = hits.map(({ score, memory }) => [score.toFixed(4), printable(memory.id)])
  const taken = Math.max(...heads.map(([score = '', id = '']) => score.length + id.length)) + 4
  const room = Math.max(previewCharactersMin, (console.output.columns || previewCharacters + taken) - taken)
  const rows = hits.map(({ memory }, at) => {
    const content = memory.content ?? ''
    // Escapes make it longer, so it is cut before, lest all of a long content be escaped, and after.
    return [...(heads[at] ?? []), truncate(printable(truncate(content, room)), room)]
  })
  return formatTable([['score', 'id', 'content'], ...rows], ['right'])
}

async function runSearch(invocation: Invocation): Promise<number> {
  const { options, console } = invocation
  const { like, embedding: file } = options
  if ((like === undefined) === (file === undefined)) {
    throw usageFailure('search takes either --like <id> or --embedding <file>')
  }
  const question = readQuestion(options)
  const query = file === undefined ? undefined : await readEmbedding(file)
  const hits = await useStore(invocation, { readOnly: true }, async (store) => {
    if (query !== undefined) return store.search(query, question)
    return searchLike(store, argumentAt(invocation, 0), like as string, question)
  })
  await console.printResult(
    () => formatHits(hits),
    () => describeHits(console, hits),
  )
  return ExitCode.done
}

export const stats: Command = {
  name: 'stats',
  parameters: [pathParameter],
  options: [],
  summary: 'figures of a store',
  notes: ['With --json: the StoreStats of the library; of a tiered store its MemoryStoreStats.'],
  examples: ['thermocline stats ./memories', 'thermocline stats ./memories --json | jq .bytes.total'],
  run: runStats,
}

export const verify: Command = {
  name: 'verify',
  parameters: [pathParameter],
  options: [],
  summary: 'check every stored byte that has a checksum',
  notes: [
    'Exit code 4 when something is wrong, also when the store is too damaged to be opened.',
    'With --json: { ok, memories, problems: [{ code, file, offset, id? }] }.',
  ],
  examples: ['thermocline verify ./memories', 'thermocline verify ./memories --quiet || echo damaged'],
  run: runVerify,
}

export const get: Command = {
  name: 'get',
  parameters: [pathParameter, { name: 'id', about: 'of the memory; after -- if it begins with a dash' }],
  options: [],
  summary: 'show one memory',
  notes: ['Exit code 3 when there is none. With --json: the memory, as import takes it.'],
  examples: ['thermocline get ./memories m1', 'thermocline get ./memories m1 --json | jq -r .content'],
  run: runGet,
}

export const search: Command = {
  name: 'search',
  parameters: [pathParameter],
  options: ['like', 'embedding', 'limit', 'min-score', 'filter'],
  summary: 'find the memories nearest to an embedding',
  notes: [
    'The file of --embedding holds a JSON array of numbers, or a memory as get --json prints it.',
    'Higher scores are better. With --json: an array of { score, memory }.',
  ],
  examples: [
    'thermocline search ./memories --like m1 --limit 5',
    'echo "[0.1, 0.9, 0]" | thermocline search ./memories --embedding -',
    'thermocline get ./memories m1 --json | thermocline search ./others --embedding - --json | jq -r ".[].memory.id"',
  ],
  run: runSearch,
}
