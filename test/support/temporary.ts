// Directories and stores that go away when the test that asked for them ends.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { OpenOptions, Store } from 'thermocline'
import { onTestFinished } from 'vitest'

/** How a contract gets its stores: opens the store in a directory, or creates it there. */
export type StoreMaker = (directory: string, options?: OpenOptions) => Store

/** An empty directory, removed when the running test ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-test-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export interface TemporaryStore {
  store: Store
  directory: string
  /** One more handle on the same directory; closed like the first. */
  again(options?: OpenOptions): Store
}

/** A store of its own for the running test, closed when that ends. Never synced unless `options` says so. */
export function temporaryStore(makeStore: StoreMaker, options: OpenOptions = {}): TemporaryStore {
  const directory = temporaryDirectory()
  const again = (more?: OpenOptions): Store => {
    const store = makeStore(directory, { durability: 'none', ...more })
    onTestFinished(() => store.close())
    return store
  }
  return { store: again({ dimensions: 3, ...options }), directory, again }
}
