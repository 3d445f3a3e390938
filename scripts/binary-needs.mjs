// What a compiled addon asks of the system that loads it, and whether we promise that much.
//
// Reads the file with `readelf` of binutils, which knows every processor. Used when packing and by the test of the
// package.

import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { root, runOrFail, ScriptError } from './run.mjs'

/** The oldest glibc that the prebuilt binaries run with: that of Node's own. */
export const glibcMin = '2.28'
const libgccMax = '7.0.0' // of the gcc 8 that such systems have
const libraries = /^(?:libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|libgcc_s\.so\.1|ld-linux-[\w-]+\.so\.\d)$/
const names = ['napi_register_module_v1', 'node_api_module_get_api_version_v1']

function compareVersions(left, right) {
  const [a, b] = [left, right].map((version) => version.split('.').map(Number))
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

/** { libraries, versions: [[kind, version, symbol]], exported: [symbol], keepsLoaded } of an ELF file. */
export async function readBinaryNeeds(file) {
  const [dynamic, symbols] = await Promise.all([
    runOrFail('readelf', 'readelf', ['--wide', '--dynamic', file]),
    runOrFail('readelf', 'readelf', ['--wide', '--dyn-syms', file]),
  ])
  const versions = []
  const exported = []
  for (const line of symbols.split('\n')) {
    // number, value, size, type, binding, visibility, section, name
    const [, type, section, name] = /^\s*\d+:\s+\S+\s+\S+\s+(\S+)\s+\S+\s+\S+\s+(\S+)\s+(\S+)/.exec(line) ?? []
    if (name === undefined || type === 'SECTION') continue
    const [symbol, version] = name.split(/@+/)
    if (section !== 'UND') exported.push(symbol)
    else if (version !== undefined) versions.push([...version.split('_'), symbol])
  }
  return {
    libraries: [...dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, library]) => library),
    versions,
    exported: exported.sort(),
    keepsLoaded: /FLAGS_1.*NODELETE/.test(dynamic),
  }
}

/** The highest version of each kind that is asked for, such as { GLIBC: '2.28', GCC: '4.2.0' }. */
export function highestVersions(needs) {
  const highest = {}
  for (const [kind, version] of needs.versions) {
    if (highest[kind] === undefined || compareVersions(version, highest[kind]) > 0) highest[kind] = version
  }
  return highest
}

/** Every way in which the file asks for more than we promise, as lines of text. */
export async function judgeBinary(file) {
  const needs = await readBinaryNeeds(file)
  const most = { GLIBC: glibcMin, GCC: libgccMax }
  const problems = needs.versions
    .filter(([kind, version]) => most[kind] === undefined || compareVersions(version, most[kind]) > 0)
    .map(([kind, version, symbol]) => `asks for ${symbol} of ${kind}_${version} (see native/link/older_glibc.c)`)
  for (const library of needs.libraries) if (!libraries.test(library)) problems.push(`asks for ${library}`)
  if (needs.exported.join() !== names.join()) problems.push(`exports ${needs.exported.join(', ')}`)
  if (!needs.keepsLoaded) problems.push('may be unloaded while its threads run')
  const bytes = readFileSync(file)
  for (const place of [root, homedir()].filter((path) => path.length > 1)) {
    if (bytes.includes(place)) problems.push(`names a folder of this machine: ${place}`)
  }
  return problems
}

/** Throws a ScriptError that names every problem. */
export async function checkBinary(file) {
  const problems = await judgeBinary(file)
  if (problems.length > 0) throw new ScriptError([`${file} is not for other systems:`, ...problems].join('\n  '))
}
