// A script of operations that follows from a seed: operation `at` takes exactly one sequence, at + 1. So the state after
// any prefix is known without asking the store.

import { hashOf, randomFrom, stampedMemory, stampedPatch } from '../../support/memories.mjs'

const ids = 60

/** What operation `at` does, given which memories are there. `present`: id -> base, moved on by it. */
function plan(present, seed, at) {
  const random = randomFrom(hashOf(`${seed} ${at}`))
  const id = `s-${Math.floor(random() * ids)}`
  const choice = random()
  const number = at + 1
  const base = present.get(id)
  if (base !== undefined && choice < 0.2) {
    present.delete(id)
    return { kind: 'delete', id, number, base: 0 }
  }
  if (base !== undefined && choice < 0.45) return { kind: 'update', id, number, base }
  present.set(id, number)
  return { kind: 'put', id, number, base: number }
}

const plans = new Map()

function planUpTo(seed, at) {
  if (!plans.has(seed)) plans.set(seed, { present: new Map(), list: [] })
  const { present, list } = plans.get(seed)
  while (list.length <= at) list.push(plan(present, seed, list.length))
  return list
}

export function runScript(store, seed, at, dimensions) {
  const { kind, id, number, base } = planUpTo(seed, at)[at]
  if (kind === 'delete') store.delete(id)
  else if (kind === 'update') store.update(id, stampedPatch(id, number, base))
  else store.put(stampedMemory(id, number, dimensions))
}

/** The state after the first `count` operations: id -> { number, base }. */
export function scriptState(seed, count) {
  const list = count > 0 ? planUpTo(seed, count - 1).slice(0, count) : []
  const state = new Map()
  for (const { kind, id, number, base } of list) {
    if (kind === 'delete') state.delete(id)
    else state.set(id, { number, base, sequence: number })
  }
  return state
}
