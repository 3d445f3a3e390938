// Directories that hold stores: made with their parents, for their owner alone.

import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { Failure, failure, systemFailure } from '../errors'

const modeOfDirectory = 0o700

/**
 * Makes a directory and those above it that are missing. Nothing is done where there is one. Errors: NOT_A_STORE (a file
 * is in the way), IO, FULL.
 *
 * Not `recursive` of Node's own, which tries for ever where a system gives ENOENT for a name whose parent is there, as
 * /proc does.
 */
export function makeDirectory(path: string, isParentThere = false): void {
  try {
    mkdirSync(path, { mode: modeOfDirectory })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return
    if (code === 'EEXIST' || code === 'ENOTDIR')
      throw failure(Failure.NOT_A_STORE, 'a file is where a directory is to be')
    if (code !== 'ENOENT' || isParentThere || dirname(path) === path) throw systemFailure(error, 'a directory')
    makeDirectory(dirname(path))
    makeDirectory(path, true)
  }
}
