// Goal: what the documents show can be run as it stands. Method: every fenced block of JavaScript or TypeScript in
// README and docs is run as a program in an empty directory against the built package, as it is and, where it imports
// by a comment's own word, by require too; and docs/api.md is compared with the comments that it is written from.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { outcomeOf, root } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

interface Snippet {
  place: string
  language: string
  text: string
}

const importing = /^import (.+) from ('thermocline(?:\/\w+)?')/gm
const required = /^(?:const|let) .+ = require\('thermocline/m
/** What a method's example may rely on. */
const prelude = `import { open } from 'thermocline'
const store = open('./memories', { dimensions: 3 })
const query = [1, 0, 0]
`

function snippetsOf(file: string): Snippet[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/^```(js|mjs|cjs|ts|javascript|typescript)\n(.*?)^```/gms)].map((match) => ({
    place: `${file}:${text.slice(0, match.index).split('\n').length}`,
    language: match[1] as string,
    text: match[2] as string,
  }))
}

// A block of types alone says what a thing looks like; it is generated, and checked by compiling the sources.
function isProgram({ place, language }: Snippet): boolean {
  return !(place.startsWith('docs/api.md') && language === 'ts')
}

const documents = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]
const snippets = documents.flatMap(snippetsOf).filter(isProgram)

/** The programs that a snippet stands for, by file name. */
function programsOf({ language, text }: Snippet): [name: string, source: string][] {
  const options = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
  const plain = /^t/.test(language) ? ts.transpileModule(text, { compilerOptions: options }).outputText : text
  if (required.test(plain)) return [['snippet.cjs', plain]]
  if (plain.search(importing) < 0) return [['snippet.mjs', prelude + plain]]
  // The same by require; `await` needs a function there.
  const byRequire = plain.replace(importing, 'const $1 = require($2)')
  return [
    ['snippet.mjs', plain],
    ['snippet.cjs', `void (async () => {\n${byRequire}\n})()`],
  ]
}

function scratch(): string {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, 'node_modules'))
  symlinkSync(root, join(directory, 'node_modules', 'thermocline'))
  return directory
}

test('README and the API document have snippets', () => {
  expect(snippets.filter(({ place }) => place.startsWith('README')).length).toBeGreaterThan(0)
  expect(snippets.filter(({ place }) => place.startsWith('docs/api.md')).length).toBeGreaterThan(3)
})

test.each(snippets)('the snippet at $place runs, by import and by require', (snippet) => {
  for (const [name, source] of programsOf(snippet)) {
    const directory = scratch()
    writeFileSync(join(directory, name), source)
    const child = spawnSync(process.execPath, [name], { cwd: directory, encoding: 'utf8', timeout: 60_000 })
    expect([name, outcomeOf(child)]).toEqual([name, { status: 0, signal: null }])
  }
})

test('docs/api.md has a meaning for each key, and no comment inside a type', () => {
  const text = readFileSync(join(root, 'docs/api.md'), 'utf8')
  const rows = text.split('\n').filter((line) => line.startsWith('| `'))
  expect(rows.length).toBeGreaterThan(100)
  expect(rows.filter((row) => /\| *\|$/.test(row) || row.includes('/**'))).toEqual([])
})

test('docs/api.md is what the comments say (npm run docs)', () => {
  const child = spawnSync(process.execPath, [join(root, 'scripts/api-doc.mjs'), '--check'], { encoding: 'utf8' })
  expect(outcomeOf(child)).toEqual({ status: 0, signal: null })
})
