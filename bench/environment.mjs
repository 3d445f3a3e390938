// Where the figures come from: machine, kernel, file system, versions, memory bandwidth, cost of a sync.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, freemem, loadavg, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { measureBandwidth } from './bandwidth.mjs'
import { median, quantile, timeEach } from './measure.mjs'
import { open as openDiskProbe } from './peers/disk-probe.mjs'
import { findVersion, loadPeer } from './peers/index.mjs'
import { makeWorkload, streamMemories } from './workload.mjs'

const instructionSets = ['avx2', 'avx512f', 'avx512_vpopcntdq', 'avx512_bf16', 'amx_tile', 'asimd', 'sve']

/** Type of the file system that holds `path`: of the longest mount point above it. */
function findFileSystem(path) {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, point]) => path === point || path.startsWith(point === '/' ? '/' : `${point}/`))
  return mounts.sort((a, b) => a[1].length - b[1].length).at(-1)?.[2] ?? 'unknown'
}

function readCpu() {
  const text = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : ''
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1].split(' '))
  return {
    model: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    sets: instructionSets.filter((name) => flags.has(name)),
  }
}

async function measureSync(directory, { dimensions, quick }) {
  const folder = mkdtempSync(join(directory, 'sync-'))
  const probe = openDiskProbe(join(folder, 'file'), {})
  const inputs = [...streamMemories(makeWorkload(dimensions), 0, quick ? 20 : 200)].map(probe.prepare)
  const times = await timeEach(inputs, probe.putDurable)
  probe.close()
  rmSync(folder, { recursive: true })
  return { p50: median(times), p99: quantile(times, 0.99) }
}

/** Measures the machine. `directory`: where the stores will lie. Microseconds, GB/s, bytes. */
export async function describeEnvironment(directory, options) {
  const bytes = options.n * options.dimensions * 4
  return {
    cpu: readCpu(),
    memoryBytes: totalmem(),
    freeBytes: freemem(),
    loadBefore: loadavg()[0],
    kernel: release(),
    node: process.version,
    fileSystem: findFileSystem(directory),
    bandwidth: {
      bytes,
      oneThread: measureBandwidth(bytes, 1).gigabytesPerSecond,
      allCores: measureBandwidth(bytes, 0).gigabytesPerSecond,
    },
    sync: await measureSync(directory, options),
  }
}

/** Name, version and settings of each subject; a subject that cannot be used has `absent`, the reason. */
export async function describeSubjects(subjects) {
  const described = {}
  for (const subject of subjects) {
    try {
      const { name, settings, reference = false, ceiling = false } = await loadPeer(subject)
      described[subject] = { name, version: findVersion(subject), settings, reference, ceiling }
    } catch (error) {
      described[subject] = { name: subject, absent: error.message.split('\n')[0] }
    }
  }
  return described
}
