// The errors of this package: one factory for those the core raises and those the checks in TypeScript raise.
//
// Not here: the list of codes. It lives in the core (`errors.def`) and is queried as `addon.errors`, so that
// no side retypes it; a code that a check needs is looked up by name when this module loads.
//
// Misuse (wrong type, shape or range) is a TypeError or a RangeError; anything that can happen to a correct
// program is a ThermoclineError. Both carry `code`, `retryable` and `details`.

import { getSystemErrorMap } from 'node:util'
import { addon, type NativeErrorKind } from './native'

/** Figures that belong to an error, such as `errno`, `offset`, `count` or `index`. */
export type ErrorDetails = Readonly<Record<string, number>>

/** What every error of this package carries besides `message`, `stack` and `cause`. */
export interface ErrorFacts {
  /** Stable within a major version, such as `THERMOCLINE_CONFLICT`. */
  readonly code: string
  /** True when the same call may succeed later without the caller changing anything. */
  readonly retryable: boolean
  /** Figures, such as `errno`; empty when there are none. */
  readonly details: ErrorDetails
}

/** Any error of this package: a ThermoclineError, or a TypeError or RangeError that carries a code. */
export type CodedError = Error & ErrorFacts

/**
 * An operational error: something that can happen to a correct program. Misuse is a TypeError or RangeError
 * with a `code` instead.
 *
 * `name` is `ThermoclineError`, but `AbortError` for THERMOCLINE_ABORTED, as the rest of the platform has it.
 */
export class ThermoclineError extends Error implements ErrorFacts {
  readonly code: string
  readonly retryable: boolean
  readonly details: ErrorDetails

  constructor(
    code: string,
    message: string,
    options: { retryable?: boolean; details?: ErrorDetails; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.details = options.details ?? {}
    if (code === Failure.ABORTED.code) defineName(this, 'AbortError')
  }
}

function defineName(target: object, value: string): void {
  Object.defineProperty(target, 'name', { value, writable: true, configurable: true })
}

// On the prototype, so that it neither shows among an error's own properties nor costs a store per error.
defineName(ThermoclineError.prototype, 'ThermoclineError')

const codePrefix = 'THERMOCLINE_'

function findKind(name: string, kind: NativeErrorKind['kind']): NativeErrorKind {
  const found = addon.errors.find((each) => each.code === codePrefix + name && each.kind === kind)
  if (found === undefined) throw new Error(`thermocline: the native binary knows no ${kind} error ${codePrefix}${name}`)
  return found
}

/** The entries of the core's list that TypeScript raises itself, or tells apart. */
export const Failure = {
  ARGUMENT: findKind('ARGUMENT', 'type'),
  ARGUMENT_RANGE: findKind('ARGUMENT', 'range'),
  NOT_FINITE: findKind('NOT_FINITE', 'range'),
  DIMENSION: findKind('DIMENSION', 'range'),
  KEY_SIZE: findKind('KEY_SIZE', 'range'),
  TOO_LARGE: findKind('TOO_LARGE', 'range'),
  NOT_SUPPORTED: findKind('NOT_SUPPORTED', 'store'),
  CORRUPT: findKind('CORRUPT', 'store'),
  CLOSED: findKind('CLOSED', 'store'),
  FULL: findKind('FULL', 'store'),
  IO: findKind('IO', 'store'),
  POISONED: findKind('POISONED', 'store'),
  MISMATCH: findKind('MISMATCH', 'store'),
  VERSION: findKind('VERSION', 'store'),
  CONFLICT: findKind('CONFLICT', 'store'),
  CHANGES_GONE: findKind('CHANGES_GONE', 'store'),
  EXISTS: findKind('EXISTS', 'store'),
  READ_ONLY: findKind('READ_ONLY', 'store'),
  NOT_FOUND: findKind('NOT_FOUND', 'store'),
  NOT_A_STORE: findKind('NOT_A_STORE', 'store'),
  NETWORK_FS: findKind('NETWORK_FS', 'store'),
  ABORTED: findKind('ABORTED', 'store'),
  BUSY: findKind('BUSY', 'store'),
} as const

/** An error of one entry of the list. Its stack begins at the caller of `maker`. */
function createError(
  kind: NativeErrorKind,
  maker: (...values: never[]) => unknown,
  message: string,
  details: ErrorDetails = {},
  cause?: unknown,
): CodedError {
  const { code, retryable } = kind
  let error: CodedError
  if (kind.kind === 'store') error = new ThermoclineError(code, message, { retryable, details, cause })
  else {
    const misuse = kind.kind === 'type' ? new TypeError(message) : new RangeError(message)
    error = Object.assign(misuse, { code, retryable, details })
  }
  Error.captureStackTrace(error, maker)
  return error
}

/** The error of one entry of the list, of the class that the list gives it. */
export function failure(kind: NativeErrorKind, message: string, details?: ErrorDetails): CodedError {
  return createError(kind, failure, message, details)
}

/** An error of Node's own file functions as FULL or IO, with `errno`; any other error as it is. `what`: of what file. */
export function systemFailure(error: unknown, what: string): unknown {
  const { code, errno } = error as NodeJS.ErrnoException
  if (isThermoclineError(error) || typeof errno !== 'number') return error
  const kind = code === 'ENOSPC' || code === 'EDQUOT' ? Failure.FULL : Failure.IO
  return createError(kind, systemFailure, `${what}: ${String(code)}`, { errno: Math.abs(errno) }, error)
}

/** TypeError THERMOCLINE_ARGUMENT: a value of the wrong type or shape. */
export function wrongType(message: string): CodedError {
  return createError(Failure.ARGUMENT, wrongType, message)
}

/** RangeError THERMOCLINE_ARGUMENT: a value of the right type, but out of its range. */
export function outOfRange(message: string): CodedError {
  return createError(Failure.ARGUMENT_RANGE, outOfRange, message)
}

/** THERMOCLINE_CLOSED, for a call or a wait on a store that was closed. */
export function closedError(): CodedError {
  return createError(Failure.CLOSED, closedError, 'the store is closed')
}

/** The AbortError of an aborted signal, with `signal.reason` as its cause. */
export function abortError(signal: AbortSignal): CodedError {
  return createError(Failure.ABORTED, abortError, 'the operation was aborted', {}, signal.reason)
}

/** THERMOCLINE_NOT_SUPPORTED: part of the contract that this version does not do yet, and never ignores. */
export function notSupported(what: string): CodedError {
  return createError(Failure.NOT_SUPPORTED, notSupported, `${what} is not supported yet`)
}

/** True for every error of this package, misuse included. Cost: two property reads. */
export function isThermoclineError(error: unknown): error is CodedError {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return typeof code === 'string' && code.startsWith(codePrefix)
}

/** Adds figures to an error of this package; any other error (a user's own) is left as it is. */
export function addDetails(error: unknown, details: ErrorDetails): unknown {
  if (isThermoclineError(error)) Object.assign(error, { details: { ...error.details, ...details } })
  return error
}

/**
 * Gives an error of `putMany` its figures: of a wrong memory `count` and `index` alone, as the contract has it; of what
 * befell the store also those that it has.
 */
export function blame(error: unknown, count: number, index: number): unknown {
  if (!isThermoclineError(error) || error instanceof ThermoclineError) return addDetails(error, { count, index })
  return Object.assign(error, { details: { count, index } })
}

/**
 * Gives an error that the native side made after an event-loop turn the stack of the `async` function that
 * awaited it: at its birth there was no JavaScript below it.
 */
export function withAsyncStack(error: unknown): unknown {
  if (error instanceof ThermoclineError) Error.captureStackTrace(error, withAsyncStack)
  return error
}

/** The code of an entry of the core's list by its number, for reports that carry numbers. */
export function codeAt(index: number): string {
  const kind = addon.errors[index]
  return kind === undefined ? Failure.CORRUPT.code : kind.code
}

/** The message with what the system said: `EACCES, permission denied` tells more than any number. */
function withSystemError(message: string, { errno }: ErrorDetails): string {
  const [name, text] = (errno === undefined ? undefined : getSystemErrorMap().get(-errno)) ?? []
  return name === undefined ? message : `${message}: ${name}, ${text}`
}

/** What the addon calls to make an error that it throws or rejects with. */
export function makeError(index: number, message: string, details: ErrorDetails): CodedError {
  // A number outside the list means that binary and list disagree; failing here would hide the message too.
  const kind = addon.errors[index] ?? Failure.CORRUPT
  return createError(kind, makeError, withSystemError(message, details), details)
}

addon.setErrorFactory(makeError)
