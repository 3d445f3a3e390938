// How far a long command is: a bar on a terminal, a plain line now and then elsewhere.

import { isInteractive, paint, type TextStream } from './console'
import { formatCount, formatDuration } from './text'

const drawMs = 100
const lineMs = 10_000
/** The rate is that of about the last so many milliseconds, so that it follows a change without jumping. */
const rateMs = 3000
const barCharactersMin = 8
const barCharactersMax = 24
const columnsDefault = 80

/** How far the work is. `total` undefined: nobody knows. */
export interface Position {
  /** Memories. */
  readonly count: number
  /** In the unit of `total`. */
  readonly done: number
  readonly total: number | undefined
}

/** A moving average of memories per second. */
class Rate {
  #count = 0
  #at: number
  #perMs = 0

  constructor(startedAt: number) {
    this.#at = startedAt
  }

  /** The rate now that `count` are done. */
  update(count: number, now: number): number {
    const ms = now - this.#at
    if (ms > 0) {
      const weight = 1 - Math.exp(-ms / rateMs)
      const latest = (count - this.#count) / ms
      this.#perMs = this.#perMs === 0 ? latest : this.#perMs + weight * (latest - this.#perMs)
      this.#count = count
      this.#at = now
    }
    return this.#perMs * 1000
  }
}

export class Progress {
  readonly #label: string
  readonly #stream: TextStream
  readonly #now: () => number
  readonly #startedAt: number
  readonly #interactive: boolean
  readonly #rate: Rate
  #shownAt: number
  #drawn = false

  /** `stream` undefined: shows nothing. `now`: milliseconds, for tests. */
  constructor(label: string, stream: TextStream | undefined, now = (): number => performance.now()) {
    this.#label = label
    this.#stream = stream ?? { write: () => true }
    this.#now = now
    this.#startedAt = now()
    this.#shownAt = this.#startedAt
    this.#interactive = isInteractive(this.#stream)
    this.#rate = new Rate(this.#startedAt)
  }

  /** Call it as often as you like. */
  update(position: Position): void {
    const now = this.#now()
    if (now - this.#shownAt < (this.#interactive ? drawMs : lineMs)) return
    this.#shownAt = now
    const figures = this.#describe(position, now)
    if (!this.#interactive) {
      this.#stream.write(`${this.#label}: ${figures}\n`)
      return
    }
    // A line that wraps could not be drawn over. Terminals that do not know their width say 0.
    const room = (this.#stream.columns || columnsDefault) - 1 - this.#label.length - 2
    const bar = this.#bar(position, room - figures.length - 3)
    this.#stream.write(`\r${this.#label}: ${bar}${figures.slice(0, Math.max(0, room))}\x1b[K`)
    this.#drawn = true
  }

  /** Takes the bar away, so that the next line begins on a clean one. */
  clear(): void {
    if (this.#drawn) this.#stream.write('\r\x1b[K')
    this.#drawn = false
  }

  /** As wide as the room lets it be, or nothing. */
  #bar({ done, total }: Position, room: number): string {
    const width = Math.min(barCharactersMax, room)
    if (total === undefined || total <= 0 || width < barCharactersMin) return ''
    const filled = Math.min(width, Math.floor((done / total) * width))
    return `[${paint(this.#stream, 'green', '#'.repeat(filled))}${'.'.repeat(width - filled)}] `
  }

  #describe({ count, done, total }: Position, now: number): string {
    const rate = this.#rate.update(count, now)
    const parts = [`${formatCount(count)} memories`, `${formatCount(rate)}/s`]
    if (total !== undefined && total > 0) {
      parts.unshift(`${Math.min(100, Math.floor((done / total) * 100))} %`)
      const msLeft = done > 0 ? ((now - this.#startedAt) * Math.max(0, total - done)) / done : 0
      if (done > 0) parts.push(`${formatDuration(msLeft)} left`)
    }
    return parts.join(', ')
  }
}
