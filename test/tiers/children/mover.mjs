// Moves memories and ends itself with SIGKILL at the nth step. argv: directory, n. Exit 0: there was no such step.

import { openTiered } from 'thermocline'

const [directory, stepText] = process.argv.slice(2)
const last = Number(stepText)
let steps = 0
const onStep = () => {
  steps += 1
  if (steps === last) process.kill(process.pid, 'SIGKILL')
}
const store = openTiered(directory, { mover: false, cold: { segmentMemories: 300, onStep } })
const numbers = Array.from({ length: 700 }, (_, at) => at)
await store.maintain({ demote: numbers.map((at) => `m${at}`) })
for (let at = 0; at < 400; at += 2) store.touch(`m${at}`) // back to warm, so that files are mostly dead
for (let at = 401; at < 650; at++) store.touch(`m${at}`)
await store.maintain({ compactCold: true, demote: [] })
store.close()
