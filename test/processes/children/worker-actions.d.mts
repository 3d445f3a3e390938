import type { MemoryInput, Store } from 'thermocline'

export const dimensions: number
export const seeded: number
export function memoryAt(at: number): MemoryInput & { embedding: Float32Array; content: string }
export const actions: Record<
  string,
  (store: Store, at: number, during: () => void, reopen: () => Store, path: string) => void
>
