// npm run bench [-- --quick ...]: builds what is missing, installs the peers of the comparison, runs bench/main.mjs.
//
// The peers are in bench/package.json, because one of them compiles for minutes; --quick needs none.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { modifiedAt, root, runAsProgram, runOrFail } from './run.mjs'
import { installEnvironment, npmCommand, runScript, setup } from './setup.mjs'

async function installPeers() {
  const bench = join(root, 'bench')
  if (!existsSync(join(bench, 'package.json'))) return
  const marker = join(bench, 'node_modules', '.package-lock.json')
  if (modifiedAt(marker) >= modifiedAt(join(bench, 'package-lock.json')) && existsSync(marker)) return
  console.log('bench: installs the peers, which takes some minutes')
  const [npm, ...first] = npmCommand()
  const mode = existsSync(join(bench, 'package-lock.json')) ? 'ci' : 'install'
  await runOrFail('npm', npm, [...first, mode, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: bench,
    env: installEnvironment(),
  })
}

async function main() {
  await setup()
  if (!process.argv.includes('--quick')) await installPeers()
  process.exitCode = await runScript('bench/main.mjs', process.argv.slice(2))
}

runAsProgram(import.meta.url, main)
