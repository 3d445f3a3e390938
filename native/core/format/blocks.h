// Where the columns of a blocks file lie.
#pragma once

#include <optional>
#include <span>

#include "core/base/ids.h"
#include "core/format/layout.h"

namespace thermocline::format {

/// The layout of a new segment. `slots` is rounded up to a multiple of 64, so that columns start on cache lines.
BlocksHeader MakeBlocksHeader(const StoreId& store_id, SegmentNumber segment, uint32_t slots, uint32_t dimensions,
                              SketchKind sketch_kind);

/// The header, if its CRC holds and it is the very layout this version makes for its slots, dimensions
/// and kind of sketch: columns
/// are never looked for where a file says, only where both agree.
std::optional<BlocksHeader> DecodeBlocksHeader(std::span<const char> bytes);

LogHeader MakeLogHeader(const StoreId& store_id, SegmentNumber segment, uint64_t log_capacity);
std::optional<LogHeader> DecodeLogHeader(std::span<const char> bytes);

}  // namespace thermocline::format
