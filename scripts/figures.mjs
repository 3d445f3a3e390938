// node scripts/figures.mjs: fills README's tables of figures from the files of results that its comments name.
//
// A test compares the two, so a new file of results needs this and nothing else.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fillFigures } from '../bench/figures.mjs'
import { root, runAsProgram } from './run.mjs'

async function main() {
  const path = join(root, 'README.md')
  const readResults = (name) => JSON.parse(readFileSync(join(root, name), 'utf8'))
  writeFileSync(path, fillFigures(readFileSync(path, 'utf8'), readResults))
}

runAsProgram(import.meta.url, main)
