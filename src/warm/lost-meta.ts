// A store whose `meta` is gone, told from a directory in which a store was only about to be made.
//
// Not here: what is read of its files, which is the core's. The core takes over a creation that was cut short, and tells it
// by names alone; here the sizes of logs say whether anything was ever written.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type CodedError, Failure, failure } from '../errors'

const logName = /^[1-9]\d*\.log$/
/** What a log is made with (docs/format.md, kHeaderBytes): its first frame begins there, and `meta` comes before it. */
const logHeaderBytes = 4096

function hasFrames(directory: string, name: string): boolean {
  if (!logName.test(name)) return false
  const stats = statSync(join(directory, name), { throwIfNoEntry: false })
  return stats !== undefined && stats.size > logHeaderBytes
}

function hasMeta(directory: string): boolean {
  return statSync(join(directory, 'meta'), { throwIfNoEntry: false }) !== undefined
}

/** CORRUPT for a directory with logs that were written to and no `meta`, else undefined. Cost: one system call for a store. */
export function lostMetaFailure(directory: string): CodedError | undefined {
  try {
    if (hasMeta(directory)) return undefined
    if (!readdirSync(directory).some((name) => hasFrames(directory, name))) return undefined
    // Asked again, because a creation may have ended meanwhile: who found a frame finds the meta that was before it.
    if (hasMeta(directory)) return undefined
  } catch {
    return undefined // what cannot be looked at is the core's to name
  }
  const message = 'the store has logs, but its meta is gone; `salvage` writes what can be read of it into a new store'
  return failure(Failure.CORRUPT, message, { offset: 0 })
}
