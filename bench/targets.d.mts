import type { Target } from './types.d.mts'

export const targets: Record<string, Target>
