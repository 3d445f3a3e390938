// Goal: what a failed sync means to whoever uses the package: the flush that met it says so, every write and flush of
// every process of this boot is POISONED afterwards, reads go on, and `salvage` brings all of it back; and a last flush
// that nobody waits for is not lost in silence. Method: a library that is loaded before the C library's own lets the
// syncs of one directory fail from the moment that a file appears.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CodedError, open, salvage } from 'thermocline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { failureOf, shortCode } from '../support/failures.js'
import { outcomeOf, runProgram } from '../support/processes.js'
import { temporaryDirectory } from '../support/temporary.js'

/** fdatasync and fsync of files below FAIL_DIRECTORY fail once the file FAIL_FROM is there; like Linux, once each. */
const interposer = `
  #define _GNU_SOURCE
  #include <errno.h>
  #include <stdio.h>
  #include <stdlib.h>
  #include <string.h>
  #include <sys/syscall.h>
  #include <unistd.h>
  static int fails(int descriptor) {
    const char* directory = getenv("FAIL_DIRECTORY");
    const char* from = getenv("FAIL_FROM");
    char link[64], target[4096];
    if (!directory || !from || access(from, F_OK) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) return 0;
    target[length] = 0;
    if (strncmp(target, directory, strlen(directory)) != 0) return 0;
    unlink(from);
    errno = EIO;
    return 1;
  }
  int fdatasync(int descriptor) { return fails(descriptor) ? -1 : (int)syscall(SYS_fdatasync, descriptor); }
  int fsync(int descriptor) { return fails(descriptor) ? -1 : (int)syscall(SYS_fsync, descriptor); }
`

let folder: string
let library: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'thermocline-sync-'))
  library = join(folder, 'syncs.so')
  writeFileSync(join(folder, 'syncs.c'), interposer)
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-o', library, join(folder, 'syncs.c')])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Runs a program whose syncs below `directory` fail once `fail()` was called in it; what it printed, as JSON. */
function runFailing(directory: string, program: string): unknown {
  const from = join(folder, 'fail-from-now')
  rmSync(from, { force: true })
  const prefix = ['env', `LD_PRELOAD=${library}`, `FAIL_DIRECTORY=${directory}`, `FAIL_FROM=${from}`]
  const child = runProgram(
    `import { writeFileSync } from 'node:fs'
    const fail = () => writeFileSync(${JSON.stringify(from)}, '')
    const codeOf = async (act) => { try { await act(); return 'none' } catch (error) { return error.code } }
    ${program}`,
    [directory],
    prefix,
  )
  expect(outcomeOf(child)).toEqual({ status: 0, signal: null })
  expect(existsSync(from), 'no sync failed').toBe(false)
  return JSON.parse(child.stdout)
}

const code = (act: () => unknown): string => shortCode(failureOf(act) as CodedError)

test('POISONED: after a failed flush nobody of this boot writes, all read on, and salvage keeps everything', async () => {
  const directory = join(temporaryDirectory(), 'store')
  const other = open(directory, { dimensions: 2 })
  const said = runFailing(
    directory,
    `const store = open(args[0])
    store.put({ id: 'durable', content: '1' })
    await store.flush()
    store.put({ id: 'visible', content: '2' })
    fail()
    const flushes = [await codeOf(() => store.flush()), await codeOf(() => store.flush())]
    const put = await codeOf(() => store.put({ id: 'refused' }))
    console.log(JSON.stringify({ flushes, put, content: store.get('visible').content, durable: store.stats().durableSequence }))
    await store.close()`,
  )
  expect(said).toEqual({
    flushes: ['THERMOCLINE_IO', 'THERMOCLINE_POISONED'],
    put: 'THERMOCLINE_POISONED',
    content: '2',
    durable: 1,
  })
  // The other process was there all the time and met no error itself.
  expect(code(() => other.put({ id: 'refused' }))).toBe('POISONED')
  expect(code(() => other.delete('durable'))).toBe('POISONED')
  await expect(other.flush()).rejects.toMatchObject({ code: 'THERMOCLINE_POISONED' })
  expect(other.get('visible')?.content).toBe('2')
  await other.close()
  const later = open(directory)
  expect(code(() => later.put({ id: 'refused' }))).toBe('POISONED')
  await later.close()

  const target = join(temporaryDirectory(), 'salvaged')
  await salvage(directory, target)
  const saved = open(target)
  expect([saved.get('durable')?.content, saved.get('visible')?.content]).toEqual(['1', '2'])
  saved.put({ id: 'written again' })
  await saved.flush()
  await saved.close()
})

test('a last sync that fails is known to the next opener, also when nobody waits for it', async () => {
  for (const ending of ['await codeOf(() => store.close())', "'not closed'"]) {
    const directory = join(temporaryDirectory(), 'store')
    runFailing(
      directory,
      `const store = open(args[0], { dimensions: 2 })
      store.put({ id: 'visible', content: '2' })
      fail()
      console.log(JSON.stringify(${ending}))`,
    )
    const next = open(directory)
    expect(next.get('visible')?.content).toBe('2')
    expect(code(() => next.put({ id: 'refused' }))).toBe('POISONED')
    await next.close()
  }
})
