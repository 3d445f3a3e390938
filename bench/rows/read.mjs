// P4 get with everything decoded, P5 view, P8 iteration over all.

import { timeOnce, timeShort } from '../measure.mjs'

const readers = ['thermocline', 'lmdb', 'better-sqlite3', 'classic-level']

/** Ids in an order that no cache can guess: a step that has no factor in common with n. */
function makeIds({ options: { n } }) {
  const step = 7919
  return Array.from({ length: n }, (_, i) => `mem-${(i * step) % n}`)
}

async function startReads(context) {
  const ids = makeIds(context)
  const opened = await context.openFilled()
  await context.verify(opened)
  return { opened, ids, at: 0 }
}

function reader(id, title, subjects, read) {
  return {
    id,
    title,
    unit: '/s',
    figure: 'perSecond',
    subjects,
    filled: true,
    start: startReads,
    async round(state, { time }) {
      const { opened, ids } = state
      const run = () => {
        state.at = state.at + 1 === ids.length ? 0 : state.at + 1
        read(opened, ids[state.at])
      }
      return { perSecond: await timeShort(run, { time }) }
    },
    finish: ({ opened }) => opened.close(),
  }
}

export const rows = [
  reader('P4', 'get, everything decoded', [...readers, 'map'], (opened, id) => {
    if (opened.get(id).embedding.length === 0) throw new Error('an empty embedding')
  }),
  reader('P5', 'view, embedding and numbers (peers: get)', [...readers, 'map'], (opened, id) => {
    if (opened.readView === undefined) opened.get(id)
    else opened.readView(id)
  }),
  {
    id: 'P8',
    title: 'iterate all, everything decoded',
    unit: '/s',
    figure: 'perSecond',
    subjects: [...readers, 'map'],
    filled: true,
    start: startReads,
    async round({ opened }, { options }) {
      let count = 0
      const visit = (memory) => {
        count += memory.embedding.length > 0 ? 1 : 0
      }
      const milliseconds = await timeOnce(() => opened.readAll(visit))
      if (count !== options.n) throw new Error(`${count} memories instead of ${options.n}`)
      return { perSecond: (count * 1000) / milliseconds }
    },
    finish: ({ opened }) => opened.close(),
  },
]
