// The two streams of a command: results on stdout, everything else on stderr.
//
// A reader that closes its end (`thermocline export | head`) has what it wanted: results are then dropped in silence,
// and a command that goes on writing is ended by ReaderGone, without an error.

import type { FailureReport } from './failure'

/** Thrown when nobody reads any more what is written. */
export class ReaderGone extends Error {}

const goneCodes: readonly unknown[] = ['EPIPE', 'ERR_STREAM_DESTROYED']

/** An error of a write, or ReaderGone where that is what it means. */
export function orReaderGone(error: unknown): unknown {
  return goneCodes.includes((error as { code?: unknown }).code) ? new ReaderGone() : error
}

/** A stream as a command may use it: stdout, stderr, or a test's own. */
export interface TextStream {
  readonly isTTY?: boolean
  readonly columns?: number
  hasColors?(): boolean
  write(text: string, done?: (error?: Error | null) => void): unknown
}

const colors = { red: 31, green: 32, bold: 1 } as const

/** Text in a colour where the stream is a terminal that has some; Node knows of NO_COLOR, FORCE_COLOR and TERM. */
export function paint(stream: TextStream, color: keyof typeof colors, text: string): string {
  return stream.hasColors?.() === true ? `\x1b[${colors[color]}m${text}\x1b[0m` : text
}

/** True where a line may be drawn again and again. */
export function isInteractive(stream: TextStream): boolean {
  return stream.isTTY === true && process.env.TERM !== 'dumb'
}

export class Console {
  readonly output: TextStream
  readonly errors: TextStream
  /** `--json`: one JSON value on stdout, errors as one JSON object on stderr, nothing else. */
  readonly json: boolean
  /** `--quiet`: nothing but what was asked for, and errors. */
  readonly quiet: boolean

  constructor(options: { json: boolean; quiet: boolean }, output: TextStream, errors: TextStream) {
    this.json = options.json
    this.quiet = options.quiet
    this.output = output
    this.errors = errors
  }

  /** Whether progress and remarks are wanted. */
  get isTalkative(): boolean {
    return !this.json && !this.quiet
  }

  /** Writes to stdout; resolves when the text is on its way. Rejects with ReaderGone, or an error of the system. */
  write(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.output.write(text, (error) => {
        if (error === undefined || error === null) resolve()
        else reject(orReaderGone(error))
      })
    })
  }

  /** Prints what was asked for: `value` with --json, else the text. */
  async printResult(value: () => string, text: () => string): Promise<void> {
    await this.print(this.json ? `${value()}\n` : text())
  }

  /** Writes to stdout what nobody need read to its end. */
  async print(text: string): Promise<void> {
    try {
      await this.write(text)
    } catch (error) {
      // The work is done, and its exit code still says how it went.
      if (!(error instanceof ReaderGone)) throw error
    }
  }

  /** As printResult, for a sentence that says what was done: --quiet leaves it out. */
  async printSummary(value: object, sentence: string): Promise<void> {
    if (this.quiet && !this.json) return
    await this.printResult(
      () => JSON.stringify(value),
      () => `${sentence}\n`,
    )
  }

  /** A remark on stderr. */
  remark(text: string): void {
    if (this.isTalkative) this.errors.write(`${text}\n`)
  }

  /** One line on stderr, or one JSON object. `who`: the program, with the command if there is one. */
  printFailure(who: string, report: FailureReport): void {
    if (this.json) {
      const { advice: _, ...facts } = report
      this.errors.write(`${JSON.stringify(facts)}\n`)
      return
    }
    const advice = report.advice === undefined ? '' : `; ${report.advice}`
    this.errors.write(`${paint(this.errors, 'red', `${who}:`)} ${report.message}${advice} (${report.code})\n`)
  }
}
