// Every row by group, in the order in which they run.

import { rows as agent } from './agent.mjs'
import { rows as life } from './life.mjs'
import { rows as read } from './read.mjs'
import { rows as search } from './search.mjs'
import { rows as tiers } from './tiers.mjs'
import { rows as workers } from './workers.mjs'
import { rows as write } from './write.mjs'

export const groups = { write, read, workers, life, search, agent, tiers }

export const rows = Object.entries(groups).flatMap(([group, list]) => list.map((row) => ({ ...row, group })))

export function loadRow(id) {
  const row = rows.find((candidate) => candidate.id === id)
  if (row === undefined) throw new Error(`${id} is no row`)
  return row
}
