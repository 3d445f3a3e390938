// `thermocline/warm`: the memory-mapped tier and its two parts, for tools and tests that look below the Store.

export { ContentLog, type LogRecord, type LogTail } from './content-log'
export { MemoryIndex } from './memory-index'
export { openWarmTier, WarmTier } from './warm-tier'
