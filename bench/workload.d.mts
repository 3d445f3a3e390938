export interface WorkloadMemory {
  id: string
  embedding: Float32Array
  content: string
  metadata: { source: string; turn: number; pinned: boolean }
  confidence: number
  createdAt: number
}

/** Numbers of [0, 1), the same for a seed everywhere. */
export function makeRandom(seed: number): () => number
export function makeWorkload(
  dimensions: number,
  seed?: number,
): { memory(number: number): WorkloadMemory; query(number: number): Float32Array }
export function makeMemories(n: number, dimensions: number): WorkloadMemory[]
export function rawBytes(memory: WorkloadMemory): number
