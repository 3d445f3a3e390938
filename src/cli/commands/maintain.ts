// The commands that look after a store as a whole: compact, backup, salvage. The library does the work.

import { Failure, isThermoclineError } from '../../errors'
import { salvage as salvageStore } from '../../index'
import { argumentAt, type Command, type Invocation, useStore } from '../command'
import { CommandFailure, ExitCode, withPlace } from '../failure'
import { Interruption } from '../interruption'
import { formatBytes, formatCount, formatMemories, printable } from '../text'

/** What a signal makes of an error by which the library says that it gave up: ABORTED, or CLOSED where closing ended it. */
function explainEnd(error: unknown, interruption: Interruption, message: string): unknown {
  const endCodes = [Failure.ABORTED.code, Failure.CLOSED.code]
  if (!interruption.signal.aborted || !isThermoclineError(error) || !endCodes.includes(error.code)) return error
  return new CommandFailure(Failure.ABORTED, message, { exitCode: interruption.exitCode })
}

async function runCompact(invocation: Invocation): Promise<number> {
  const interruption = new Interruption()
  try {
    const { signal } = interruption
    const result = await useStore(invocation, {}, (store) => store.compact({ signal }))
    const { bytesBefore, bytesAfter, moved } = result
    const sizes = `${formatBytes(bytesBefore)} before, ${formatBytes(bytesAfter)} after`
    await invocation.console.printSummary(result, `compacted: ${sizes}, ${formatMemories(moved)} moved`)
    return ExitCode.done
  } catch (error) {
    throw explainEnd(error, interruption, 'interrupted; what was not compacted yet is as it was')
  } finally {
    interruption.stop()
  }
}

async function runBackup(invocation: Invocation): Promise<number> {
  const directory = argumentAt(invocation, 1)
  const interruption = new Interruption()
  try {
    const result = await useStore(invocation, { readOnly: true }, (store) => {
      // A backup has no signal of its own; one that its store's closing ends leaves nothing behind.
      interruption.signal.addEventListener('abort', () => store.close(), { once: true })
      return store.backup(directory)
    })
    const { memories, sequence } = result
    const what = `${formatMemories(memories)} up to sequence ${formatCount(sequence)}`
    await invocation.console.printSummary(result, `backed up: ${what} to ${printable(directory)}`)
    return ExitCode.done
  } catch (error) {
    throw explainEnd(error, interruption, `interrupted; there is nothing at ${directory}`)
  } finally {
    interruption.stop()
  }
}

async function runSalvage(invocation: Invocation): Promise<number> {
  const [from, to] = [argumentAt(invocation, 0), argumentAt(invocation, 1)]
  try {
    const result = await salvageStore(from, to)
    const what = `${formatMemories(result.memories)} to ${printable(to)}, ${formatCount(result.lost)} lost`
    await invocation.console.printSummary(result, `salvaged: ${what}`)
    return ExitCode.done
  } catch (error) {
    throw withPlace(error, from)
  }
}

export const compact: Command = {
  name: 'compact',
  parameters: [{ name: 'path', about: 'the directory of the store' }],
  options: [],
  summary: 'give back the space of replaced and deleted memories',
  notes: ['Others may read and write meanwhile. With --json: { bytesBefore, bytesAfter, moved }.'],
  examples: ['thermocline compact ./memories'],
  run: runCompact,
}

export const backup: Command = {
  name: 'backup',
  parameters: [
    { name: 'path', about: 'the directory of the store' },
    { name: 'directory', about: 'where the copy goes: absent or empty' },
  ],
  options: [],
  summary: 'copy one moment of a store into a directory',
  notes: ['Others may read and write meanwhile. With --json: { memories, sequence }.'],
  examples: ['thermocline backup ./memories ./memories-2026-11-21'],
  run: runBackup,
}

export const salvage: Command = {
  name: 'salvage',
  parameters: [
    { name: 'from', about: 'the directory of a damaged store, tiered or not, left as it is' },
    { name: 'to', about: 'where the new store goes: absent or empty' },
  ],
  options: [],
  summary: 'write what can be read of a damaged store into a new one',
  notes: ['With --json: { memories, lost }.'],
  examples: ['thermocline salvage ./memories ./memories-saved'],
  run: runSalvage,
}
