// What a call threw, as a coded error; and what a store holds, to compare before with after.

import { type CodedError, isThermoclineError, type Memory, type Store } from 'thermocline'
import { expect } from 'vitest'

type Misuse = typeof TypeError | typeof RangeError

function checkCoded(error: unknown): CodedError {
  if (!isThermoclineError(error)) throw new Error(`not an error of the package: ${String(error)}`, { cause: error })
  return error
}

/** The coded error that a call throws. Fails when it returns, or throws anything else. */
export function failureOf(action: () => unknown): CodedError {
  let result: unknown
  try {
    result = action()
  } catch (error) {
    return checkCoded(error)
  }
  throw new Error(`nothing was thrown, but ${typeof result} returned`)
}

/** The coded error that a promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<CodedError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => ({ error }),
  )
  if (outcome === undefined) throw new Error('the promise resolved')
  return checkCoded(outcome.error)
}

/** Short name of the code that a call throws with, the prefix left out. */
export function codeOf(action: () => unknown): string {
  return shortCode(failureOf(action))
}

export function shortCode(error: CodedError): string {
  return error.code.replace('THERMOCLINE_', '')
}

/** Asserts class and code of a misuse. */
export function expectMisuse(action: () => unknown, kind: Misuse, code: string): CodedError {
  const error = failureOf(action)
  expect({ kind: error.constructor.name, code: shortCode(error) }).toEqual({ kind: kind.name, code })
  return error
}

/** All that a store shows, for comparisons. */
export function contentsOf(store: Store): { sequence: number; size: number; memories: Memory[] } {
  return { sequence: store.sequence, size: store.size, memories: [...store.entries()] }
}

/** Runs an action and asserts that the store shows the same afterwards. */
export function expectUnchanged<T>(store: Store, action: () => T): T {
  const before = contentsOf(store)
  const result = action()
  expect(contentsOf(store)).toStrictEqual(before)
  return result
}
