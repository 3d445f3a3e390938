// Builds and searches the models of models/relacy: the store's own functions, cut out of its sources, under Relacy.
//
// `#pragma cut <file below native> <how a definition begins>` is replaced by that definition. Each place in the sources
// that names a memory order is weakened by one step in turn: the model must find it, or the place stands in `wouldDo`.

import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { wouldDo } from './relacy-orders.mjs'

const run = promisify(execFile)
const models = dirname(fileURLToPath(import.meta.url))
const native = join(models, '..', 'native')

/** Model, what it is of. */
const titles = {
  commit: 'claim, publish, apply and repair beside look-ups and scans',
  index: 'index generations beside a commit and look-ups',
  snapshot: 'a snapshot beside a rotation and commits',
  pins: 'pins and graces, with the barriers of the kernel and without',
  flush: 'the hand-off of a group commit',
  follow: 'the wake-up of followers',
  file_loss: 'the table of the SIGBUS guard',
}

/** Sources that the models call as they are. */
const helpers = [
  'base/assert',
  'base/crc32c',
  'base/hash',
  'base/status',
  'format/frame',
  'format/image',
  'format/meta',
  'io/file_posix',
  'store/batch',
]

/** One step weaker. A fence that is acquire and release is as good as none between a store and a load. */
const weaker = {
  'load acquire': ['relaxed'],
  'store release': ['relaxed'],
  'exchange acq_rel': ['acquire', 'release'],
  'swap acq_rel': ['acquire', 'release'],
  'swap-fails acquire': ['relaxed'],
  'exchange seq_cst': ['acq_rel'],
  'fence seq_cst': ['acq_rel'],
}

/** A definition as it stands in a source, with the line it begins at. */
function definition(file, beginning) {
  const lines = readFileSync(join(native, file), 'utf8').split('\n')
  const begins = lines.flatMap((line, index) => (line.trimStart().startsWith(beginning) ? [index] : []))
  if (begins.length !== 1) throw new Error(`${file}: ${begins.length} definitions begin with: ${beginning}`)
  const indentation = /^ */.exec(lines[begins[0]])[0]
  let end = begins[0]
  while (
    !/[;}]$/.test(lines[end].replace(/ *\/\/.*/, '')) ||
    (end > begins[0] && !lines[end].startsWith(`${indentation}}`))
  ) {
    ++end
  }
  return { text: lines.slice(begins[0], end + 1).join('\n'), line: begins[0] + 1 }
}

/** The models with their cuts, in the directory. */
function expand(from, to) {
  mkdirSync(to, { recursive: true })
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)]
    if (entry.isDirectory()) {
      expand(source, target)
      continue
    }
    const expanded = readFileSync(source, 'utf8')
      .split('\n')
      .map((line, index) => {
        const cut = /^ *#pragma cut (\S+) (.+)$/.exec(line)
        if (cut === null) return line
        const { text, line: begin } = definition(cut[1], cut[2])
        return `#line ${begin} "${cut[1]}"\n${text}\n#line ${index + 2} "models/relacy/${entry.name}"`
      })
    writeFileSync(target, expanded.join('\n'))
  }
}

async function search(program, executions, weakened = []) {
  const begin = Date.now()
  const found = await run(program, ['--executions', String(executions), ...weakened], { maxBuffer: 1 << 30 }).catch(
    (error) => error,
  )
  const stdout = String(found.stdout ?? '')
  const [verdict] = stdout.split('\n')
  if (!/^(holds|found)/.test(verdict)) throw new Error(`${program}: ${found.message}${found.stderr}`)
  return {
    holds: verdict.startsWith('holds'),
    verdict,
    stdout,
    stderr: found.stderr,
    seconds: (Date.now() - begin) / 1000,
  }
}

/** Places of the sources that name an order, from what a sound search printed. */
function sitesOf(stdout) {
  return [...stdout.matchAll(/^site (.+):(\d+):(\S+) (\S+)$/gm)]
    .map(([, name, line, kind, order]) => {
      const file = isAbsolute(name) ? relative(native, name) : name
      return { name, file, line: Number(line), kind, order }
    })
    .filter(({ file }) => file.startsWith('core/'))
    .map((site) => {
      const source = readFileSync(join(native, site.file), 'utf8').split('\n')
      return { ...site, text: source[site.line - 1].trim() }
    })
}

/** The weakenings of all sites, each with the models that contain it. */
function weakeningsOf(sound) {
  const weakenings = new Map()
  for (const { name, stdout } of sound) {
    for (const site of sitesOf(stdout)) {
      for (const order of weaker[`${site.kind} ${site.order}`] ?? []) {
        const title = `${site.file}:${site.line} ${site.kind} ${site.order} -> ${order}`
        const present = weakenings.get(title) ?? { ...site, title, order, models: [] }
        present.models.push(name)
        weakenings.set(title, present)
      }
    }
  }
  return [...weakenings.values()]
}

/** Found by one of the models that contain the site, or known to be stronger than needed. */
async function checkWeakening(directory, { name, file, line, kind, order, text, title, models }, executions, report) {
  const known = wouldDo.find(
    (row) => row.order === order && row.kind === kind && file.endsWith(row.file) && text.includes(row.text),
  )
  const held = []
  for (const model of models) {
    const { holds, verdict } = await search(join(directory, model), executions, [
      '--weaken',
      `${name}:${line}:${kind}:${order}`,
    ])
    if (!holds) {
      const stale = known === undefined ? '' : ', but the list of orders that would do has it'
      report(known === undefined, `${title}: ${text}`, `${model} ${verdict}${stale}`)
      return
    }
    held.push(model)
  }
  report(
    known !== undefined,
    `${title}: ${text}`,
    `${known === undefined ? 'not found' : `would do: ${known.why}`} (${held.join(', ')})`,
  )
}

async function build(directory, jobs, only) {
  expand(join(models, 'relacy'), directory)
  const flags = ['-std=c++20', '-O1', '-w', '-I.', `-I${native}`]
  const compile = (source, object) => run('g++', [...flags, '-c', source, '-o', object], { cwd: directory })
  const names = Object.keys(titles).filter((name) => `relacy ${name}: ${titles[name]}`.includes(only))
  if (names.length === 0) return names
  const objects = helpers.map((name) => `${name.replace('/', '-')}.o`)
  const sources = [
    ...names.map((name) => [`${name}.cc`, `${name}.o`]),
    ...helpers.map((name, index) => [join(native, 'core', `${name}.cc`), objects[index]]),
  ]
  await each(sources, jobs, ([source, object]) => compile(source, object))
  for (const name of names) await run('g++', ['-o', name, `${name}.o`, ...objects], { cwd: directory })
  return names
}

/** Calls `work` for each item, `jobs` at a time. */
async function each(items, jobs, work) {
  const left = [...items]
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}

/** Searches every model whose title has `only` in it, sound and weakened. Returns the counts. */
export async function checkRelacy(directory, { only = '', jobs = 2, executions }) {
  const counts = { passed: 0, failed: 0 }
  const report = (good, title, text) => {
    console.log(`${good ? 'ok' : 'FAILED'}  ${title}: ${text}`)
    if (good) ++counts.passed
    else ++counts.failed
  }
  const names = await build(directory, jobs, only)
  const sound = []
  await each(names, jobs, async (name) => {
    const { holds, verdict, stdout, stderr, seconds } = await search(join(directory, name), executions)
    report(holds, `relacy ${name}: ${titles[name]}`, `${verdict}, ${seconds.toFixed(1)} s`)
    if (holds) sound.push({ name, stdout })
    else console.log(stderr)
  })
  await each(weakeningsOf(sound), jobs, (weakening) => checkWeakening(directory, weakening, executions, report))
  return counts
}
