import type { RowSummary, Subject } from './types.d.mts'

export function makeScales(times: number[]): {
  x(recall: number): number
  y(time: number): number
  low: number
  high: number
}
export function plotRecall(
  rows: RowSummary[],
  subjects: Record<string, Subject>,
  caption: string,
  style: string,
): string | undefined
