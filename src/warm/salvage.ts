// Saving what can be read of a damaged store.

import { resolve } from 'node:path'
import { Failure, isThermoclineError, outOfRange, withAsyncStack } from '../errors'
import { addon } from '../native'
import { checkPath } from '../options'
import type { SalvageResult } from '../types'
import { withTargetLock } from './target-lock'

async function salvageInto(source: string, target: string): Promise<SalvageResult> {
  try {
    return await addon.salvage(source, target)
  } catch (error) {
    // The core has one message a code, and this is the one argument that it finds wrong here.
    const isInside = isThermoclineError(error) && error.code === Failure.ARGUMENT.code
    throw isInside ? outOfRange('`to` must not be inside `from`') : error
  }
}

/**
 * Writes what can be read of a damaged or poisoned store into a new one, off the event loop.
 *
 * `from`: the damaged store, only read. `to`: absent or empty, and not inside `from`. Whatever holds by its checksum is
 * taken, the newest write of each id that can be read; sequences are kept. When an id's newest write is among what is
 * lost, the one before it shows, and a lost deletion revives. A memory whose embedding alone is lost comes without it.
 * If `meta` is gone the metric is cosine. Rejects with NOT_FOUND, NOT_A_STORE, EXISTS, BUSY, FULL, IO, ARGUMENT; then
 * nothing is left at `to`. The new store is synced when it resolves. Since 0.1.0.
 */
export async function salvage(from: string, to: string): Promise<SalvageResult> {
  try {
    const source = resolve(checkPath(from, 'from'))
    const target = resolve(checkPath(to, 'to'))
    return await withTargetLock(target, () => salvageInto(source, target))
  } catch (error) {
    throw withAsyncStack(error)
  }
}
