// One subject and one row in a process of their own, so that heap, compiled code and garbage are their own. The
// parent says what to do, one command at a time, and alternates the subjects.

import { makeContext } from './context.mjs'
import { collectGarbage } from './measure.mjs'
import { loadPeer } from './peers/index.mjs'
import { loadRow } from './rows/index.mjs'

const { subject, options, scratch } = JSON.parse(process.argv[2])
const context = makeContext(subject, await loadPeer(subject), options, scratch)
let row
let state

const commands = {
  fill: () => context.fill(),
  keep: () => context.keptStore(options.n),
  async start({ id, rounds }) {
    row = loadRow(id)
    state = await row.start?.({ ...context, rounds })
  },
  round({ round }) {
    collectGarbage()
    return row.round(state, { ...context, round })
  },
  finish: () => row.finish?.(state),
}

process.on('message', async ({ command, parameters }) => {
  if (command === 'exit') {
    process.disconnect()
    return
  }
  try {
    process.send({ result: await commands[command](parameters) })
  } catch (error) {
    process.send({ error: error.stack })
  }
})
process.send({ result: 'ready' })
