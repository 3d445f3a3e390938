// What this process holds of a directory: descriptors and mappings; and how much memory, after a collection.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

function linkOf(descriptor) {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return '' // the one that listed the folder
  }
}

/** Finalisers run in turns of the event loop. */
export async function collectGarbage() {
  for (let turn = 0; turn < 4; turn++) {
    collect()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function countResources(path) {
  const links = readdirSync('/proc/self/fd').map(linkOf)
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n')
  const status = readFileSync('/proc/self/status', 'utf8')
  return {
    descriptors: links.filter(Boolean).length,
    descriptorsOfStore: links.filter((link) => link.startsWith(path)).length,
    mappingsOfStore: maps.filter((line) => line.includes(path)).length,
    threads: readdirSync('/proc/self/task').length,
    rssKb: Number(/VmRSS:\s+(\d+)/.exec(status)[1]),
    anonymousKb: Number(/RssAnon:\s+(\d+)/.exec(status)[1]),
  }
}
