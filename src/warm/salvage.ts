// Saving what can be read of a damaged store. Of a tiered one: `tiers/salvage.ts`.

import { Failure, isThermoclineError, outOfRange } from '../errors'
import { addon } from '../native'
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

/** See `salvage` of the package; `from` and `to` are checked. */
export async function salvageWarm(source: string, target: string): Promise<SalvageResult> {
  return await withTargetLock(target, () => salvageInto(source, target))
}
