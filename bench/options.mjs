// The command line of the benchmark.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { demoFile, describeEmbeddings, heldBack } from './embeddings.mjs'
import { groups, rows } from './rows/index.mjs'

export const usage = `npm run bench -- [group ...] [options]

  groups         ${Object.keys(groups).join(', ')}; none: all
  --only P1,P4   rows or groups by name
  --without p,q  leaves peers out: lancedb-ivf and the graphs take minutes to build
  --n 100000     memories          --dim 384      dimensions
  --rounds 5     rounds a row      --large 1000000  memories of the large store (P9, P10-L, P14); 0 leaves them out
  --embeddings f the embeddings of real text in file f (half precision, .npy or rows of 512) in place of made ones;
                 \`demo\`: those of the demo. The last ${heldBack} are asked for and not stored. No large store
  --directory d  where the stores lie while it runs (a directory on a real disk)
  --name local   results go to bench/results/<name>.json and <name>-<group>.svg
  --json         the results on standard output instead of tables
  --quick        small, ours alone: that it runs, not how fast; writes files only with --name
`

export class UsageError extends Error {}

function readCount(values, name, fallback, min) {
  const count = Number(values[name] ?? fallback)
  if (!Number.isInteger(count) || count < min) throw new UsageError(`--${name} must be an integer of at least ${min}`)
  return count
}

/** What a file of embeddings says of --n and --dim; nothing without one. */
function readEmbeddings(given) {
  if (given === undefined) return {}
  const file = given === 'demo' ? demoFile : resolve(given)
  if (!existsSync(file)) throw new UsageError(`--embeddings: there is no ${given}`)
  const { rows, dimensions } = describeEmbeddings(file)
  return { embeddings: file, rows: rows - heldBack, dimensions }
}

/** Rows by names of rows or groups. */
function chooseRows(names) {
  if (names.length === 0) return rows
  const known = (row, name) => row.id.toLowerCase() === name.toLowerCase() || row.group === name
  const unknown = names.find((name) => !rows.some((row) => known(row, name)))
  if (unknown !== undefined) throw new UsageError(`${unknown} is no row and no group`)
  return rows.filter((row) => names.some((name) => known(row, name)))
}

/** Names of peers, each of which some row has. */
function chooseSubjects(names) {
  const known = new Set(rows.flatMap(({ subjects }) => subjects))
  const unknown = names.find((name) => !known.has(name) || name === 'thermocline')
  if (unknown !== undefined) throw new UsageError(`--without: ${unknown} is no peer of any row`)
  return names
}

/** Options and rows of a command line. Throws a UsageError with one line for people. */
export function readOptions(commandArguments) {
  let parsed
  try {
    parsed = parseArgs({
      args: commandArguments,
      allowPositionals: true,
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
        n: { type: 'string' },
        dim: { type: 'string' },
        rounds: { type: 'string' },
        large: { type: 'string' },
        only: { type: 'string' },
        without: { type: 'string' },
        name: { type: 'string' },
        directory: { type: 'string' },
        embeddings: { type: 'string' },
      },
    })
  } catch (error) {
    throw new UsageError(error.message)
  }
  const { values, positionals } = parsed
  const { quick, json, help, name = quick ? undefined : 'local', directory } = values
  const real = readEmbeddings(values.embeddings)
  const options = {
    quick,
    embeddings: real.embeddings,
    n: readCount(values, 'n', quick ? 2000 : (real.rows ?? 100_000), 100),
    dimensions: real.dimensions ?? readCount(values, 'dim', quick ? 64 : 384, 1),
    rounds: readCount(values, 'rounds', quick ? 1 : 5, 1),
    small: quick ? 500 : 10_000,
    large: real.rows === undefined ? readCount(values, 'large', quick ? 5000 : 1_000_000, 0) : 0,
  }
  if (!quick && options.rounds < 3) throw new UsageError('--rounds must be at least 3: a median of fewer is none')
  if (name !== undefined && !/^[\w.-]+$/.test(name))
    throw new UsageError('--name must be letters, digits, dots and dashes')
  const chosen = chooseRows([...positionals, ...(values.only?.split(',') ?? [])])
  const without = chooseSubjects(values.without?.split(',') ?? [])
  const rowsToRun = chosen
    .filter((row) => options.large > 0 || !row.large)
    .map((row) => ({ ...row, subjects: row.subjects.filter((subject) => !without.includes(subject)) }))
  return { options, rows: rowsToRun, json, help, name, directory }
}
