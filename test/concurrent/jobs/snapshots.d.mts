import type { MemoryInput } from 'thermocline'

export function firstMemories(mover: number, accounts: number, balance: number, dimensions: number): MemoryInput[]
