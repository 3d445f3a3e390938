// The folder `source` of the package: all that compiling the addon needs, and nothing of a clone around it.
//
// Its binding.gyp lies in a folder of its own because package managers compile a package that has one at its root,
// whatever its package.json says. What the lockfile names and the addon is compiled with comes along, with its licence.

import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { listFiles, root } from './run.mjs'

const thirdParty = [
  {
    name: 'simsimd',
    files: (folder) => ['LICENSE', 'c/lib.c', ...listHeaders(join(folder, 'include', 'simsimd'), folder)],
    use: 'compiled into the addon',
  },
  {
    name: 'node-addon-api',
    files: (folder) => ['LICENSE.md', ...listHeaders(folder, folder)],
    use: 'headers, compiled into the addon',
  },
]

function listHeaders(folder, base) {
  return listFiles(folder, (name) => name.endsWith('.h')).map((file) => relative(base, file))
}

function ownFiles() {
  const { lists } = createRequire(import.meta.url)('./native-sources.cjs')
  const headers = ['core', 'binding'].flatMap((part) =>
    listFiles(join(root, 'native', part), (name) => name.endsWith('.h') || name.endsWith('.def')),
  )
  const others = [...headers, ...listFiles(join(root, 'native', 'link'))].map((file) => relative(root, file))
  return ['binding.gyp', 'scripts/native-sources.cjs', ...lists.core(), ...lists.binding(), ...others]
}

function copyFile(from, to) {
  mkdirSync(dirname(to), { recursive: true })
  cpSync(from, to)
}

/** Writes the tree anew into `target` (absolute), which is emptied first. */
export function writeSourceTree(target) {
  rmSync(target, { recursive: true, force: true })
  for (const file of ownFiles()) copyFile(join(root, file), join(target, file))
  const notices = thirdParty.map(({ name, files, use }) => {
    const folder = join(root, 'node_modules', name)
    for (const file of files(folder)) copyFile(join(folder, file), join(target, 'third_party', name, file))
    const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    return `| ${name} | ${version} | ${license} | ${use} |`
  })
  const text = [
    '# Other people’s code in this package',
    '',
    'Unchanged files of the npm packages named here, each with its licence beside it.',
    '',
    '| package | version | licence | use |',
    '|---|---|---|---|',
    ...notices,
    '',
    'The prebuilt binaries hold parts of the GNU C++ library too (GPL 3 with the GCC Runtime Library Exception).',
  ]
  writeFileSync(join(target, 'third_party', 'README.md'), `${text.join('\n')}\n`)
}
