// Lists for binding.gyp: which sources a target compiles, where other people's headers lie.
//
//   node scripts/native-sources.cjs core | binding | claim | system-includes | simsimd
//
// Sources are relative to the folder of binding.gyp. System include folders are relative to build/, where make runs,
// because gyp passes compiler flags on as they are.

const { readdirSync, existsSync } = require('node:fs')
const { join, relative } = require('node:path')

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

// A clone has the packages that its lockfile names, the package brings their sources along. Nothing else is looked at:
// a project may hold other versions of them.
function packageFolder(name) {
  const places = ['node_modules', 'third_party'].map((folder) => join(root, folder, name))
  const found = places.find((place) => existsSync(place))
  if (found === undefined) throw new Error(`${name} is not installed: npm ci`)
  return found
}

const lists = {
  core: () =>
    listFiles('native/core', '.cc').filter(
      (path) => !path.endsWith('_test.cc') && !path.endsWith('_fuzz.cc') && path !== claimSource,
    ),
  binding: () => listFiles('native/binding', '.cc'),
  claim: () => [claimSource],
  simsimd: () => [relative(root, join(packageFolder('simsimd'), 'c/lib.c'))],
  'system-includes': () =>
    [join(packageFolder('simsimd'), 'include'), packageFolder('node-addon-api')].flatMap((folder) => [
      '-isystem',
      relative(join(root, 'build'), folder),
    ]),
}

module.exports = { listFiles, lists }

if (require.main === module) console.log(lists[process.argv[2]]().join('\n'))
