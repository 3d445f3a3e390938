// Reading frames and records where a mapped segment has them. Every offset and length is checked against what is
// backed; a bad one is an answer, never an access.
#pragma once

#include <cstring>
#include <optional>
#include <span>

#include "core/format/frame.h"
#include "core/store/segment.h"

namespace thermocline::store {

/// The record at an offset of a log. nullopt: not a record.
inline std::optional<format::RecordView> ReadRecord(const Segment& segment, uint64_t offset) {
  std::span<const char> bytes = segment.LogBytes(offset, sizeof(format::RecordHeader));
  if (bytes.size() < sizeof(format::RecordHeader)) return std::nullopt;
  uint32_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > bytes.size()) bytes = segment.LogBytes(offset, length);
  return format::DecodeRecord(bytes);
}

/// Whether a record is what was written at its place. Reads all of it.
inline bool CheckRecordAt(const format::RecordView& record, const format::Salt& salt, Position position) {
  return format::CheckRecord(record, format::FrameSeed(salt, position));
}

/// The header of the frame at a position; its body lies within the log. `with_body`: its body CRC holds too.
inline std::optional<format::FrameHeader> ReadFrame(const Segment& segment, const format::Salt& salt, uint64_t offset,
                                                    bool with_body) {
  std::span<const char> bytes = segment.LogBytes(offset, sizeof(format::FrameHeader));
  if (bytes.size() < sizeof(format::FrameHeader)) return std::nullopt;
  uint64_t body;
  std::memcpy(&body, bytes.data() + offsetof(format::FrameHeader, body_bytes), sizeof body);
  if (body > segment.log_capacity()) return std::nullopt;
  if (body + sizeof(format::FrameHeader) > bytes.size()) {
    bytes = segment.LogBytes(offset, body + sizeof(format::FrameHeader));
  }
  const uint32_t seed = format::FrameSeed(salt, Position(segment.number(), offset));
  std::optional<format::FrameHeader> header = format::DecodeFrameHeader(bytes, seed);
  if (header && with_body && !format::CheckFrameBody(*header, bytes, seed)) return std::nullopt;
  return header;
}

inline uint64_t FrameBytes(const format::FrameHeader& header) { return sizeof header + header.body_bytes; }

}  // namespace thermocline::store
