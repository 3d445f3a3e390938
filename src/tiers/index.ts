// `thermocline/tiers`: the parts of the tiered store, for tools and tests that look below it.

export { ColdTier, type ColdTierOptions } from './cold-tier'
export { fromHalf, toHalf } from './cold-rows'
export { compileFilter } from './filter-match'
export { type Forgettable, planForgetting } from './forget'
export { HotTier, type HotTierOptions } from './hot-tier'
export {
  type Activity,
  activationAt,
  type Candidate,
  decay,
  isHot,
  isWorthRewriting,
  makePolicy,
  type Move,
  planDemotions,
  planHot,
  planWarm,
  type Policy,
  policyDefaults,
  pressureOf,
  pressureShares,
  rankMax,
  rankOf,
  reinforced,
  trendOf,
} from './policy'
export { checkSpaceName } from './spaces'
export type { Tier } from './types'
export { WarmAdapter } from './warm-adapter'
