// How a command fails: the exit codes, and every error as one line or one JSON object.
//
// Not here: the codes of errors. A failure of the command line takes one from the store's own list.

import { addDetails, type CodedError, type ErrorDetails, Failure, isThermoclineError } from '../errors'
import type { NativeErrorKind } from '../native'
import { printable } from './text'

/** What the process ends with. A signal that was obeyed adds 128 to its number, as shells do. */
export const ExitCode = { done: 0, failed: 1, usage: 2, absent: 3, problems: 4 } as const

/** What stderr says of a failure, with `--json` as it stands. */
export interface FailureReport {
  /** From docs/errors.md; the name of the class for an error that should not happen. */
  readonly code: string
  /** One line, safe to print. */
  readonly message: string
  readonly retryable: boolean
  readonly details: ErrorDetails
  readonly exitCode: number
  /** What to do about it, for people. */
  readonly advice?: string | undefined
}

const advices: Record<string, string> = {
  [Failure.CORRUPT.code]: 'thermocline verify says what is damaged, thermocline salvage saves the rest',
  [Failure.POISONED.code]: 'thermocline salvage saves what can be read',
  [Failure.NETWORK_FS.code]: 'locks may not hold there; --allow-network-file-system opens it all the same',
}

/** A failure that the command line itself finds. */
export class CommandFailure extends Error {
  readonly code: string
  readonly retryable: boolean
  readonly details: ErrorDetails
  readonly exitCode: number

  constructor(
    kind: Pick<NativeErrorKind, 'code' | 'retryable'>,
    message: string,
    { details = {}, exitCode }: { details?: ErrorDetails; exitCode?: number } = {},
  ) {
    super(message)
    this.code = kind.code
    this.retryable = kind.retryable
    this.details = details
    this.exitCode = exitCode ?? exitCodeOf(kind.code)
  }
}

function exitCodeOf(code: string): number {
  const isAbsent = code === Failure.NOT_FOUND.code || code === Failure.NOT_A_STORE.code
  return isAbsent ? ExitCode.absent : ExitCode.failed
}

/** A command line that says something else than the help. */
export function usageFailure(message: string): CommandFailure {
  return new CommandFailure(Failure.ARGUMENT, message, { exitCode: ExitCode.usage })
}

/** An error of the store with what it happened to in front of its message; any other as it is. */
export function withPlace(error: unknown, place: string, details: ErrorDetails = {}): unknown {
  if (!isThermoclineError(error)) return error
  error.message = `${place}: ${error.message}`
  return addDetails(error, details)
}

/** True for an error of a call to the operating system, made by Node. */
function isSystemError(error: Error): error is Error & { code: string; errno: number } {
  const { code, errno } = error as { code?: unknown; errno?: unknown }
  return typeof code === 'string' && typeof errno === 'number'
}

const fullCodes = ['ENOSPC', 'EDQUOT']

/** An error with a code of the store's list where it has none: those that Node's own file functions throw. */
export function toCoded(error: unknown): CodedError | undefined {
  if (isThermoclineError(error)) return error
  if (error instanceof CommandFailure) return error
  if (!(error instanceof Error && isSystemError(error))) return undefined
  const kind = fullCodes.includes(error.code) ? Failure.FULL : Failure.IO
  return new CommandFailure(kind, error.message, { details: { errno: Math.abs(error.errno) } })
}

/** Any thrown value as what is printed of it. */
export function reportOf(thrown: unknown): FailureReport {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const coded = toCoded(error)
  if (coded === undefined) {
    const message = printable(error.message)
    return { code: error.name, message, retryable: false, details: {}, exitCode: ExitCode.failed }
  }
  const { code, retryable, details } = coded
  const exitCode = coded instanceof CommandFailure ? coded.exitCode : exitCodeOf(code)
  return { code, message: printable(coded.message), retryable, details, exitCode, advice: advices[code] }
}
