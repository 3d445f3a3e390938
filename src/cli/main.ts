// The command line from its arguments to its exit code.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Arguments, commonOptions, type OptionName, parseArguments, wantsJson } from './arguments'
import type { Command } from './command'
import { commands } from './commands/index'
import { Console } from './console'
import { ExitCode, reportOf, usageFailure } from './failure'
import { commandHelp, generalHelp } from './help'

const program = 'thermocline'

function readVersion(): string {
  const text = readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

function findCommand(name: string): Command {
  const command = commands.find((each) => each.name === name)
  if (command !== undefined) return command
  const names = commands.map((each) => each.name).join(', ')
  throw usageFailure(`there is no command '${name}', but ${names}; see ${program} --help`)
}

function checkArguments(command: Command, { positionals, options }: Arguments): void {
  const see = `see ${program} ${command.name} --help`
  const allowed = new Set<OptionName>([...commonOptions, ...command.options])
  for (const option of Object.keys(options) as OptionName[]) {
    if (!allowed.has(option)) throw usageFailure(`there is no option --${option} here; ${see}`)
  }
  const missing = command.parameters.find(({ optional }, at) => optional !== true && at >= positionals.length)
  if (missing !== undefined) throw usageFailure(`<${missing.name}> is missing; ${see}`)
  // What a variable that was not set makes of `"$store"`.
  if (positionals[0] === '') throw usageFailure(`<${command.parameters[0]?.name}> is empty; ${see}`)
  const extra = positionals[command.parameters.length]
  if (extra !== undefined) throw usageFailure(`one argument too many: '${extra}'; ${see}`)
}

/** A command line that is run for its text: --version, --help, `help <command>`. Undefined for any other. */
function findText({ options, positionals: [name, about] }: Arguments): string | undefined {
  if (options.version === true) return `${readVersion()}\n`
  if (name === 'help' && about !== undefined) return commandHelp(findCommand(about))
  if (name === 'help' || (name === undefined && options.help === true)) return generalHelp(commands)
  return name !== undefined && options.help === true ? commandHelp(findCommand(name)) : undefined
}

/** Runs a command line; never rejects. Resolves with the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  // A closed pipe is told to whoever writes; without a listener it would end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  let who = program
  let console = new Console({ json: wantsJson(argv), quiet: false }, process.stdout, process.stderr)
  try {
    const parsed = parseArguments(argv)
    console = new Console(
      { json: parsed.options.json === true, quiet: parsed.options.quiet === true },
      process.stdout,
      process.stderr,
    )
    const text = findText(parsed)
    if (text !== undefined) {
      await console.printResult(
        () => JSON.stringify(text.trimEnd()),
        () => text,
      )
      return ExitCode.done
    }
    const [name, ...positionals] = parsed.positionals
    if (name === undefined) throw usageFailure(`a command is missing; see ${program} --help`)
    const command = findCommand(name)
    who = `${program} ${command.name}`
    checkArguments(command, { positionals, options: parsed.options })
    return await command.run({ positionals, options: parsed.options, console })
  } catch (error) {
    const report = reportOf(error)
    console.printFailure(who, report)
    return report.exitCode
  }
}
