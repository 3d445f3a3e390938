// The package: opening a store, its errors and its types.

import type { Store } from './store'
import type { OpenOptions } from './types'
import { openWarmTier } from './warm/warm-tier'

export { type CodedError, type ErrorDetails, type ErrorFacts, isThermoclineError, ThermoclineError } from './errors'
export type { Store } from './store'
export { salvage } from './tiers/salvage'
export {
  openSpaces,
  type SpaceHit,
  type Spaces,
  type SpacesMaintenance,
  type SpacesOptions,
  type SpacesStats,
} from './tiers/spaces'
export { openTiered } from './tiers/tiered-store'
export type * from './tiers/types'
export type * from './types'

/**
 * Opens the store in a directory, or creates it there; synchronous.
 *
 * `path`: a directory, absolute or relative to the working directory. `options`: `dimensions` is needed to create.
 * The store belongs to the calling worker thread; every worker and process may open the same directory.
 * Errors: MISMATCH (another metric), VERSION, NOT_FOUND, NOT_A_STORE, READ_ONLY, NETWORK_FS, BUSY, IO, FULL,
 * CORRUPT, DIMENSION, ARGUMENT. Cost: milliseconds at any size after a clean close; else the cache is rebuilt from
 * the log first. Since 0.1.0.
 *
 * @example
 * ```js
 * import { open } from 'thermocline' // or: const { open } = require('thermocline')
 *
 * const store = open('./memories', { dimensions: 384, metric: 'cosine' })
 * store.close()
 * ```
 */
export function open(path: string, options?: OpenOptions): Store {
  return openWarmTier(path, options)
}
