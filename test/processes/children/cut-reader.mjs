// Reads a store in every way, on its main thread and on a worker, while the parent cuts its files. Tells what codes it
// was given, and what it read that was not so.

import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { open } from 'thermocline'
import { leave, task, tell } from './parent.mjs'

const { directory, dimensions, memories } = isMainThread ? task : workerData

/** Bytes that nobody wrote are NaN to whoever looks at them without a call. */
function viewProblem(view, number) {
  const { embedding } = view
  for (let at = 0; at < embedding.length; at++) {
    if (embedding[at] !== number && !Number.isNaN(embedding[at])) return `m${number}: ${embedding[at]} at ${at}`
  }
  return undefined
}

async function readEverything(store, views, codes) {
  const problems = []
  const attempt = async (action) => {
    try {
      const problem = await action()
      if (problem !== undefined) problems.push(problem)
    } catch (error) {
      codes[error.code ?? String(error)] = (codes[error.code ?? String(error)] ?? 0) + 1
    }
  }
  for (let number = 0; number < memories; number++) {
    await attempt(() => {
      const { embedding, content } = store.get(`m${number}`)
      return embedding.every((value) => value === number) && content === `content ${number}` ? undefined : `m${number}`
    })
    await attempt(() => {
      views[number] ??= store.view(`m${number}`)
      return viewProblem(views[number], number)
    })
  }
  const query = new Float32Array(dimensions).fill(1)
  await attempt(() => void [...store.entries()])
  await attempt(() => void store.searchSync(query, { exact: true }))
  await attempt(() => store.search(query, { threads: 2 }).then(() => undefined))
  await attempt(() => void store.put({ id: `new-${isMainThread}`, embedding: query }))
  await attempt(
    () => void store.putMany(Array.from({ length: 300 }, (_, at) => ({ id: `many-${at}`, embedding: query }))),
  )
  await attempt(() => void store.touch('m1'))
  await attempt(() => store.flush())
  await attempt(() => store.verify().then(() => undefined))
  await attempt(() => void store.stats())
  return problems
}

function merge(codes, others) {
  for (const [code, count] of Object.entries(others)) codes[code] = (codes[code] ?? 0) + count
}

const store = open(directory)
const views = []
const problems = await readEverything(store, views, {})
if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: task })
  const answers = []
  let wake
  worker.on('message', (message) => {
    answers.push(message)
    wake?.()
  })
  const answer = async () => {
    while (answers.length === 0) await new Promise((resolve) => (wake = resolve))
    return answers.shift()
  }
  problems.push(...(await answer()).problems)
  // Reads on, until the cut is made.
  let isCut = false
  process.on('message', () => (isCut = true))
  tell({ type: 'ready', problems })
  const codes = {}
  while (!isCut) {
    problems.push(...(await readEverything(store, views, codes)))
    await new Promise((resolve) => setImmediate(resolve))
  }
  worker.postMessage('read')
  problems.push(...(await readEverything(store, views, codes)))
  const theirs = await answer()
  merge(codes, theirs.codes)
  tell({ type: 'read', codes, problems: [...problems, ...theirs.problems] })
  store.close()
  await worker.terminate()
  leave()
} else {
  parentPort.postMessage({ problems })
  parentPort.once('message', async () => {
    const codes = {}
    const found = await readEverything(store, views, codes)
    store.close()
    parentPort.postMessage({ codes, problems: found })
  })
}
