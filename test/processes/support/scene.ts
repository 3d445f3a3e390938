// What every test of several processes shares: its seed and how to replay it, a directory, its children.
//
// THERMOCLINE_SEED=<n> replays one seed; THERMOCLINE_NIGHTLY=1 enlarges the counts. A child that is still there when
// a test ends is killed, stopped ones included; a child whose parent died ends by itself (children/parent.mjs).

import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type OpenOptions, open, type Store } from 'thermocline'
import { test } from 'vitest'
import { randomFrom } from '../../support/memories.mjs'

const seedBound = 2 ** 31
export const isNightly = process.env.THERMOCLINE_NIGHTLY === '1'
export const testMsMax = isNightly ? 4_000_000 : 120_000
const messageMsMax = isNightly ? 1_800_000 : 60_000

/** What a child said, or that it ended. */
export type Message = Record<string, unknown> & { type: string }

export interface Ending {
  code: number | null
  signal: NodeJS.Signals | null
}

/** A child process that runs one of children/*.mjs. */
export class Child {
  readonly process: ChildProcess
  readonly ended: Promise<Ending>
  hasEnded = false
  errorText = ''
  outputText = ''
  readonly #messages: Message[] = []
  #wake: (() => void) | undefined

  constructor(script: string, task: object, environment: Record<string, string> = {}, execPath = process.execPath) {
    this.process = fork(fileURLToPath(new URL(`../children/${script}`, import.meta.url)), [JSON.stringify(task)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'advanced',
      env: { ...process.env, ...environment },
      execArgv: [],
      execPath,
    })
    this.process.stdout?.on('data', (data: Buffer) => {
      this.outputText += data
    })
    this.process.stderr?.on('data', (data: Buffer) => {
      this.errorText += data
    })
    this.process.on('message', (message: Message) => {
      this.#messages.push(message)
      this.#wake?.()
    })
    this.ended = new Promise((resolve) => {
      this.process.on('close', (code, signal) => {
        this.hasEnded = true
        this.#wake?.()
        resolve({ code, signal })
      })
    })
  }

  send(message: object): void {
    if (this.process.connected) this.process.send(message, () => {})
  }

  /**
   * Stops the process and waits until each of its threads has stopped: the signal is sent at once, but on a host that
   * is short of processors a thread may run on for milliseconds.
   */
  async stop(): Promise<void> {
    this.kill('SIGSTOP')
    const tasks = `/proc/${this.process.pid}/task`
    const isStopped = (task: string) =>
      / T /.test(readFileSync(join(tasks, task, 'stat'), 'utf8').replace(/^.*\)/s, ''))
    while (!readdirSync(tasks).every(isStopped)) await new Promise((resolve) => setImmediate(resolve))
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.process.kill(signal)
  }

  async killAndWait(): Promise<Ending> {
    this.kill('SIGKILL')
    return this.ended
  }

  /** The next messages of one type, `count` of them. Fails when the child ends before. */
  async next(type: string, count = 1): Promise<Message[]> {
    const found: Message[] = []
    const deadline = Date.now() + messageMsMax
    for (;;) {
      const at = this.#messages.findIndex((message) => message.type === type)
      if (at >= 0) found.push(...this.#messages.splice(at, 1))
      if (found.length === count) return found
      if (at >= 0) continue
      if (this.hasEnded) {
        const { code, signal } = await this.ended
        throw new Error(`a child ended with ${signal ?? code} before it said ${type}\n${this.errorText}`)
      }
      if (Date.now() > deadline) throw new Error(`hang: a child did not say ${type} in ${messageMsMax} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1000)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** All messages of one type that came so far. */
  taken(type: string): Message[] {
    const found = this.#messages.filter((message) => message.type === type)
    for (const message of found) this.#messages.splice(this.#messages.indexOf(message), 1)
    return found
  }

  /** Waits for an end without signal and with code 0. */
  async expectSuccess(): Promise<void> {
    const { code, signal } = await this.ended
    if (code !== 0) throw new Error(`a child ended with ${signal ?? code}\n${this.errorText}`)
  }
}

export interface Scene {
  readonly seed: number
  readonly random: () => number
  /** An integer from 0 to bound - 1. */
  below(bound: number): number
  /** Empty, removed afterwards. */
  readonly directory: string
  /** A path of that name in the directory. */
  path(name: string): string
  start(script: string, task: object, environment?: Record<string, string>, execPath?: string): Child
  /** A store of this process, closed afterwards at the latest. */
  open(path: string, options?: OpenOptions): Store
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** A test with a seed and a directory of its own, and with children that do not outlive it. */
export function processTest(name: string, body: (scene: Scene) => Promise<void>): void {
  test(name, { timeout: testMsMax }, async ({ task }) => {
    const seed = Number(process.env.THERMOCLINE_SEED ?? Math.floor(Math.random() * seedBound))
    const random = randomFrom(seed)
    const directory = mkdtempSync(join(tmpdir(), 'thermocline-processes-'))
    const children: Child[] = []
    const stores: Store[] = []
    const scene: Scene = {
      seed,
      random,
      below: (bound) => Math.floor(random() * bound),
      directory,
      path: (part) => join(directory, part),
      start(script, childTask, environment, execPath) {
        const child = new Child(script, childTask, environment, execPath)
        children.push(child)
        return child
      },
      open(path, options) {
        const store = open(path, options)
        stores.push(store)
        return store
      },
    }
    const replay = `THERMOCLINE_SEED=${seed} npx vitest run ${task.file.name} -t '${name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}'`
    console.log(`seed ${seed}; replay: ${replay}`)
    try {
      await body(scene)
    } catch (error) {
      if (error instanceof Error) error.message += `\nreplay: ${replay}`
      throw error
    } finally {
      for (const store of stores) store.close()
      await Promise.all(children.filter((child) => !child.hasEnded).map((child) => child.killAndWait()))
      rmSync(directory, { recursive: true, force: true })
    }
  })
}

/** A bound on time, wider where more threads want to run than there are processors: others' work is not our fault. */
export function patience(ms: number): number {
  return ms * Math.max(1, (loadavg()[0] ?? 1) / availableParallelism())
}

/** Value below which p percent of the values lie. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? Number.NaN
}

/** Fails with the count and the first few of the problems. */
export function expectNone(problems: readonly string[]): void {
  if (problems.length === 0) return
  throw new Error(`${problems.length} problems:\n${problems.slice(0, 8).join('\n')}`)
}

/** The name of an error's code, or the error itself where it has none. */
export function codeOf(action: () => unknown): string | undefined {
  try {
    action()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return undefined
}
