// Writes dist/**/index.mjs and index.d.mts: ES modules that hand on the exports of the CommonJS build.
//
// One instance serves import and require, because the wrapper holds no code of its own. The names are read
// from the compiled text, so that no addon need be loaded to build.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const entries = ['index', 'warm/index', 'tiers/index'] // as in package.json's exports

/** Names that a file compiled by tsc exports, those of its `export *` included. Sorted. */
export function listExports(file) {
  const text = readFileSync(file, 'utf8')
  const names = new Set()
  for (const [, name] of text.matchAll(/^(?:exports\.)([\w$]+) = /gm)) names.add(name)
  for (const [, name] of text.matchAll(/^Object\.defineProperty\(exports, "([\w$]+)"/gm)) names.add(name)
  for (const [, chain] of text.matchAll(/^((?:exports\.[\w$]+ = )+)void 0;/gm)) {
    for (const [, name] of chain.matchAll(/exports\.([\w$]+)/g)) names.add(name)
  }
  for (const [, path] of text.matchAll(/^__exportStar\(require\("(\.[^"]+)"\), exports\);/gm)) {
    for (const name of listExports(createRequire(file).resolve(path))) names.add(name)
  }
  names.delete('__esModule')
  names.delete('default')
  return [...names].sort()
}

export function writeModuleWrappers(dist) {
  for (const entry of entries) {
    const file = join(dist, `${entry}.js`)
    if (!existsSync(file)) continue
    const base = `./${entry.slice(entry.lastIndexOf('/') + 1)}.js`
    const names = listExports(resolve(file))
    const lines = [
      `import commonjs from '${base}'`,
      '',
      ...names.map((name) => `export const ${name} = commonjs.${name}`),
    ]
    writeFileSync(join(dist, `${entry}.mjs`), `${lines.join('\n')}\n`)
    writeFileSync(join(dist, `${entry}.d.mts`), `export * from '${base}'\n`)
  }
}
