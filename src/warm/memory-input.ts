// Memories and patches as the caller gives them, checked and encoded for the addon.
//
// Not here: finiteness of Float32Arrays and sizes beyond the quick checks, which the core decides.
//
// Invariant 1: all code of the caller (accessors, proxies) runs before the target is touched, so that a call on the
// same store from inside an accessor cannot mix two memories in one target.
// Invariant 2: each property is read once.

import { Failure, failure, wrongType } from '../errors'
import { addon } from '../native'
import { checkInteger, checkNumber, describe } from '../options'
import { checkId } from './memory-id'
import { encodeMetadata } from './metadata-encoder'
import { encodeVector } from './vector'

const { contentBytesMax } = addon.limits
const {
  confidence: CONFIDENCE,
  createdAt: CREATED_AT,
  activation: ACTIVATION,
  lastAccess: LAST_ACCESS,
  recallCount: RECALL_COUNT,
} = addon.numberAt

/** A memory ready for the addon. Reused by its owner from one memory to the next. */
export class EncodedMemory {
  id = ''
  /** The caller's own array where it could be used as it is: hand it over before other code can run. */
  embedding: Float32Array | null = null
  content: string | null = null
  /** JSON text; undefined for `{}` */
  metadata: string | undefined = undefined
  confidence = 1
  createdAt = 0.5 // a fraction, so that V8 stores the field as a double from the start
  activation = 1
  lastAccess = 0.5
  recallCount = 0

  /** Puts the numbers where the addon reads them. */
  stageNumbers(numbers: Float64Array): void {
    numbers[CONFIDENCE] = this.confidence
    numbers[CREATED_AT] = this.createdAt
    numbers[ACTIVATION] = this.activation
    numbers[LAST_ACCESS] = this.lastAccess
    numbers[RECALL_COUNT] = this.recallCount
  }

  /** Lets go of what may be large. */
  release(): void {
    this.embedding = null
    this.content = null
    this.metadata = undefined
  }
}

/** A patch ready for the addon. */
export interface EncodedPatch {
  readonly content: string | null | undefined
  /** JSON text; undefined leaves it, so that here `{}` is spelt out */
  readonly metadata: string | undefined
  /** NaN leaves it */
  readonly confidence: number
}

function checkObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrongType(`${what} must be an object, not ${describe(value)}`)
  }
  return value as Record<string, unknown>
}

function rejectKey(object: object, key: string, what: string): void {
  // Inherited keys are not the caller's doing: somebody may have extended Object.prototype.
  if (Object.hasOwn(object, key)) throw wrongType(`${what} has no key ${describe(key)}`)
}

function checkMemoryKeys(memory: object): void {
  for (const key in memory) {
    switch (key) {
      case 'id':
      case 'embedding':
      case 'content':
      case 'metadata':
      case 'confidence':
      case 'createdAt':
      case 'sequence': // of a memory that was read; its own sequence is given by the write
      case 'activation':
      case 'lastAccess':
      case 'recallCount':
        break
      default:
        rejectKey(memory, key, 'a memory')
    }
  }
}

function checkPatchKeys(patch: object): void {
  for (const key in patch) {
    if (key !== 'content' && key !== 'metadata' && key !== 'confidence') rejectKey(patch, key, 'a patch')
  }
}

function checkContent(content: unknown): string | null {
  if (content === null) return null
  if (typeof content !== 'string') throw wrongType(`content must be a string or null, not ${describe(content)}`)
  if (!content.isWellFormed()) throw wrongType('content must be well-formed Unicode: this one has a lone surrogate')
  if (content.length * 3 > contentBytesMax) checkContentSize(content)
  return content
}

function checkContentSize(content: string): void {
  const bytes = Buffer.byteLength(content)
  if (bytes <= contentBytesMax) return
  throw failure(Failure.TOO_LARGE, `content must be at most ${contentBytesMax} bytes of UTF-8, not ${bytes}`, { bytes })
}

function checkConfidence(confidence: unknown): number {
  return checkNumber(confidence, 'confidence', 0, 1)
}

function checkTime(time: unknown, what: string): number {
  return checkNumber(time, what, -Number.MAX_VALUE, Number.MAX_VALUE)
}

/**
 * Checks a MemoryInput and encodes it into `target`, which is untouched when it throws.
 *
 * Errors: ARGUMENT, KEY_SIZE, DIMENSION, NOT_FINITE, TOO_LARGE; what an accessor throws comes through as it is.
 */
export function encodeMemory(value: unknown, dimensions: number, target: EncodedMemory): void {
  const memory = checkObject(value, 'a memory')
  checkMemoryKeys(memory)
  const id = checkId(memory.id)
  const embeddingGiven = memory.embedding
  const contentGiven = memory.content
  const metadataGiven = memory.metadata
  const confidenceGiven = memory.confidence
  const createdAtGiven = memory.createdAt
  const activationGiven = memory.activation
  const lastAccessGiven = memory.lastAccess
  const recallCountGiven = memory.recallCount

  const content = contentGiven === undefined ? null : checkContent(contentGiven)
  const confidence = confidenceGiven === undefined ? 1 : checkConfidence(confidenceGiven)
  const createdAt = createdAtGiven === undefined ? Date.now() : checkTime(createdAtGiven, 'createdAt')
  const activation = activationGiven === undefined ? 1 : checkNumber(activationGiven, 'activation', 0, Number.MAX_VALUE)
  const lastAccess = lastAccessGiven === undefined ? createdAt : checkTime(lastAccessGiven, 'lastAccess')
  const recallCount = recallCountGiven === undefined ? 0 : checkInteger(recallCountGiven, 'recallCount', 0)
  const metadata = metadataGiven === undefined ? '{}' : encodeMetadata(metadataGiven)
  // Last, because code of the caller that runs later could detach or resize the array.
  const embedding =
    embeddingGiven === undefined || embeddingGiven === null
      ? null
      : encodeVector(embeddingGiven, dimensions, 'an embedding')

  target.id = id
  target.embedding = embedding
  target.content = content
  target.metadata = metadata === '{}' ? undefined : metadata
  target.confidence = confidence
  target.createdAt = createdAt
  target.activation = activation
  target.lastAccess = lastAccess
  target.recallCount = recallCount
}

/** Checks a MemoryPatch and encodes it. Errors: ARGUMENT, TOO_LARGE. */
export function encodePatch(value: unknown): EncodedPatch {
  const patch = checkObject(value, 'a patch')
  checkPatchKeys(patch)
  const { content, metadata, confidence } = patch
  return {
    content: content === undefined ? undefined : checkContent(content),
    metadata: metadata === undefined ? undefined : encodeMetadata(metadata),
    confidence: confidence === undefined ? NaN : checkConfidence(confidence),
  }
}

/** Puts a patch's number where the addon reads it. */
export function stagePatchNumbers(patch: EncodedPatch, numbers: Float64Array): void {
  numbers[CONFIDENCE] = patch.confidence
}
