// The subjects of the comparison by key. A peer's module is loaded only in the processes that measure it.

import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Subject to the npm package behind it; null: none. */
const packages = {
  thermocline: null,
  'thermocline-commit': null,
  lmdb: 'lmdb',
  'better-sqlite3': 'better-sqlite3',
  'classic-level': 'classic-level',
  lancedb: '@lancedb/lancedb',
  usearch: 'usearch',
  'lancedb-ivf': '@lancedb/lancedb',
  'usearch-graph': 'usearch',
  hnswlib: 'hnswlib-node',
  'hnswlib-graph': 'hnswlib-node',
  'sqlite-vec': 'sqlite-vec',
  'lmdb-usearch': 'lmdb',
  map: null,
  'disk-probe': null,
  'memory-probe': null,
}

export const peerPackages = [...new Set(Object.values(packages).filter((name) => name !== null))]

/** Whether the subject needs no package of bench/package.json. */
export function isOwn(subject) {
  return packages[subject] === null
}

/** The module of a subject. Throws when the package behind it is not installed or does not load. */
export function loadPeer(subject) {
  if (!(subject in packages)) throw new Error(`${subject} is no subject`)
  return import(`./${subject}.mjs`)
}

function readVersion(url) {
  const path = fileURLToPath(url)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : undefined
}

/** Version of the package behind a subject; undefined when it is not installed. */
export function findVersion(subject) {
  const name = packages[subject]
  if (name !== null) return readVersion(new URL(`../node_modules/${name}/package.json`, import.meta.url))
  return subject.startsWith('thermocline') ? readVersion(new URL('../../package.json', import.meta.url)) : ''
}
