// A memory as one line of JSON that gives the same memory when it is read again.
//
// JSON.stringify alone would not: it writes -0 as 0 and a Float32Array as an object.

import { type ErrorDetails, Failure } from '../errors'
import type { Hit, Memory } from '../types'
import { encodeMetadata } from '../warm/metadata-encoder'
import { CommandFailure } from './failure'
import { formatFloats } from './float-text'

function formatNumber(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** All of a MemoryInput, without braces. */
function formatProperties(memory: Memory): string {
  const embedding = memory.embedding === null ? 'null' : formatFloats(memory.embedding)
  return (
    `"id":${JSON.stringify(memory.id)},"embedding":${embedding}` +
    `,"content":${JSON.stringify(memory.content)},"metadata":${encodeMetadata(memory.metadata)}` +
    `,"confidence":${formatNumber(memory.confidence)},"createdAt":${formatNumber(memory.createdAt)}` +
    `,"activation":${formatNumber(memory.activation)},"lastAccess":${formatNumber(memory.lastAccess)}` +
    `,"recallCount":${formatNumber(memory.recallCount)}`
  )
}

/** A MemoryInput in JSON on one line, without its newline. Equal memories give equal lines. */
export function formatMemoryLine(memory: Memory): string {
  return `{${formatProperties(memory)}}`
}

/** The same with the sequence, which an import ignores. */
export function formatMemory(memory: Memory): string {
  return `{${formatProperties(memory)},"sequence":${memory.sequence}}`
}

/** Hits as a JSON array. */
export function formatHits(hits: readonly Hit[]): string {
  return `[${hits.map(({ score, memory }) => `{"score":${formatNumber(score)},"memory":${formatMemory(memory)}}`).join(',')}]`
}

/** JSON of the user's. `what` names its place in the message, `details` in the error. */
export function parseJson(text: string, what: string, details: ErrorDetails = {}): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CommandFailure(Failure.ARGUMENT, `${what} is not JSON: ${(error as SyntaxError).message}`, { details })
  }
}
