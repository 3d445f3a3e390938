// `thermocline/tiers`: the parts of the tiered store, for tools and tests that look below it.

export { fromHalf, toHalf } from './cold-rows'
export { ColdTier, type ColdTierOptions } from './cold-tier'
export { WordEncoder, WordList } from './cold-words'
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
  type Move,
  makePolicy,
  type Policy,
  planDemotions,
  planHot,
  planWarm,
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
