// Goal: TypeScript consumers of the package compile under every way of resolving modules that is in use. Method: the
// tarball is unpacked into an ES module project and a CommonJS project, and each is compiled strictly; once with the
// declarations checked too (but for those of Node, which take seconds and are not ours).

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { beforeAll, expect, test } from 'vitest'
import { directoryOfFile, extractTarball, packMsMax, packTarball } from '../support/packed.js'
import { root } from '../support/processes.js'

const directory = directoryOfFile()
const body = `
const options: OpenOptions = { dimensions: 3, metric: 'dot', durability: 'flush' }
const store: Store = open('path', options)
const sequence: number = store.put({ id: 'a', embedding: new Float32Array(3), metadata: { k: ['v', null, { n: 1 }] } })
const memory: Memory | undefined = store.get('a')
const content: string | null = memory?.content ?? null
const written: number = store.write([{ put: { id: 'b' } }, { update: 'a', patch: { content } }, { delete: 'b' }]).lastSequence
async function read(signal: AbortSignal): Promise<Hit[]> {
  for await (const change of store.changes({ follow: true, signal })) if (change.kind === 'delete') break
  return store.search([1, 2, 3], { limit: 1, minScore: 0.5 })
}
const cells: number = openWarmTier('path').index.cells
try { store.close() } catch (error) { if (error instanceof ThermoclineError && error.retryable) console.log(error.code) }
export { cells, read, sequence, written }
`
const imports = `import { open, ThermoclineError, type Hit, type Memory, type OpenOptions, type Store } from 'thermocline'
import { openWarmTier } from 'thermocline/warm'
`
const wrong = `import { open } from 'thermocline'
open(5)
open('x').put({ ident: 'a' })
`
const files: Record<string, string> = {
  'esm/package.json': '{ "type": "module" }',
  'esm/index.ts': imports + body,
  'esm/wrong.ts': wrong,
  'cjs/package.json': '{ "type": "commonjs" }',
  'cjs/index.ts': imports + body,
  'cjs/required.ts':
    "import thermocline = require('thermocline')\nexport const size: number = thermocline.open('path').size\n",
}
const strict: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: true,
  noEmit: true,
  target: ts.ScriptTarget.ES2022,
  typeRoots: [join(root, 'node_modules/@types')],
  types: ['node'],
}
const { ModuleKind, ModuleResolutionKind } = ts
const projects: [name: string, options: ts.CompilerOptions, files: string[], errors: string[]][] = [
  ['ES module project, node16', { module: ModuleKind.Node16 }, ['esm/index.ts'], []],
  ['CommonJS project, node16', { module: ModuleKind.Node16 }, ['cjs/index.ts', 'cjs/required.ts'], []],
  ['bundler', { module: ModuleKind.ESNext, moduleResolution: ModuleResolutionKind.Bundler }, ['esm/index.ts'], []],
  ['node10', { module: ModuleKind.CommonJS, moduleResolution: ModuleResolutionKind.Node10 }, ['cjs/index.ts'], []],
  // As in a project for browsers and Node alike.
  [
    'no types of Node, declarations checked',
    { module: ModuleKind.Node16, types: [], lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], skipLibCheck: false },
    ['esm/index.ts'],
    [],
  ],
  ['wrong use', { module: ModuleKind.Node16 }, ['esm/wrong.ts'], ['wrong.ts 2 TS2345', 'wrong.ts 3 TS2353']],
]
// Parsing the library's declarations is most of the work, and all projects share them.
const parsed = new Map<string, ts.SourceFile | undefined>()

function compile(options: ts.CompilerOptions, names: string[]): string[] {
  const host = ts.createCompilerHost(options)
  const read = host.getSourceFile.bind(host)
  host.getSourceFile = (name, version, onError) => {
    const key = `${name} ${JSON.stringify(version)}`
    if (!parsed.has(key)) parsed.set(key, read(name, version, onError))
    return parsed.get(key)
  }
  const program = ts.createProgram({ rootNames: names.map((name) => join(directory, name)), options, host })
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, code, messageText }) => {
    if (file === undefined) return ts.flattenDiagnosticMessageText(messageText, ' ')
    const line = file.getLineAndCharacterOfPosition(start).line + 1
    return `${file.fileName.slice(file.fileName.lastIndexOf('/') + 1)} ${line} TS${code}`
  })
}

beforeAll(() => {
  extractTarball(packTarball(directory), join(directory, 'node_modules', 'thermocline'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(directory, name, '..'), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  symlinkSync(join(root, 'node_modules/@types'), join(directory, 'node_modules/@types'))
}, packMsMax)

test.each(projects)('a consumer compiles: %s', (_, options, names, errors) => {
  expect(compile({ ...strict, ...options }, names)).toEqual(errors)
})
