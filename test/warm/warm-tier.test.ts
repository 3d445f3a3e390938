// WarmTier adopts the contract of a Store, and `open` of the package is the same thing.

import { open } from 'thermocline'
import { ContentLog, MemoryIndex, openWarmTier, WarmTier } from 'thermocline/warm'
import { expect, test } from 'vitest'
import { storeContract } from '../contract/store-contract.js'
import { temporaryDirectory, temporaryStore } from '../support/temporary.js'

// Besides those of the contract, for what is built on it.
storeContract('WarmTier', openWarmTier, ['peek', 'peekIfNewest', 'writeIf'])

test('open gives a WarmTier with its memory index and content log', () => {
  const { store } = temporaryStore(open)
  expect(store).toBeInstanceOf(WarmTier)
  const tier = store as WarmTier
  expect(tier.index).toBeInstanceOf(MemoryIndex)
  expect(tier.log).toBeInstanceOf(ContentLog)
})

test('a path is taken relative to the working directory at the call, not later', () => {
  const directory = temporaryDirectory()
  const here = process.cwd()
  process.chdir(directory)
  const tier = openWarmTier('relative', { dimensions: 2, durability: 'none' })
  process.chdir(here)
  const nested = (function* () {
    yield { id: 'outer' }
    tier.putMany([{ id: 'inner' }]) // opens one more handle
  })()
  tier.putMany(nested)
  tier.close()
  const reopened = openWarmTier(`${directory}/relative/../relative/`)
  expect(reopened.size).toBe(2)
  reopened.close()
})
