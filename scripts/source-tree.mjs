// The folder `source` of the package: all that compiling the addon needs, and nothing of a clone around it.
//
// Its binding.gyp lies in a folder of its own because package managers compile a package that has one at its root,
// whatever its package.json says. What the lockfile names and the addon is compiled with comes along, with its licence.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
  return ['binding.gyp', 'scripts/native-sources.cjs', ...lists.core(), ...lists.claim(), ...lists.binding(), ...others]
}

/** The files of a folder: path relative to it -> bytes. */
export function readTree(folder) {
  return new Map(listFiles(folder).map((file) => [relative(folder, file), readFileSync(file)]))
}

/** The files of `source`: path in it -> bytes. */
export function sourceTree() {
  const tree = new Map(ownFiles().map((file) => [file, readFileSync(join(root, file))]))
  const notices = thirdParty.map(({ name, files, use }) => {
    const folder = join(root, 'node_modules', name)
    for (const file of files(folder)) tree.set(join('third_party', name, file), readFileSync(join(folder, file)))
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
  return tree.set(join('third_party', 'README.md'), Buffer.from(`${text.join('\n')}\n`))
}

/**
 * Makes `folder` hold these files and, but for its `build`, no others. Leaves alone what is equal, so that make compiles
 * only the rest and nobody who reads the folder meanwhile finds it half empty. Returns whether anything changed.
 */
export function updateTree(tree, folder) {
  const wanted = new Map(tree)
  let isChanged = false
  for (const [file, bytes] of readTree(folder)) {
    if (wanted.get(file)?.equals(bytes)) wanted.delete(file)
    else if (!wanted.has(file) && !file.startsWith('build/')) {
      rmSync(join(folder, file))
      isChanged = true
    }
  }
  for (const [file, bytes] of wanted) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), bytes)
    isChanged = true
  }
  return isChanged
}
