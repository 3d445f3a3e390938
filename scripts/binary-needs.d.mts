export interface BinaryNeeds {
  libraries: string[]
  versions: [kind: string, version: string, symbol: string][]
  exported: string[]
  keepsLoaded: boolean
}

export const glibcMin: string
export function readBinaryNeeds(file: string): Promise<BinaryNeeds>
export function highestVersions(needs: BinaryNeeds): Record<string, string>
export function judgeBinary(file: string): Promise<string[]>
export function checkBinary(file: string): Promise<void>
