// Follows a store on which nothing happens, and says how much processor time that took.

import { setTimeout as sleep } from 'node:timers/promises'
import { open } from 'thermocline'
import { leave, task, tell } from './parent.mjs'

const store = open(task.directory)
const feed = store.changes({ since: store.sequence, follow: true })
const next = feed.next()
await sleep(task.settleMs)
const before = process.cpuUsage()
await sleep(task.idleMs)
const { user, system } = process.cpuUsage(before)
tell({ type: 'idled', cpuMs: (user + system) / 1000 })
const { value } = await next
tell({ type: 'woken', sequence: value.sequence })
store.close()
leave()
