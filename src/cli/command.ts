// What a command is, and how it comes by its store, tiered or not.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Failure, isThermoclineError } from '../errors'
import { open, openTiered } from '../index'
import type { Store } from '../store'
import type { OpenOptions } from '../types'
import type { OptionName, OptionValues } from './arguments'
import type { Console } from './console'
import { withPlace } from './failure'

export interface Parameter {
  readonly name: string
  readonly about: string
  readonly optional?: boolean
}

/** What a command is run with. Arguments are as many as the command has parameters; optional ones may be missing. */
export interface Invocation {
  readonly positionals: readonly string[]
  readonly options: OptionValues
  readonly console: Console
}

export interface Command {
  readonly name: string
  readonly parameters: readonly Parameter[]
  /** Besides those of every command. */
  readonly options: readonly OptionName[]
  /** One line, for the list of commands. */
  readonly summary: string
  /** What else there is to know, in lines of the help. */
  readonly notes: readonly string[]
  readonly examples: readonly string[]
  /** Resolves with the exit code. */
  run(invocation: Invocation): Promise<number>
}

/** An argument that the command needs; their number has been checked. */
export function argumentAt(invocation: Invocation, index: number): string {
  return invocation.positionals[index] ?? ''
}

/** What the store said of options that are not its own, in terms of the options. */
function explain(error: unknown, { metric }: OpenOptions): unknown {
  if (!isThermoclineError(error) || error.code !== Failure.MISMATCH.code) return error
  error.message = `the store was created with another metric than ${metric}`
  return error
}

/** A command is over too soon for a hot tier, and moves nothing that it was not told to. */
const tiersOfCommand = { hot: { bytes: 0 }, mover: false } as const

/** Opens a store, tiered or not; an error says which. */
export function openStore(path: string, options: OptionValues, openOptions: OpenOptions): Store {
  const all = { ...openOptions, allowNetworkFileSystem: options['allow-network-file-system'] }
  try {
    // A tiered store has no `meta` of its own. An empty path is the library's to refuse.
    const isTiered = path !== '' && existsSync(join(path, 'warm')) && !existsSync(join(path, 'meta'))
    return isTiered ? openTiered(path, { ...all, ...tiersOfCommand }) : open(path, all)
  } catch (error) {
    throw withPlace(explain(error, openOptions), path)
  }
}

/** As openStore, for a store that may be missing: then undefined. */
export function openStoreIfThere(path: string, options: OptionValues, openOptions: OpenOptions): Store | undefined {
  try {
    return openStore(path, options, { ...openOptions, create: false })
  } catch (error) {
    if (isThermoclineError(error) && error.code === Failure.NOT_FOUND.code) return undefined
    throw error
  }
}

/** Opens the store of the first argument, uses it and closes it. `openOptions`: never creates one. */
export async function useStore<T>(
  invocation: Invocation,
  openOptions: OpenOptions,
  use: (store: Store) => Promise<T>,
): Promise<T> {
  const store = openStore(argumentAt(invocation, 0), invocation.options, { ...openOptions, create: false })
  try {
    return await use(store)
  } finally {
    store.close()
  }
}
