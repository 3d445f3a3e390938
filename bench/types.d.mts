// Shapes that pass between the parts of the benchmark and into its files of results. All figures are numbers in the
// unit of their row; times in ms or us as their names or rows say.

/** Recall and milliseconds of one effort of a search. */
export interface Point {
  effort: number | string
  recall: number
  p50: number
  p99: number
}

/** Figures of one round, or their medians, by name. */
export interface Figures {
  [name: string]: number | string | Point[] | undefined
  points?: Point[]
}

export interface Row {
  id: string
  group: string
  title: string
  unit: string
  /** The name of the figure that ratios compare. */
  figure: string
  /** Whether less is better. */
  lower?: boolean
}

export interface Subject {
  name: string
  version: string
  settings: Record<string, string>
  reference: boolean
  ceiling: boolean
  /** Why it cannot be used here. */
  absent?: string
}

export interface Outcome {
  results: Record<string, Figures[]>
  failures: Record<string, string>
  others: number
}

export interface RowSummary extends Row {
  lower: boolean
  median: Record<string, Figures>
  /** How many times better ours was than each subject. */
  ratio: Record<string, number>
  rounds: Record<string, Figures[]>
  failures: Record<string, string>
  /** Cores that other processes used. */
  others: number
  beside?: string
  target?: string
  reached?: boolean | 'unknown'
}

export interface Target {
  text: string
  beside?: string
  reached(row: RowSummary & { peers: string[] }): boolean | undefined
}

export interface Results {
  date: string
  seconds: number
  options: {
    n: number
    dimensions: number
    rounds: number
    quick: boolean
    embeddings?: string
    small: number
    large: number
  }
  environment: {
    cpu: { model: string; cores: number; sets: string[] }
    node: string
    bandwidth: { oneThread: number; allCores: number }
    sync: { p50: number; p99: number }
  }
  subjects: Record<string, Subject>
  others: number
  rows: RowSummary[]
}
