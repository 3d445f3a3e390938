// Text for people: units, tables, and what a terminal can be trusted with.

const bytesPerUnit = 1024
const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** 1234567 as `1,234,567`. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US', { maximumFractionDigits: 0 })
}

/** A count with the noun it counts: `1 memory`, `2 memories`. */
export function formatMemories(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'memory' : 'memories'}`
}

/** Bytes in binary units with three digits: `512 B`, `1.50 KiB`, `152 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // 1023.5 would be rounded to 1024 of the smaller unit.
  while (value >= bytesPerUnit - 0.5 && unit < byteUnits.length - 1) {
    value /= bytesPerUnit
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)} ${byteUnits[unit]}`
}

/** Time in the largest two units: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = milliseconds / 1000
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  const minutes = Math.round(whole / 60)
  return `${formatCount(Math.floor(minutes / 60))} h ${minutes % 60} min`
}

/** Milliseconds since the epoch as an ISO date, or the number where no date is that far away. */
export function formatTime(time: number): string {
  const date = new Date(time)
  return Number.isNaN(date.getTime()) ? String(time) : date.toISOString()
}

/** Controls, line and paragraph separators, and what reorders the text around it. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
const unprintableInText = /[^\P{Cc}\n\t]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
const shortEscapes: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

function escapeCharacter(character: string): string {
  return shortEscapes[character] ?? `\\u${(character.codePointAt(0) as number).toString(16).padStart(4, '0')}`
}

/** Text as one line that can do nothing to a terminal: what a store holds was written by anybody. */
export function printable(text: string): string {
  return text.replace(unprintable, escapeCharacter)
}

/** The same for text of several lines: newlines and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(unprintableInText, escapeCharacter)
}

/** The beginning of a text, as many characters as asked for. */
export function truncate(text: string, charactersMax: number): string {
  // Cut before it is split into characters: contents may be megabytes long.
  const characters = Array.from(text.slice(0, charactersMax * 2 + 2))
  return characters.length <= charactersMax ? text : `${characters.slice(0, charactersMax - 1).join('')}…`
}

type Alignment = 'left' | 'right'

/** Rows in columns two blanks apart, no blanks at the ends of lines; one alignment a column, by default left. */
export function formatTable(rows: readonly (readonly string[])[], alignments: readonly Alignment[] = []): string {
  const widths: number[] = []
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length)
  const lines = rows.map((row) =>
    row
      .map((cell, at) => (alignments[at] === 'right' ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}
