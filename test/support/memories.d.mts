import type { Memory, MemoryInput } from 'thermocline'

export interface DerivedMemory extends MemoryInput {
  embedding: Float32Array
  content: string
  metadata: { owner: string; seed: number; mark: string }
}
export interface StampedPatch {
  content: string
  metadata: { number: number; base: number; double: number; list: number[]; text: string }
  confidence: number
}
export interface StampedMemory extends StampedPatch {
  id: string
  embedding: Float32Array
  createdAt: number
}

export function randomFrom(seed: number): () => number
export function hashOf(text: string): number
export function textOf(seed: number, bytes: number): string
export function embeddingOf(seed: number, dimensions: number): Float32Array
export function derivedMemory(id: string, contentBytes: number, dimensions: number): DerivedMemory
export function derivedProblem(memory: Memory | undefined, expected: DerivedMemory): string | undefined
export function stampedPatch(id: string, number: number, base: number): StampedPatch
export function stampedMemory(id: string, number: number, dimensions: number): StampedMemory
export function stampedProblem(memory: Memory, id: string, dimensions: number): string | undefined
