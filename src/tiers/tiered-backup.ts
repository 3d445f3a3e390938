// A copy of a tiered store: warm's own backup, whose log says which cold files belong to it, and these.

import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { closedError, Failure, failure, systemFailure } from '../errors'
import type { BackupResult } from '../types'
import { withTargetLock } from '../warm/target-lock'
import { openWarmTier, type WarmTier } from '../warm/warm-tier'
import { Catalogue, type CatalogueSnapshot } from './catalogue'
import { countAll } from './cold-tier'

/** Whether nothing is there, or an empty directory. */
export async function isFree(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).length === 0
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What the copy of warm says of cold. */
function readCatalogue(directory: string): CatalogueSnapshot {
  const copy = openWarmTier(directory, { readOnly: true })
  try {
    return new Catalogue(copy).snapshot()
  } finally {
    copy.close()
  }
}

/** False: a file is gone because it was rewritten after warm was copied. */
async function copyCold(from: string, to: string, { root }: CatalogueSnapshot): Promise<boolean> {
  await mkdir(to, { mode: 0o700 })
  for (const { file } of root.segments) {
    try {
      await copyFile(join(from, file), join(to, file), constants.COPYFILE_FICLONE)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
    await syncPath(join(to, file))
  }
  await syncPath(to)
  return true
}

/** See `Store.backup`. `cold`: the directory of the cold files. `isClosed`: then there is to be no copy. */
export async function backupTiers(
  warm: WarmTier,
  cold: string,
  target: string,
  isClosed: () => boolean,
): Promise<BackupResult> {
  return await withTargetLock(target, async () => {
    if (!(await isFree(target))) throw failure(Failure.EXISTS, 'the directory of the backup is not empty')
    for (;;) {
      const draft = `${target}.${randomBytes(6).toString('hex')}`
      try {
        await mkdir(draft, { mode: 0o700 })
        const { memories, sequence } = await warm.backup(join(draft, 'warm'))
        const catalogue = readCatalogue(join(draft, 'warm'))
        if (!(await copyCold(cold, join(draft, 'cold'), catalogue))) continue
        await syncPath(draft)
        if (isClosed()) throw closedError()
        await rename(draft, target)
        return { memories: memories - Catalogue.controlCount(catalogue.root) + countAll(catalogue), sequence }
      } catch (error) {
        throw systemFailure(error, 'the copy')
      } finally {
        await rm(draft, { recursive: true, force: true })
      }
    }
  })
}
