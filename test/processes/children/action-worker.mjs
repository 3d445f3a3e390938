// A worker that does one kind of thing until it is terminated.

import { parentPort, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { actions } from './worker-actions.mjs'

const { path, name } = workerData
const reopen = () => open(path)
const store = reopen()
parentPort.postMessage('ready')
let at = 0
function turn() {
  for (let step = 0; step < 4; step++) actions[name](store, at++, () => {}, reopen, path)
  setImmediate(turn)
}
turn()
