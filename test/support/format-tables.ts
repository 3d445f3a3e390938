// What docs/format.md says, as data: its tables of structs, enums and constants, and the files of its worked example.
//
// Not here: any comparison. Throws when the document is not in the shape that it promises.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface FieldRow {
  offset: number
  size: number
  name: string
}
export interface StructTable {
  name: string
  bytes: number
  fields: FieldRow[]
}
export interface ValueRow {
  name: string
  value: bigint
}
export interface EnumTable {
  name: string
  values: ValueRow[]
}
export interface FormatDocument {
  structs: StructTable[]
  enums: EnumTable[]
  constants: ValueRow[]
  /** Bytes by file name. */
  example: Map<string, Buffer>
}

export const formatDocumentPath = fileURLToPath(new URL('../../docs/format.md', import.meta.url))

export function parseFormatDocument(text = readFileSync(formatDocumentPath, 'utf8')): FormatDocument {
  const document: FormatDocument = { structs: [], enums: [], constants: [], example: new Map() }
  const lines = text.split('\n')
  for (const [at, line] of lines.entries()) {
    const struct = /^### Struct (\w+) \((\d+) bytes\)$/.exec(line)
    if (struct?.[1] !== undefined) {
      const rows = tableAfter(lines, at, ['offset', 'size', 'field', 'encoding', 'meaning'])
      const fields = rows.map(([offset, size, name]) => ({
        offset: Number(offset),
        size: Number(size),
        name: name ?? '',
      }))
      document.structs.push({ name: struct[1], bytes: Number(struct[2]), fields })
    }
    const enumeration = /^### Enum (\w+)$/.exec(line)
    if (enumeration?.[1] !== undefined) {
      const values = tableAfter(lines, at, ['value', 'name']).map(([value, name]) => valueRow(name, value))
      document.enums.push({ name: enumeration[1], values })
    }
    if (/^### [\d.]+ Constants$/.test(line)) {
      const rows = tableAfter(lines, at, ['constant', 'value', 'meaning'])
      document.constants.push(...rows.map(([name, value]) => valueRow(name, value)))
    }
    const dump = /^```hexdump (\S+)$/.exec(line)
    if (dump?.[1] !== undefined) {
      document.example.set(dump[1], parseHexdump(lines.slice(at + 1, lines.indexOf('```', at))))
    }
  }
  return document
}

function valueRow(name: string | undefined, value: string | undefined): ValueRow {
  return { name: name ?? '', value: BigInt(value ?? '') }
}

/** Rows of the first table after line `at` and before the next heading; the columns must begin with `head`. */
function tableAfter(lines: string[], at: number, head: string[]): string[][] {
  let first = at + 1
  while (first < lines.length && !lines[first]?.startsWith('|')) {
    if (lines[first]?.startsWith('#')) throw new Error(`no table under "${lines[at]}"`)
    first += 1
  }
  const cells = (line: string): string[] =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  const names = cells(lines[first] ?? '')
  if (head.some((name, column) => names[column] !== name)) {
    throw new Error(`the table under "${lines[at]}" has the columns ${names.join(', ')}`)
  }
  const rows: string[][] = []
  for (let row = first + 2; lines[row]?.startsWith('|'); row += 1) rows.push(cells(lines[row] ?? ''))
  if (rows.length === 0) throw new Error(`the table under "${lines[at]}" is empty`)
  return rows
}

function parseHexdump(lines: string[]): Buffer {
  const rows = lines
    .filter((line) => line !== '*')
    .map((line) => {
      const match = /^([0-9a-f]{8}) {2}((?:[0-9a-f]{2} ?)+) *\|/.exec(line)
      if (match?.[1] === undefined || match[2] === undefined) throw new Error(`not a line of a dump: ${line}`)
      return { offset: Number.parseInt(match[1], 16), bytes: Buffer.from(match[2].replaceAll(' ', ''), 'hex') }
    })
  const last = rows.at(-1)
  if (last === undefined) throw new Error('an empty dump')
  const file = Buffer.alloc(last.offset + last.bytes.length)
  for (const row of rows) row.bytes.copy(file, row.offset)
  return file
}
