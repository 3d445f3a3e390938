// Every command, in the order of the help.

import type { Command } from '../command'
import { exportCommand } from './export'
import { importCommand } from './import'
import { get, search, stats, verify } from './inspect'
import { backup, compact, salvage } from './maintain'

export const commands: readonly Command[] = [
  stats,
  get,
  search,
  importCommand,
  exportCommand,
  verify,
  compact,
  backup,
  salvage,
]
