// npm run bench: where anybody checks our figures. `--help` lists the options; docs/benchmark.md says how it measures.

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeEnvironment, describeSubjects } from './environment.mjs'
import { readOptions, UsageError, usage } from './options.mjs'
import { isOwn } from './peers/index.mjs'
import { plotGroups } from './plot.mjs'
import { formatEnvironment, formatRow, formatSubjects, formatVerdicts } from './report.mjs'
import { fillStore, runRow } from './session.mjs'
import { summarizeRow } from './summary.mjs'
import { targets } from './targets.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))

async function runRows({ rows, options, subjects }, scratch, say) {
  const done = []
  const filled = new Set()
  for (const row of rows) {
    const present = row.subjects.filter((subject) => subjects[subject]?.absent === undefined && subject in subjects)
    if (row.filled) {
      for (const subject of present.filter((name) => !filled.has(name))) {
        await fillStore(subject, options, scratch)
        filled.add(subject)
      }
    }
    const summary = summarizeRow(
      row,
      await runRow(row, present, options, scratch),
      subjects,
      options.quick ? {} : targets,
    )
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

async function main() {
  const { options, rows, json, help, name, directory } = readOptions(process.argv.slice(2))
  if (help) {
    console.log(usage)
    return
  }
  const say = json ? () => {} : console.log
  const parent = directory ?? join(here, '.cache')
  mkdirSync(parent, { recursive: true })
  const scratch = mkdtempSync(join(realpathSync(parent), 'run-'))
  const begin = performance.now()
  try {
    const wanted = [...new Set(rows.flatMap((row) => row.subjects))]
    const subjects = await describeSubjects(options.quick ? wanted.filter(isOwn) : wanted)
    const environment = await describeEnvironment(scratch, options)
    say(
      `n = ${options.n}, ${options.dimensions} dimensions, ${options.rounds} rounds\n${formatEnvironment(environment)}`,
    )
    say(`${formatSubjects(subjects)}\n`)
    const done = await runRows({ rows, options, subjects }, scratch, say)
    const seconds = (performance.now() - begin) / 1000
    const others = Math.max(...done.map((row) => row.others))
    const results = { date: new Date().toISOString(), seconds, options, environment, subjects, others, rows: done }
    writeResults(results, name)
    if (json) console.log(JSON.stringify(results, null, 1))
    else if (!options.quick) say(`\n${formatVerdicts(done, others)}`)
    say(`${seconds.toFixed(0)} s; bench/results/${name}.json`)
    if (done.some(({ failures }) => Object.keys(failures).length > 0)) process.exitCode = 1
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

main().catch((error) => {
  console.error(error instanceof UsageError ? `${error.message}\n\n${usage}` : error)
  process.exitCode = error instanceof UsageError ? 2 : 1
})
