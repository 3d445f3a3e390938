// npm run bench: where anybody checks our figures. `--help` lists the options; README.md beside it says how it
// measures.

import { mkdirSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeEnvironment, describeSubjects } from './environment.mjs'
import { readOptions, UsageError, usage } from './options.mjs'
import { isOwn } from './peers/index.mjs'
import { plotGroups } from './plot.mjs'
import { formatEnvironment, formatRow, formatSubjects, formatVerdicts } from './report.mjs'
import { makeStore, runRow } from './session.mjs'
import { summarizeRow } from './summary.mjs'
import { targets } from './targets.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** A folder for the stores of this run. Those of runs that were killed go. */
function makeScratch(directory) {
  const parent = directory ?? join(here, '.cache')
  mkdirSync(parent, { recursive: true })
  for (const name of readdirSync(parent)) {
    const [, pid] = /^bench-run-(\d+)$/.exec(name) ?? []
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(parent, name), { recursive: true })
  }
  const scratch = join(realpathSync(parent), `bench-run-${process.pid}`)
  mkdirSync(scratch)
  return scratch
}

/** Makes the stores that a row reads or copies. A subject that cannot make one is not run. */
async function makeStores(command, names, made, { options, subjects, scratch, say }) {
  for (const subject of names.filter((name) => !made.has(name))) {
    try {
      await makeStore(command, subject, options, scratch)
    } catch (error) {
      subjects[subject].absent = error.message.split('\n')[0]
      say(`not run here: ${subjects[subject].name} (${subjects[subject].absent})`)
    }
    made.add(subject)
  }
}

async function runRows(rows, run) {
  const { options, subjects, scratch, say } = run
  const done = []
  const filled = new Set()
  const kept = new Set()
  const isPresent = (subject) => subject in subjects && subjects[subject].absent === undefined
  for (const row of rows) {
    if (row.filled) await makeStores('fill', row.subjects.filter(isPresent), filled, run)
    // Before a row that may bind its processes to one core: graphs are built on all of them.
    if (row.kept) await makeStores('keep', row.subjects.filter(isPresent), kept, run)
    const outcome = await runRow(row, row.subjects.filter(isPresent), options, scratch)
    // A quick run shows that it runs; it is too small to judge.
    const summary = summarizeRow(row, outcome, subjects, options.quick ? {} : targets)
    done.push(summary)
    say(formatRow(summary, subjects))
  }
  return done
}

function writeResults(results, name) {
  const folder = join(here, 'results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(results, null, 1)}\n`)
  for (const [group, svg] of plotGroups(results)) writeFileSync(join(folder, `${name}-${group}.svg`), svg)
}

/** Measures the rows and writes the files of results. Resolves with the results. */
async function measure(rows, { options, scratch, say }) {
  const begin = performance.now()
  const wanted = [...new Set(rows.flatMap((row) => row.subjects))]
  const subjects = await describeSubjects(options.quick ? wanted.filter(isOwn) : wanted)
  const environment = await describeEnvironment(scratch, options)
  say(`n = ${options.n}, ${options.dimensions} dimensions, ${options.rounds} rounds\n${formatEnvironment(environment)}`)
  say(`${formatSubjects(subjects)}\n`)
  const done = await runRows(rows, { options, subjects, scratch, say })
  const seconds = Math.round((performance.now() - begin) / 1000)
  const others = Math.max(...done.map((row) => row.others))
  // Where a file lies on this machine is nobody's business.
  const embeddings = options.embeddings && basename(options.embeddings)
  const date = new Date().toISOString()
  return { date, seconds, options: { ...options, embeddings }, environment, subjects, others, rows: done }
}

async function main() {
  const { options, rows, json, help, name, directory } = readOptions(process.argv.slice(2))
  if (help) {
    console.log(usage)
    return
  }
  const say = json ? () => {} : console.log
  const scratch = makeScratch(directory)
  try {
    const results = await measure(rows, { options, scratch, say })
    if (name !== undefined) writeResults(results, name)
    if (json) console.log(JSON.stringify(results, null, 1))
    if (!options.quick) say(`\n${formatVerdicts(results.rows, results.others)}`)
    say(`${results.seconds} s${name === undefined ? '' : `; bench/results/${name}.json`}`)
    if (results.rows.some(({ failures }) => Object.keys(failures).length > 0)) process.exitCode = 1
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

main().catch((error) => {
  console.error(error instanceof UsageError ? `${error.message}\n\n${usage}` : error)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
