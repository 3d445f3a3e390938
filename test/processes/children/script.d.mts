import type { Store } from 'thermocline'

export function runScript(store: Store, seed: string, at: number, dimensions: number): void
export function scriptState(
  seed: string,
  count: number,
): Map<string, { number: number; base: number; sequence: number }>
