// Lists for binding.gyp: which sources a target compiles, where other people's headers lie.
//
//   node scripts/native-sources.cjs core | binding | system-includes | simsimd
//
// Sources are relative to the folder of binding.gyp. System include folders are relative to build/, where make runs,
// because gyp passes compiler flags on as they are.

const { readdirSync, existsSync } = require('node:fs')
const { dirname, join, relative } = require('node:path')

const root = join(__dirname, '..')
// Compiled once more per addon, with or without the planted bug, so it is not part of the core library.
const claimSource = 'native/core/store/claim.cc'

function listFiles(folder, suffix) {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`
      if (entry.isDirectory()) return listFiles(path, suffix)
      return entry.name.endsWith(suffix) ? [path] : []
    })
    .sort()
}

function packageFolder(name) {
  return dirname(require.resolve(`${name}/package.json`, { paths: [root] }))
}

// simsimd's `exports` hide its package.json, so the folder is found by walking up.
function simsimdFolder() {
  let folder = root
  while (!existsSync(join(folder, 'node_modules/simsimd/c/lib.c'))) {
    if (dirname(folder) === folder) throw new Error('simsimd is not installed: npm ci')
    folder = dirname(folder)
  }
  return join(folder, 'node_modules/simsimd')
}

const lists = {
  core: () =>
    listFiles('native/core', '.cc').filter(
      (path) => !path.endsWith('_test.cc') && !path.endsWith('_fuzz.cc') && path !== claimSource,
    ),
  binding: () => [...listFiles('native/binding', '.cc'), ...(existsSync(join(root, claimSource)) ? [claimSource] : [])],
  simsimd: () => [relative(root, join(simsimdFolder(), 'c/lib.c'))],
  'system-includes': () =>
    [join(simsimdFolder(), 'include'), packageFolder('node-addon-api')].flatMap((folder) => [
      '-isystem',
      relative(join(root, 'build'), folder),
    ]),
}

module.exports = { listFiles, lists }

if (require.main === module) console.log(lists[process.argv[2]]().join('\n'))
