// The parent's side: a process per subject, rounds that alternate between them.

import { execFile, fork } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const program = fileURLToPath(new URL('./child.mjs', import.meta.url))
/** The last core: the first is where systems handle interrupts. */
const core = String(cpus().length - 1)

/** A subject's process. Commands are answered one after another. */
class SubjectProcess {
  #child
  #waiting = []

  constructor(subject, options, scratch, oneCore = false) {
    this.subject = subject
    const argument = JSON.stringify({ subject, options, scratch })
    // By affinity and not by an option of each subject: it holds for all of them and for their helper threads.
    const launcher = oneCore ? { execPath: 'taskset', execArgv: ['--cpu-list', core, process.execPath] } : {}
    this.#child = fork(program, [argument], { ...launcher, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.ready = this.#answer()
    this.#child.on('message', ({ result, error }) => {
      const { resolve, reject } = this.#waiting.shift()
      if (error === undefined) resolve(result)
      else reject(new Error(`${subject}: ${error}`))
    })
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting) reject(new Error(`${subject} ended with ${signal ?? code}`))
    })
  }

  #answer() {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  get pid() {
    return this.#child.pid
  }

  call(command, parameters) {
    const answer = this.#answer()
    this.#child.send({ command, parameters }, () => {}) // a process that is gone shows by its exit
    return answer
  }

  async end() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.connected) this.#child.send({ command: 'exit' }, () => {})
    await ended
  }
}

async function withProcesses(subjects, { options, scratch, oneCore }, action) {
  mkdirSync(scratch, { recursive: true })
  const processes = subjects.map((subject) => new SubjectProcess(subject, options, scratch, oneCore))
  try {
    await Promise.all(processes.map(({ ready }) => ready))
    return await action(processes)
  } finally {
    await Promise.all(processes.map((process) => process.end()))
  }
}

const tickMs = 10 // of the times in /proc: USER_HZ is 100 on every Linux

/** Processor time in ms that all processes of the machine have used. */
function readMachineTime() {
  const [, user, nice, system] = readFileSync('/proc/stat', 'latin1').split('\n')[0].trim().split(/\s+/).map(Number)
  return (user + nice + system) * tickMs
}

/** Processor time in ms that a process and its ended children have used. */
function readProcessTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * tickMs
}

/** What others did while rounds ran, for the reader of figures from a shared machine. */
class LoadMeter {
  #othersMs = 0
  #ms = 0

  async around(pid, action) {
    const [machine, own, begin] = [readMachineTime(), readProcessTime(pid), performance.now()]
    const result = await action()
    this.#othersMs += readMachineTime() - machine - (readProcessTime(pid) - own)
    this.#ms += performance.now() - begin
    return result
  }

  /** Cores that other processes used on average. */
  get others() {
    return this.#ms === 0 ? 0 : Math.max(0, this.#othersMs / this.#ms)
  }
}

const calmMs = 100
const settleMsMax = 10_000

/**
 * Waits for what earlier rounds left behind, which nobody's round is to pay for. Pages in the cache: Linux holds a
 * writer back once there is too much of them, whoever left them. Threads that go on: LevelDB compacts after its round.
 */
async function settle(processes) {
  await promisify(execFile)('sync')
  const used = () => processes.reduce((sum, { pid }) => sum + readProcessTime(pid), 0)
  for (const begin = performance.now(); performance.now() - begin < settleMsMax; ) {
    const before = used()
    await new Promise((resolve) => setTimeout(resolve, calmMs))
    if (used() - before <= tickMs) return
  }
}

/** Makes the store that the reading rows share (`fill`) or one that outlives the run (`keep`), where it is missing. */
export async function makeStore(command, subject, options, scratch) {
  await withProcesses([subject], { options, scratch }, ([process]) => process.call(command))
}

/**
 * Runs a row: subject by subject in turn, several rounds. Resolves with the figures of each round by subject (results),
 * the error of a subject that failed (failures; it takes no further part), and how many cores others used.
 */
export async function runRow(row, subjects, options, scratch) {
  const rounds = row.once ? 1 : options.rounds
  const results = Object.fromEntries(subjects.map((subject) => [subject, []]))
  const failures = {}
  const meter = new LoadMeter()
  await withProcesses(subjects, { options, scratch, oneCore: row.oneCore }, async (processes) => {
    async function each(order, action) {
      for (const process of order.filter(({ subject }) => !(subject in failures))) {
        await action(process).catch((error) => {
          failures[process.subject] = error.message
          delete results[process.subject]
        })
      }
    }
    await each(processes, (process) => process.call('start', { id: row.id, rounds }))
    for (let round = 0; round < rounds; round += 1) {
      // Each round begins with another subject, so that nobody always follows the same one.
      const first = round % processes.length
      const order = [...processes.slice(first), ...processes.slice(0, first)]
      await each(order, async (process) => {
        await settle(processes.filter(({ subject }) => !(subject in failures)))
        results[process.subject].push(await meter.around(process.pid, () => process.call('round', { round })))
      })
    }
    await each(processes, (process) => process.call('finish'))
  })
  return { results, failures, others: meter.others }
}
