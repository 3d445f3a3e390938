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

/** Opens the output, fills it, and tidies it if it could not be filled. */
async function exportStore(store: Store, options: EntriesOptions, file: string, console: Console): Promise<Written> {
  const isStandard = file === standardStream
  // Drawn between the lines of a terminal it would be in the way.
  const isShown = console.isTalkative && !(isStandard && console.output.isTTY === true)
  const progress = new Progress('exporting', isShown ? console.errors : undefined)
  // Where there is nothing to tidy signals do what they always do.
  let interruption: Interruption | undefined
  let output: Output | undefined
  const listen = (): void => {
    interruption = new Interruption()
  }
  try {
    output = isStandard ? stdoutAsOutput(console) : await openOutput(file, listen)
    const written = await writeMemories(store, options, output, progress, interruption?.signal)
    await output.finish()
    return written
  } catch (error) {
    if (interruption === undefined || error !== interruption.signal.reason) throw error
    throw new CommandFailure(Failure.ABORTED, `interrupted; ${file} is as it was`, { exitCode: interruption.exitCode })
  } finally {
    progress.clear()
    await output?.abandon()
    interruption?.stop()
  }
}

async function runExport(invocation: Invocation): Promise<number> {
  const { console, options, positionals } = invocation
  const where = readFilter(options, 'where')
  const file = positionals[1] ?? standardStream
  try {
    const written = await useStore(invocation, { readOnly: true }, (store) =>
      exportStore(store, where === undefined ? {} : { where }, file, console),
    )
    if (file === standardStream) return ExitCode.done
    const what = `${formatMemories(written.memories)}, ${formatBytes(written.bytes)}`
    await console.printSummary(written, `exported: ${what} to ${printable(file)}`)
  } catch (error) {
    if (!(error instanceof ReaderGone)) throw error
  }
  return ExitCode.done
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
