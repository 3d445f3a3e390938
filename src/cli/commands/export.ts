// export: every memory of one moment as JSON Lines.

import { Failure } from '../../errors'
import type { Store } from '../../store'
import type { EntriesOptions } from '../../types'
import { readFilter } from '../arguments'
import { type Command, type Invocation, useStore } from '../command'
import { type Console, ReaderGone } from '../console'
import { CommandFailure, ExitCode } from '../failure'
import { type Output, openOutput, standardStream } from '../files'
import { Interruption } from '../interruption'
import { formatMemoryLine } from '../memory-line'
import { Progress } from '../progress'
import { formatBytes, formatMemories, printable } from '../text'

/** Characters that are written at a time: enough to make the calls cheap. */
const chunkCharacters = 256 * 1024

interface Written {
  memories: number
  bytes: number
}

/** Writes the snapshot. Holds one chunk of it at a time. */
async function writeMemories(
  store: Store,
  options: EntriesOptions,
  output: Output,
  progress: Progress,
  signal?: AbortSignal,
): Promise<Written> {
  const written: Written = { memories: 0, bytes: 0 }
  const total = options.where === undefined ? store.size : undefined
  let text = ''
  const flush = async (): Promise<void> => {
    await output.write(text)
    written.bytes += Buffer.byteLength(text)
    text = ''
    progress.update({ count: written.memories, done: written.memories, total })
  }
  for (const memory of store.entries(options)) {
    text += `${formatMemoryLine(memory)}\n`
    written.memories += 1
    if (text.length < chunkCharacters) continue
    await flush()
    signal?.throwIfAborted()
  }
  if (text !== '') await flush()
  return written
}

function stdoutAsOutput(console: Console): Output {
  const nothing = async (): Promise<void> => {}
  return { write: (text) => console.write(text), finish: nothing, abandon: nothing }
}

/** To stdout. Signals do what they always do: there is nothing to tidy. */
async function exportToStdout(invocation: Invocation, options: EntriesOptions): Promise<number> {
  const { console } = invocation
  // Drawn between the lines of a terminal it would be in the way.
  const isShown = console.isTalkative && console.output.isTTY !== true
  const progress = new Progress('exporting', isShown ? console.errors : undefined)
  try {
    await useStore(invocation, { readOnly: true }, (store) =>
      writeMemories(store, options, stdoutAsOutput(console), progress),
    )
  } catch (error) {
    if (!(error instanceof ReaderGone)) throw error
  } finally {
    progress.clear()
  }
  return ExitCode.done
}

async function exportToFile(invocation: Invocation, file: string, options: EntriesOptions): Promise<number> {
  const { console } = invocation
  const interruption = new Interruption()
  const progress = new Progress('exporting', console.isTalkative ? console.errors : undefined)
  try {
    const written = await useStore(invocation, { readOnly: true }, (store) =>
      writeFile(store, options, file, progress, interruption.signal),
    )
    progress.clear()
    const what = `${formatMemories(written.memories)}, ${formatBytes(written.bytes)}`
    await console.printSummary(written, `exported: ${what} to ${printable(file)}`)
    return ExitCode.done
  } catch (error) {
    if (error !== interruption.signal.reason) throw error
    throw new CommandFailure(Failure.ABORTED, `interrupted; ${file} is as it was`, { exitCode: interruption.exitCode })
  } finally {
    progress.clear()
    interruption.stop()
  }
}

async function writeFile(
  store: Store,
  options: EntriesOptions,
  file: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<Written> {
  const output = await openOutput(file)
  try {
    const written = await writeMemories(store, options, output, progress, signal)
    await output.finish()
    return written
  } finally {
    await output.abandon()
  }
}

async function runExport(invocation: Invocation): Promise<number> {
  const where = readFilter(invocation.options, 'where')
  const options: EntriesOptions = where === undefined ? {} : { where }
  const file = invocation.positionals[1] ?? standardStream
  if (file === standardStream) return exportToStdout(invocation, options)
  return exportToFile(invocation, file, options)
}

export const exportCommand: Command = {
  name: 'export',
  parameters: [
    { name: 'path', about: 'the directory of the store' },
    { name: 'file', about: 'where the lines go; - or nothing: stdout', optional: true },
  ],
  options: ['where'],
  summary: 'write every memory as a line of JSON',
  notes: [
    'All lines are of one moment, whatever is written meanwhile, in the order in which the memories were written.',
    'Import makes equal memories of them: embeddings bit for bit, times and statistics as they were.',
    'A file is replaced once all is written. With --json and a file: { memories, bytes }.',
  ],
  examples: [
    'thermocline export ./memories memories.jsonl',
    'thermocline export ./memories | gzip > memories.jsonl.gz',
    'thermocline export ./memories | jq -r "select(.metadata.user == \\"ada\\") | .content"',
  ],
  run: runExport,
}
