// Ours with durability 'commit': every put is synced when it returns.

import { open as openStore } from '../../dist/index.mjs'

export const name = "thermocline 'commit'"
export const packageName = 'thermocline'
export const ours = true
export const settings = { each: "durability 'commit', put" }

export function open(path, { dimensions }) {
  const store = openStore(path, { dimensions, durability: 'commit' })
  return {
    putMany: (memories) => void store.putMany(memories),
    putDurable: (memory) => void store.put(memory),
    close: () => store.close(),
  }
}
