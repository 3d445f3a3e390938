// The command line, parsed: which command, its arguments, its options.

import { parseArgs } from 'node:util'
import { addon } from '../native'
import { durabilities, metrics } from '../options'
import type { Durability, Filter, Metric } from '../types'
import { usageFailure } from './failure'
import { printable } from './text'

/** Every option of every command: how node parses it, how the help shows it. */
export const optionTable = {
  json: { type: 'boolean', value: '', about: 'one JSON value on stdout; errors as one JSON object on stderr' },
  quiet: { type: 'boolean', short: 'q', value: '', about: 'no progress, no summary' },
  help: { type: 'boolean', short: 'h', value: '', about: 'this help' },
  version: { type: 'boolean', short: 'V', value: '', about: 'the version of thermocline' },
  'allow-network-file-system': { type: 'boolean', value: '', about: 'open a store on a network file system' },
  like: { type: 'string', value: '<id>', about: 'nearest to the memory of that id, which is left out' },
  embedding: { type: 'string', value: '<file>', about: 'nearest to the embedding in a file, - for stdin' },
  limit: { type: 'string', short: 'n', value: '<n>', about: 'most memories to find (10)' },
  'min-score': { type: 'string', value: '<score>', about: 'least score of a memory found' },
  filter: { type: 'string', value: '<json>', about: 'only memories that match this Filter' },
  where: { type: 'string', value: '<json>', about: 'only memories that match this Filter' },
  dimensions: { type: 'string', value: '<n>', about: 'of a new store (those of the first embedding)' },
  metric: { type: 'string', value: '<name>', about: `of a new store: ${metrics.join(', ')} (cosine)` },
  durability: { type: 'string', value: '<when>', about: `when to sync: ${durabilities.join(', ')} (flush)` },
} as const

export type OptionName = keyof typeof optionTable
/** Options of every command. */
export const commonOptions: readonly OptionName[] = ['json', 'quiet', 'allow-network-file-system', 'help']

export type OptionValues = {
  [name in OptionName]?: (typeof optionTable)[name]['type'] extends 'boolean' ? boolean : string
}

export interface Arguments {
  readonly positionals: readonly string[]
  readonly options: OptionValues
}

/** Joins what node's parser takes for two options: scores under l2 are never positive. */
function joinNegativeScores(argv: readonly string[]): string[] {
  const joined: string[] = []
  for (const argument of argv) {
    if (joined.at(-1) === '--min-score' && /^-[\d.]/.test(argument)) joined[joined.length - 1] += `=${argument}`
    else joined.push(argument)
  }
  return joined
}

/** Splits a command line into options and the rest. */
export function parseArguments(argv: readonly string[]): Arguments {
  try {
    const args = joinNegativeScores(argv)
    const { values, positionals } = parseArgs({ args, options: optionTable, allowPositionals: true })
    return { options: { ...values }, positionals }
  } catch (error) {
    // Node ends its messages with advice, sometimes on lines of their own.
    const [message = ''] = (error as Error).message.split(/\.?(?:\n| To specify)/)
    const advice = /ambiguous/.test(message) ? 'write --option=-value; ' : ''
    throw usageFailure(`${message.replace(/^./, (letter) => letter.toLowerCase())}; ${advice}see thermocline --help`)
  }
}

/** Whether --json was meant, also on a command line that cannot be parsed. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json')
}

function quote(text: string): string {
  return `'${printable(text)}'`
}

/** An integer of at least one. */
export function readCount(options: OptionValues, name: 'limit' | 'dimensions'): number | undefined {
  const text = options[name]
  if (text === undefined) return undefined
  const max = name === 'dimensions' ? addon.limits.dimensionsMax : Number.MAX_SAFE_INTEGER
  const count = /^\d+$/.test(text) ? Number(text) : 0
  if (count >= 1 && count <= max) return count
  const range = name === 'dimensions' ? `from 1 to ${max}` : 'of at least 1'
  throw usageFailure(`--${name} must be an integer ${range}, not ${quote(text)}`)
}

export function readScore(options: OptionValues): number | undefined {
  const text = options['min-score']
  if (text === undefined) return undefined
  const score = text.trim() === '' ? Number.NaN : Number(text)
  if (Number.isFinite(score)) return score
  throw usageFailure(`--min-score must be a number, not ${quote(text)}`)
}

function readChoice<T extends string>(text: string | undefined, name: string, choices: readonly T[]): T | undefined {
  if (text === undefined) return undefined
  const choice = choices.find((each) => each === text)
  if (choice !== undefined) return choice
  throw usageFailure(`--${name} must be one of ${choices.join(', ')}, not ${quote(text)}`)
}

export function readMetric(options: OptionValues): Metric | undefined {
  return readChoice(options.metric, 'metric', metrics)
}

export function readDurability(options: OptionValues): Durability {
  return readChoice(options.durability, 'durability', durabilities) ?? 'flush'
}

/** A Filter as the user spelt it; the store checks it. */
export function readFilter(options: OptionValues, name: 'filter' | 'where'): Filter | undefined {
  const text = options[name]
  if (text === undefined) return undefined
  try {
    return JSON.parse(text) as Filter
  } catch {
    throw usageFailure(`--${name} must be a Filter in JSON, not ${quote(text)}`)
  }
}
