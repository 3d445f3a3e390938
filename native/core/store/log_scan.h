// A log read without trust: frames and records found by their checksums, whatever lies between them passed over.
//
// For verify and salvage. Everybody else reads with log_reader.h and stops at the first thing that does not hold.
// Not here: which frames count, and what a record means.
// Thread rule: a value over bytes that the caller keeps; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "core/base/ids.h"
#include "core/format/frame.h"

namespace thermocline::store {

/// All that a salt contributes to the seeds of checksums: 32 bits each, because a CRC keeps no more. format.md 1.1.
struct SeedState {
  uint32_t frames = 0;
  uint32_t blocks = 0;

  static SeedState Of(const format::Salt& salt);
  /// From the first of the two alone: one determines the other.
  static SeedState OfFrames(uint32_t frames);
  uint32_t FrameSeed(Position position) const;
  uint32_t BlockSeed(SegmentNumber segment, Slot slot) const;
};

struct ScannedFrame {
  uint64_t offset = 0;
  format::FrameHeader header{};
  bool body_holds = false;
};

class LogScan {
 public:
  using OnRecord = std::function<void(uint64_t offset, const format::RecordView& record)>;
  using OnDamage = std::function<void(uint64_t begin, uint64_t end)>;

  /// `log`: the file from its start to where the reader may look.
  LogScan(std::span<const char> log, SegmentNumber segment, const SeedState& seeds)
      : log_(log), segment_(segment), seeds_(seeds) {}

  std::span<const char> log() const { return log_; }
  /// The frame at the offset, if its header holds there and its body lies within the log.
  std::optional<ScannedFrame> FrameAt(uint64_t offset) const;
  /// The first such frame at or after the offset.
  std::optional<ScannedFrame> NextFrame(uint64_t offset) const;
  /// Records whose own checksum holds in [begin, end), and the stretches between them. Gives up, calling the rest
  /// damage, when bytes that only look like records would make it read the range many times over.
  void Records(uint64_t begin, uint64_t end, const OnRecord& on_record, const OnDamage& on_damage) const;

 private:
  std::span<const char> log_;
  SegmentNumber segment_;
  SeedState seeds_;
};

}  // namespace thermocline::store
