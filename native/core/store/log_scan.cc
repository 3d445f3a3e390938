#include "core/store/log_scan.h"

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"

namespace thermocline::store {
namespace {

// How often a damaged stretch may be read through in search of records: content that was made to look like long
// records must not cost more than this.
constexpr uint64_t kPassesMax = 64;

/// Bytes that judging a record here would read, 0 when its lengths do not even add up.
uint64_t CostOfRecord(std::span<const char> bytes) {
  format::RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const uint64_t used = sizeof header + uint64_t{header.id_bytes} + header.content_bytes + header.metadata_bytes;
  const bool adds_up = format::RoundUp(used, 8) + header.tlv_bytes == header.length;
  return adds_up && header.length <= bytes.size() ? header.length : 0;
}

}  // namespace

SeedState SeedState::Of(const format::Salt& salt) { return OfFrames(Crc32c(0, &salt, sizeof salt)); }

SeedState SeedState::OfFrames(uint32_t frames) {
  // A CRC is linear: seeds that differ in some bits give results that differ by what those bits alone become on their
  // way through as many zeros. Frames begin with seed 0, blocks with seed 1.
  const format::Salt zeros{};
  return {frames, frames ^ Crc32c(0, &zeros, sizeof zeros) ^ Crc32c(1, &zeros, sizeof zeros)};
}

uint32_t SeedState::FrameSeed(Position position) const {
  const uint64_t word = position.raw();
  return Crc32c(frames, &word, sizeof word);
}

uint32_t SeedState::BlockSeed(SegmentNumber segment, Slot slot) const {
  const uint64_t word = (uint64_t{Raw(segment)} << 32) | Raw(slot);
  return Crc32c(blocks, &word, sizeof word);
}

std::optional<ScannedFrame> LogScan::FrameAt(uint64_t offset) const {
  if (offset > log_.size() || log_.size() - offset < sizeof(format::FrameHeader)) return std::nullopt;
  const std::span<const char> bytes = log_.subspan(offset);
  const uint32_t seed = seeds_.FrameSeed(Position(segment_, offset));
  const std::optional<format::FrameHeader> header = format::DecodeFrameHeader(bytes, seed);
  if (!header) return std::nullopt;
  return ScannedFrame{offset, *header, format::CheckFrameBody(*header, bytes, seed)};
}

std::optional<ScannedFrame> LogScan::NextFrame(uint64_t offset) const {
  for (offset = format::RoundUp(offset, 8); offset + sizeof(format::FrameHeader) <= log_.size(); offset += 8) {
    uint32_t magic;
    std::memcpy(&magic, log_.data() + offset, sizeof magic);
    if (magic != format::kFrameMagic) continue;
    if (std::optional<ScannedFrame> frame = FrameAt(offset)) return frame;
  }
  return std::nullopt;
}

void LogScan::Records(uint64_t begin, uint64_t end, const OnRecord& on_record, const OnDamage& on_damage) const {
  end = std::min<uint64_t>(end, log_.size());
  if (begin >= end) return;
  uint64_t bad_from = begin;
  uint64_t budget = kPassesMax * (end - begin);
  uint64_t at = begin;
  while (at + sizeof(format::RecordHeader) <= end && budget > 0) {
    const std::span<const char> bytes = log_.subspan(at, end - at);
    const uint64_t cost = CostOfRecord(bytes);
    if (cost == 0) {
      at += 8;
      continue;
    }
    const auto record = format::DecodeRecord(bytes);
    if (record && format::CheckRecord(*record, seeds_.FrameSeed(Position(segment_, at)))) {
      if (bad_from < at) on_damage(bad_from, at);
      on_record(at, *record);
      at += record->header.length;
      bad_from = at;
      continue;
    }
    budget -= std::min(budget, cost);
    at += 8;
  }
  if (bad_from < end) on_damage(bad_from, end);
}

}  // namespace thermocline::store
