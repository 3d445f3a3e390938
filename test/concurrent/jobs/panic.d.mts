export function idsOf(prefix: string, operation: number): string[]
