// SIGINT, SIGTERM and SIGHUP as something that a command can finish its step for.

import { constants } from 'node:os'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
type SignalName = (typeof signals)[number]

/**
 * npm and npx hand a signal on that the terminal has sent to the whole group already, so one Ctrl-C arrives twice.
 * A second one after this time means it, and ends the process at once.
 */
const echoMsMax = 1000

export class Interruption {
  readonly #controller = new AbortController()
  #received: SignalName | undefined
  #receivedAt = 0

  /** Listens until `stop`. */
  constructor() {
    for (const name of signals) process.on(name, this.#receive)
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What shells expect of a process that a signal ended. */
  get exitCode(): number {
    return 128 + constants.signals[this.#received ?? 'SIGINT']
  }

  /** From here on signals do what they do to any process. */
  stop(): void {
    for (const name of signals) process.off(name, this.#receive)
  }

  readonly #receive = (name: SignalName): void => {
    if (this.#received === undefined) {
      this.#received = name
      this.#receivedAt = performance.now()
      this.#controller.abort()
      return
    }
    if (performance.now() - this.#receivedAt < echoMsMax) return
    this.stop()
    process.kill(process.pid, name)
  }
}
