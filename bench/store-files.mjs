// Stores as files: their size, and copies of them to write into.

import { closeSync, cpSync, existsSync, fsyncSync, openSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

function listFiles(path) {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path).flatMap((name) => listFiles(join(path, name)))
}

/** Files that belong to a store at `path`: a directory, or a database file and those named after it. */
function filesOf(path) {
  const beside = ['-wal', '-shm', '-lock'].map((suffix) => path + suffix).filter(existsSync)
  return [path, ...beside].flatMap(listFiles)
}

/** Bytes that the file system gave it, and bytes that its files say they have. */
export function sizeOnDisk(path) {
  let allocated = 0
  let apparent = 0
  for (const file of filesOf(path)) {
    const { blocks, size } = statSync(file)
    allocated += blocks * 512
    apparent += size
  }
  return { allocated, apparent }
}

/** Writes what is still in the page cache, so that no later sync pays for it. */
export function syncFiles(path) {
  for (const file of filesOf(path)) {
    const handle = openSync(file, 'r')
    fsyncSync(handle)
    closeSync(handle)
  }
}

/** Copies a closed store and syncs the copy. */
export function copyStore(source, target) {
  cpSync(source, target, { recursive: true })
  syncFiles(target)
}
