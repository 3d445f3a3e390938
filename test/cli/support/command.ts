// The built command as its users run it: a process of its own, its two streams and its exit code.

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { type Memory, type MemoryInput, type OpenOptions, open } from 'thermocline'
import { onTestFinished } from 'vitest'
import { root } from '../../support/processes.js'

export const bin = join(root, 'dist', 'cli', 'thermocline.js')
const commandMsMax = 60_000
const outputBytesMax = 256 * 1024 * 1024

/** A compiled module of the command, for what no process shows. */
export function loadModule<T>(name: string): T {
  return createRequire(import.meta.url)(join(root, 'dist', 'cli', `${name}.js`)) as T
}

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

export interface CommandOptions {
  input?: string | Uint8Array
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** Of Node itself. */
  nodeOptions?: string[]
}

/** Without what would colour or redirect the output of the command. */
function environment(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { NO_COLOR: _no, FORCE_COLOR: _force, NODE_OPTIONS: _options, CI: _ci, ...rest } = process.env
  return { ...rest, ...env }
}

/** Runs `thermocline` with these arguments to its end. */
export function thermocline(args: string[], options: CommandOptions = {}): Outcome {
  const { input = '', cwd, env, nodeOptions = [] } = options
  const child = spawnSync(process.execPath, [...nodeOptions, bin, ...args], {
    cwd,
    env: environment(env),
    input,
    timeout: commandMsMax,
    maxBuffer: outputBytesMax,
  })
  return { code: child.status, stdout: child.stdout.toString('utf8'), stderr: child.stderr.toString('utf8') }
}

/** A running `thermocline`. */
export class Running {
  readonly process: ChildProcessWithoutNullStreams
  readonly ended: Promise<Outcome>
  stdout = ''
  stderr = ''

  constructor(args: string[]) {
    this.process = spawn(process.execPath, [bin, ...args], { env: environment() })
    this.process.stdout.on('data', (data: Buffer) => {
      this.stdout += data.toString('utf8')
    })
    this.process.stderr.on('data', (data: Buffer) => {
      this.stderr += data.toString('utf8')
    })
    this.process.stdin.on('error', () => undefined) // it may end before it has read everything
    this.ended = new Promise((resolve) => {
      this.process.on('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }))
    })
    onTestFinished(() => void this.process.kill('SIGKILL'))
  }
}

const withTerminal = `
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
`

/** Runs `thermocline` in a terminal: the three streams are one. Python makes the terminal; building needs it as well. */
export function thermoclineInTerminal(
  args: string[],
  env: NodeJS.ProcessEnv = {},
): { code: number | null; text: string } {
  const { status, stdout } = spawnSync('python3', ['-c', withTerminal, process.execPath, bin, ...args], {
    env: environment({ TERM: 'xterm-256color', ...env }),
    timeout: commandMsMax,
    maxBuffer: outputBytesMax,
    input: '',
  })
  return { code: status, text: stdout.toString('utf8') }
}

/** What a command said on stderr with --json. */
export function failureIn({ stderr }: Outcome): { code: string; message: string; details: object; exitCode: number } {
  return JSON.parse(stderr)
}

/** Uses a store and closes it. */
export function useStore<T>(directory: string, use: (store: ReturnType<typeof open>) => T, options?: OpenOptions): T {
  const store = open(directory, options)
  try {
    return use(store)
  } finally {
    store.close()
  }
}

/** Makes a store of these memories. */
export function makeStore(
  directory: string,
  memories: MemoryInput[],
  options: OpenOptions = { dimensions: 3 },
): string {
  useStore(directory, (store) => store.putMany(memories), { durability: 'none', ...options })
  return directory
}

/** All memories, in commit order, without their sequences. */
export function memoriesIn(directory: string): Omit<Memory, 'sequence'>[] {
  return useStore(directory, (store) => Array.from(store.entries(), ({ sequence: _, ...memory }) => memory), {
    readOnly: true,
  })
}
