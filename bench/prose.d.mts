export function makeProse(count: number, seed?: number): string[]
