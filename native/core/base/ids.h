// Numbers that name things, each its own type, so that a slot never passes for a sequence.
#pragma once

#include <cstdint>
#include <functional>

namespace thermocline {

/// Number of a segment, from 1, never reused. 0: none.
enum class SegmentNumber : uint32_t { kNone = 0 };
/// Number of an embedding block in its segment.
enum class Slot : uint32_t { kNone = 0xFFFFFFFFu };

inline uint32_t Raw(SegmentNumber segment) { return static_cast<uint32_t>(segment); }
inline uint32_t Raw(Slot slot) { return static_cast<uint32_t>(slot); }

/// Number of a record, from 1. 0: before the first.
using Sequence = uint64_t;

/// Place of a frame or record: segment in the high half, offset / 8 in the low half. One word, so that the
/// memory index swings from one record to another by one store. 0: none.
class Position {
 public:
  constexpr Position() = default;
  constexpr explicit Position(uint64_t raw) : raw_(raw) {}
  constexpr Position(SegmentNumber segment, uint64_t offset)
      : raw_((static_cast<uint64_t>(segment) << 32) | (offset >> 3)) {}

  constexpr uint64_t raw() const { return raw_; }
  constexpr bool none() const { return raw_ == 0; }
  constexpr SegmentNumber segment() const { return static_cast<SegmentNumber>(raw_ >> 32); }
  constexpr uint64_t offset() const { return (raw_ & 0xFFFFFFFFu) << 3; }
  friend constexpr bool operator==(Position, Position) = default;

 private:
  uint64_t raw_ = 0;
};

}  // namespace thermocline
