#include "core/format/blocks.h"

#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"

namespace thermocline::format {
namespace {

template <typename Header>
uint32_t CrcOfRest(const Header& header) {
  constexpr size_t kFrom = 16;
  return Crc32c(0, reinterpret_cast<const char*>(&header) + kFrom, sizeof header - kFrom);
}

}  // namespace

BlocksHeader MakeBlocksHeader(const StoreId& store_id, SegmentNumber segment, uint32_t slots, uint32_t dimensions,
                              SketchKind sketch_kind) {
  BlocksHeader header{};
  const auto rounded = static_cast<uint32_t>(RoundUp(slots, 64));
  header.magic = kBlocksMagic;
  header.version = kFormatVersion;
  header.store_id = store_id;
  header.segment = Raw(segment);
  header.slots = rounded;
  header.dimensions = dimensions;
  header.sketch_kind = static_cast<uint32_t>(sketch_kind);
  uint64_t at = kHeaderBytes;
  const auto column = [&at, rounded](uint64_t stride) {
    const uint64_t offset = at;
    at += stride * rounded;
    return offset;
  };
  header.born_offset = column(8);
  header.died_offset = column(8);
  header.record_offset = column(8);
  header.created_at_offset = column(8);
  header.confidence_offset = column(8);
  header.statistics_offset = column(sizeof(Statistics));
  if (sketch_kind == SketchKind::kRabitq1) {
    const uint64_t bits = SketchBits(dimensions);
    const uint64_t prefix_bits = SketchPrefixBits(dimensions);
    header.centre_offset = at;
    at += bits * sizeof(float);
    header.sketch_stride = prefix_bits / 8 + 8;
    header.sketch_offset = column(header.sketch_stride);
    header.sketch_rows_stride = (bits - prefix_bits) / 8 + sizeof(SketchRowTerms);
    header.sketch_rows_offset = column(header.sketch_rows_stride);
  }
  at = RoundUp(at, kSectionBytes);
  header.embedding_stride = uint64_t{dimensions} * sizeof(float);
  header.embedding_offset = column(header.embedding_stride);
  header.file_bytes = RoundUp(at, kSectionBytes);
  header.crc = CrcOfRest(header);
  return header;
}

std::optional<BlocksHeader> DecodeBlocksHeader(std::span<const char> bytes) {
  BlocksHeader header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.slots == 0 || header.slots > kWriteOperationsMax + 64 || header.dimensions == 0 ||
      header.dimensions > kDimensionsMax || header.sketch_kind > static_cast<uint32_t>(SketchKind::kRabitq1)) {
    return std::nullopt;
  }
  const BlocksHeader expected =
      MakeBlocksHeader(header.store_id, static_cast<SegmentNumber>(header.segment), header.slots, header.dimensions,
                       static_cast<SketchKind>(header.sketch_kind));
  if (std::memcmp(&expected, &header, sizeof header) != 0) return std::nullopt;
  return header;
}

LogHeader MakeLogHeader(const StoreId& store_id, SegmentNumber segment, uint64_t log_capacity) {
  LogHeader header{};
  header.magic = kLogMagic;
  header.version = kFormatVersion;
  header.store_id = store_id;
  header.segment = Raw(segment);
  header.log_capacity = log_capacity;
  header.crc = CrcOfRest(header);
  return header;
}

std::optional<LogHeader> DecodeLogHeader(std::span<const char> bytes) {
  LogHeader header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kLogMagic || header.version != kFormatVersion || header.crc != CrcOfRest(header)) {
    return std::nullopt;
  }
  return header;
}

}  // namespace thermocline::format
