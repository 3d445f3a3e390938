import type { Results } from './types.d.mts'

export function formatFigures(results: Results): string
export function fillFigures(readme: string, readResults: (path: string) => Results): string
