// One copy to one place at a time, between threads and processes.
//
// A lock of proper-lockfile goes stale by file time, so it guards what may be repeated, never a store itself: whoever
// breaks it finds a place that is taken, or makes the copy again.

import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Failure, failure } from '../errors'
import { loadLockfile } from './lockfile'

/** One spelling for each place, whatever links lead to it. A place that is absent has its parent's. */
async function canonical(target: string): Promise<string> {
  try {
    return await realpath(target)
  } catch {
    return join(await realpath(dirname(target)), basename(target))
  }
}

function lockFailure(error: unknown): Error {
  const { code, errno } = error as NodeJS.ErrnoException
  if (code === 'ELOCKED') return failure(Failure.BUSY, 'another copy to the same directory is under way')
  const message = `the directory cannot be prepared (${String(code)})`
  return failure(Failure.IO, message, { errno: Math.abs(errno ?? 0) })
}

/** Runs `work` while nobody else copies to the same directory. Rejects with BUSY, IO, or as `work` does. */
export async function withTargetLock<T>(target: string, work: () => Promise<T>): Promise<T> {
  const { lock } = loadLockfile()
  let release: () => Promise<void>
  try {
    // The new store is renamed into place if that is still free, so a lock that was broken costs nothing but the work.
    release = await lock(await canonical(target), { realpath: false, retries: 0, onCompromised: () => undefined })
  } catch (error) {
    throw lockFailure(error)
  }
  try {
    return await work()
  } finally {
    await release().catch(() => undefined)
  }
}
