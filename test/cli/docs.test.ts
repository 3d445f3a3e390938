// Goal: what the documents show is what happens. Method: each `console` block is run, line by line, in one shell and
// one directory a document; the lists of commands and options are compared with the help.

import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'
import { bin, thermocline } from './support/command.js'

const mark = '=== example'

interface Example {
  /** Lines of shell: more than one where a here-document follows. */
  command: string
  /** What it prints; … stands for anything. */
  output: string
}

/** The examples of a chapter of a document: commands follow a dollar, here-documents end with END. */
function examplesIn(document: string, chapter: string): Example[] {
  const whole = readFileSync(join(root, document), 'utf8')
  const [text = ''] = new RegExp(`^${chapter}$.*?(?=^## |$(?!.))`, 'ms').exec(whole) ?? []
  const examples: Example[] = []
  for (const [, block = ''] of text.matchAll(/^```console\n(.*?)^```$/gms)) {
    for (const part of block.split(/^\$ /m).slice(1)) {
      const [first = '', ...rest] = part.split('\n')
      const end = first.includes("<< 'END'") ? rest.indexOf('END') + 1 : 0
      examples.push({ command: [first, ...rest.slice(0, end)].join('\n'), output: rest.slice(end).join('\n') })
    }
  }
  return examples
}

function patternOf(output: string): RegExp {
  const literal = output.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replaceAll('…', '[^]*?')
  return new RegExp(`^${literal}$`)
}

/** Runs commands one after another in one shell; what each printed, on either stream. */
function runAll(commands: string[]): string[] {
  const directory = temporaryDirectory()
  const [tools, work] = [join(directory, 'bin'), join(directory, 'work')]
  for (const folder of [tools, work]) mkdirSync(folder)
  writeFileSync(join(tools, 'thermocline'), `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`)
  chmodSync(join(tools, 'thermocline'), 0o755)
  const script = commands.map((command) => `echo '${mark}'\n${command}\n`).join('')
  const env = { ...process.env, PATH: `${tools}:${process.env.PATH}` }
  const { stdout } = spawnSync('bash', ['-c', `exec 2>&1\n${script}`], { cwd: work, env, encoding: 'utf8' })
  return stdout.split(`${mark}\n`).slice(1)
}

const hasJq = spawnSync('jq', ['--version']).status === 0

test.each([
  ['docs/cli.md', '## Examples'],
  ['README.md', '## Command line'],
])('every example of %s, %s, prints what it shows', (document, chapter) => {
  const examples = examplesIn(document, chapter)
  expect(examples.length).toBeGreaterThan(3)
  const runnable = examples.filter(({ command }) => hasJq || !/\bjq\b/.test(command))
  if (!hasJq) console.log(`without jq: ${examples.length - runnable.length} examples of ${document} left out`)
  const outputs = runAll(runnable.map(({ command }) => command))
  for (const [at, { command, output }] of runnable.entries()) expect(outputs[at], command).toMatch(patternOf(output))
})

test('docs/cli.md lists the commands and options that the help lists, and no others', () => {
  const text = readFileSync(join(root, 'docs', 'cli.md'), 'utf8')
  const commands = [...text.matchAll(/^\| `([a-z]+ [^`]*)` \|/gm)].map(([, synopsis]) => synopsis).sort()
  const help = thermocline(['--help']).stdout
  const list = /^Commands:\n(.*?)\n\n/ms.exec(help)?.[1] ?? ''
  expect(commands).toEqual(
    list
      .split('\n')
      .map((line) => line.trim().split(/ {2,}/)[0])
      .sort(),
  )

  const documented = new Set([...text.matchAll(/^\| `(--[a-z-]+)/gm)].map(([, name]) => name))
  const helps = [help, ...commands.map((synopsis) => thermocline([`${synopsis}`.split(' ')[0] ?? '', '--help']).stdout)]
  const known = new Set(
    helps.flatMap((each) => [...each.matchAll(/^ {2}(?:-\w, | {4})(--[a-z-]+)/gm)].map(([, name]) => name)),
  )
  expect([...documented].sort()).toEqual([...known].sort())
})
