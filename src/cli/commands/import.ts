// import: memories from JSON Lines into a store, old or new.
//
// Invariant: whatever ends it but a kill, the store has the memory of every line before the first that it has not.
// So a failure and an interruption name one line, from which to go on.

import { type CodedError, Failure, isThermoclineError, ThermoclineError } from '../../errors'
import { addon } from '../../native'
import type { Store } from '../../store'
import type { MemoryInput, OpenOptions } from '../../types'
import { EncodedMemory, encodeMemory } from '../../warm/memory-input'
import { type OptionValues, readCount, readDurability, readMetric } from '../arguments'
import { argumentAt, type Command, type Invocation, openStore, openStoreIfThere } from '../command'
import { CommandFailure, ExitCode, toCoded, usageFailure } from '../failure'
import { type Input, openInput, standardStream } from '../files'
import { Interruption } from '../interruption'
import { type Line, LineSplitter } from '../line-splitter'
import { parseJson } from '../memory-line'
import { Progress } from '../progress'
import { formatBytes, formatDuration, formatMemories, printable } from '../text'

/** Lines a commit: what the library takes as one. */
const batchLinesMax = 256
const batchBytesMax = 1024 * 1024
/** How far to look for an embedding that tells the dimensions of a new store. */
const lookAheadBytesMax = 64 * 1024 * 1024

interface Batch {
  memories: MemoryInput[]
  /** of the memories, one by one */
  lines: number[]
  bytes: number
}

const emptyBatch = (): Batch => ({ memories: [], lines: [], bytes: 0 })

/** The dimensions that a line tells, if it does; whether it is right otherwise is the store's to say. */
function dimensionsOf(memory: Partial<MemoryInput> | null): number | undefined {
  const embedding = memory?.embedding
  if (!Array.isArray(embedding)) return undefined
  const { length } = embedding
  return length >= 1 && length <= addon.limits.dimensionsMax ? length : undefined
}

class Importer {
  /** Memories in the store. */
  written = 0
  /** The first line that is not in the store. */
  nextLine = 1
  readonly #path: string
  readonly #options: OptionValues
  readonly #openOptions: OpenOptions
  #dimensions: number | undefined
  #store: Store | undefined
  #batch = emptyBatch()

  constructor(path: string, options: OptionValues) {
    this.#path = path
    this.#options = options
    this.#dimensions = readCount(options, 'dimensions')
    this.#openOptions = {
      dimensions: this.#dimensions,
      metric: readMetric(options),
      durability: readDurability(options),
    }
    this.#store = openStoreIfThere(path, options, this.#openOptions)
  }

  /** Sequence of the last write to the store. */
  get sequence(): number {
    return this.#store?.sequence ?? 0
  }

  add(line: Line): void {
    const batch = this.#batch
    const memory = parseJson(line.text, `line ${line.number}`, { line: line.number }) as MemoryInput
    this.#dimensions ??= dimensionsOf(memory)
    batch.memories.push(memory)
    batch.lines.push(line.number)
    batch.bytes += line.bytes
    if (batch.lines.length >= batchLinesMax || batch.bytes >= batchBytesMax) this.commit()
  }

  /** Writes what was added. Until the dimensions of a new store are known, what was added waits. */
  commit(): void {
    const batch = this.#batch
    if (batch.lines.length === 0) return
    this.#store ??= this.#create()
    if (this.#store === undefined) return
    this.#batch = emptyBatch()
    this.#put(this.#store, batch)
    this.nextLine = (batch.lines.at(-1) ?? 0) + 1
  }

  /** The end of the input: commits, and makes a store also of no line. */
  finish(): void {
    this.commit()
    this.#store ??= this.#create()
    if (this.#store !== undefined) return
    throw usageFailure('no line has an embedding that tells the dimensions of a new store: give --dimensions')
  }

  /** Makes what was written durable, as far as that is wanted. */
  async flush(): Promise<void> {
    if (this.#openOptions.durability !== 'none') await this.#store?.flush()
  }

  close(): void {
    this.#store?.close()
  }

  /** An error of a line or of the input, once the lines before it are written. Says how far the import came. */
  refuse(error: unknown): unknown {
    const coded = toCoded(error)
    if (coded === undefined || coded.details.written !== undefined) return error
    this.commit()
    return this.#decorate(coded, '', coded.details.line ?? this.nextLine)
  }

  #create(): Store | undefined {
    const dimensions = this.#dimensions
    if (dimensions !== undefined) {
      this.#checkFirst(dimensions)
      return openStore(this.#path, this.#options, { ...this.#openOptions, dimensions })
    }
    if (this.#batch.bytes < lookAheadBytesMax) return undefined
    const searched = formatBytes(lookAheadBytesMax)
    throw usageFailure(`no embedding in the first ${searched} tells the dimensions of a new store: give --dimensions`)
  }

  /** Throws what is wrong with the first memory, for which no store is to be made. */
  #checkFirst(dimensions: number): void {
    const [memory] = this.#batch.memories
    const [line = 1] = this.#batch.lines
    if (this.#batch.lines.length === 0) return
    try {
      encodeMemory(memory, dimensions, new EncodedMemory())
    } catch (error) {
      throw isThermoclineError(error) ? this.#decorate(error, '', line, `line ${line}: `) : error
    }
  }

  #put(store: Store, { memories, lines }: Batch): void {
    try {
      this.written += store.putMany(memories).count
    } catch (error) {
      if (!isThermoclineError(error)) throw error
      const { count = 0, index = 0 } = error.details
      this.written += count
      // Those before the bad one are good, but were to be committed with it.
      if (index > count) this.written += store.putMany(memories.slice(count, index)).count
      const line = lines[index] ?? this.nextLine
      // Misuse is the fault of the line; the rest could happen to any.
      throw this.#decorate(error, error instanceof ThermoclineError ? 'at ' : '', line, `line ${line}: `)
    }
  }

  #decorate(error: CodedError, preposition: string, line: number, place = ''): CodedError {
    error.message = `${preposition}${place}${error.message}; ${formatMemories(this.written)} written`
    const { count: _count, index: _index, ...details } = error.details
    return Object.assign(error, { details: { ...details, line, written: this.written } })
  }
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && error instanceof Error && error.name === 'AbortError'
}

/**
 * Reads to the end, and resolves with the number of lines; or to an interruption: then undefined, and all complete
 * lines that were read are in the store.
 */
async function importLines(
  input: Input,
  importer: Importer,
  progress: Progress,
  signal: AbortSignal,
): Promise<number | undefined> {
  const splitter = new LineSplitter()
  try {
    for await (const chunk of input.stream as AsyncIterable<Buffer>) {
      for (const line of splitter.push(chunk)) importer.add(line)
      // Not left to wait for more: the input may be somebody who writes a line now and then.
      importer.commit()
      progress.update({ count: importer.written, done: splitter.bytes, total: input.total })
    }
    const last = splitter.end()
    if (last !== undefined) importer.add(last)
    importer.finish()
    return splitter.lines
  } catch (error) {
    if (!isAbort(error, signal)) throw importer.refuse(error)
    return undefined
  }
}

async function runImport(invocation: Invocation): Promise<number> {
  const { console, options, positionals } = invocation
  const path = argumentAt(invocation, 0)
  const interruption = new Interruption()
  const { signal } = interruption
  const startedAt = performance.now()
  const progress = new Progress('importing', console.isTalkative ? console.errors : undefined)
  let input: Input | undefined
  let importer: Importer | undefined
  try {
    // The input first: nothing is created for a file that is not there.
    input = await openInput(positionals[1] ?? standardStream, signal)
    if (input.isTerminal) console.remark('reads memories from the terminal, one JSON object a line, up to Ctrl-D')
    importer = new Importer(path, options)
    const lines = await importLines(input, importer, progress, signal)
    await importer.flush()
    progress.clear()
    const { written, nextLine, sequence } = importer
    if (lines === undefined) {
      const message = `interrupted; ${formatMemories(written)} written, the rest begins at line ${nextLine}`
      const details = { line: nextLine, written }
      throw new CommandFailure(Failure.ABORTED, message, { details, exitCode: interruption.exitCode })
    }
    const time = formatDuration(performance.now() - startedAt)
    const what = `${formatMemories(written)} from ${printable(input.name)} in ${time}`
    await console.printSummary({ written, lines, sequence }, `imported: ${what}`)
    return ExitCode.done
  } finally {
    progress.clear()
    importer?.close()
    input?.close()
    interruption.stop()
  }
}

export const importCommand: Command = {
  name: 'import',
  parameters: [
    { name: 'path', about: 'the directory of the store; created if it is missing' },
    { name: 'file', about: 'where the lines come from; - or nothing: stdin', optional: true },
  ],
  options: ['dimensions', 'metric', 'durability'],
  summary: 'write the memories of JSON Lines into a store',
  notes: [
    'A line is a MemoryInput: { id, embedding?, content?, metadata?, confidence?, createdAt?, activation?,',
    'lastAccess?, recallCount? }. A memory of the same id is replaced. Blank lines are skipped.',
    'A new store has the dimensions of the first embedding, unless --dimensions says otherwise.',
    'A bad line ends the import and is named; the memories of all lines before it are written. So are those that were',
    'read when a signal ends it (exit code 128 and its number). With --json: { written, lines, sequence }.',
  ],
  examples: [
    'thermocline import ./memories memories.jsonl',
    'zcat memories.jsonl.gz | thermocline import ./memories --dimensions 384 --metric dot',
    'tail -n +1001 memories.jsonl | thermocline import ./memories',
  ],
  run: runImport,
}
