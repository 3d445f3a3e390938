// The contract of a Store (docs: src/store.ts), as a suite that each implementation adopts in one line:
//
//   storeContract('WarmTier', (directory, options) => openWarmTier(directory, options))
//
// `moreMethods`: those that it has besides. `makeStore` opens the store in a directory or creates it there, and may be asked for several handles on one.

import { describe } from 'vitest'
import type { StoreMaker } from '../support/temporary.js'
import { changesContract } from './changes-contract.js'
import { closingContract } from './closing-contract.js'
import { filterContract } from './filter-contract.js'
import { putManyContract } from './put-many-contract.js'
import { readContract } from './read-contract.js'
import { searchContract } from './search-contract.js'
import { valueContract } from './value-contract.js'
import { writeContract } from './write-contract.js'

export function storeContract(name: string, makeStore: StoreMaker, moreMethods?: readonly string[]): void {
  describe(`${name} keeps the contract of a Store`, () => {
    describe('writing', () => writeContract(makeStore))
    describe('putMany and write', () => putManyContract(makeStore))
    describe('reading', () => readContract(makeStore))
    describe('searching', () => searchContract(makeStore))
    describe('filters', () => filterContract(makeStore))
    describe('changes', () => changesContract(makeStore))
    describe('values', () => valueContract(makeStore))
    describe('closing', () => closingContract(makeStore, moreMethods))
  })
}
