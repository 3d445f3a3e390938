// The texts of --help, made from what the commands say of themselves.

import { commonOptions, type OptionName, optionTable } from './arguments'
import type { Command } from './command'
import { formatTable } from './text'

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}

function section(title: string, text: string): string {
  return `\n${title}:\n${indent(text)}`
}

function synopsisOf({ name, parameters, options }: Command): string {
  const places = parameters.map(({ name: parameter, optional }) => (optional ? `[${parameter}]` : `<${parameter}>`))
  return ['thermocline', name, ...places, ...(options.length > 0 ? ['[options]'] : [])].join(' ')
}

function describeOptions(names: readonly OptionName[]): string {
  const rows = names.map((name) => {
    const option = optionTable[name]
    const short = 'short' in option ? `-${option.short}, ` : '    '
    return [`${short}--${name}${option.value === '' ? '' : ` ${option.value}`}`, option.about]
  })
  return formatTable(rows)
}

function lines(texts: readonly string[]): string {
  return `${texts.join('\n')}\n`
}

/** What `thermocline --help` prints. */
export function generalHelp(commands: readonly Command[]): string {
  const list = commands.map((command) => [
    synopsisOf(command)
      .replace(/^thermocline /, '')
      .replace(/ \[options\]$/, ''),
    command.summary,
  ])
  const codes = [
    ['0', 'done'],
    ['1', 'failed'],
    ['2', 'the command line is not as the help says'],
    ['3', 'no such memory or store'],
    ['4', 'verify found problems'],
    ['128+n', 'ended by signal n'],
  ]
  const examples = [
    'thermocline import ./memories memories.jsonl',
    'thermocline search ./memories --like m1 --limit 5',
    'thermocline export ./memories | gzip > memories.jsonl.gz',
    'thermocline import --help',
  ]
  return [
    'thermocline: a look into a store of memories, and its care\n',
    section('Usage', 'thermocline <command> <path> [arguments] [options]\n'),
    section('Commands', formatTable(list)),
    section('Options of every command', describeOptions([...commonOptions, 'version'])),
    section('Exit codes', formatTable(codes)),
    section('Examples', lines(examples)),
  ].join('')
}

/** What `thermocline <command> --help` prints. */
export function commandHelp(command: Command): string {
  const parameters = command.parameters.map(({ name, about }) => [`<${name}>`, about])
  return [
    `${synopsisOf(command)}\n${indent(`${command.summary}\n`)}`,
    section('Arguments', formatTable(parameters)),
    section('Options', describeOptions([...command.options, ...commonOptions])),
    section('Notes', lines(command.notes)),
    section('Examples', lines(command.examples)),
  ].join('')
}
