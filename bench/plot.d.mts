import type { Results, RowSummary, Subject } from './types.d.mts'

export function chooseStep(max: number): number
export function plotRows(rows: RowSummary[], subjects: Record<string, Subject>, caption: string): string
export function plotGroups(results: Results): [group: string, svg: string][]
