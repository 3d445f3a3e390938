import type { Outcome, Row, RowSummary, Subject, Target } from './types.d.mts'

export function summarizeRow(
  row: Row,
  outcome: Outcome,
  subjects: Record<string, Subject>,
  targets: Record<string, Target>,
): RowSummary
