export interface WorkloadMemory {
  id: string
  embedding: Float32Array
  content: string
  metadata: { source: string; turn: number; pinned: boolean }
  confidence: number
  createdAt: number
}

export function makeWorkload(
  dimensions: number,
  seed?: number,
): { memory(number: number): WorkloadMemory; query(number: number): Float32Array }
export function makeMemories(n: number, dimensions: number): WorkloadMemory[]
export function rawBytes(memory: WorkloadMemory): number
