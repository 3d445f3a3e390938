// Asks for records before they are read. Records lie apart by the length of their contents, so each costs a wait for
// its header and another for its metadata; asked for in time they cost neither.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/store/log_reader.h"

namespace thermocline::search {

inline void PrefetchRecord(const store::Segment& segment, uint64_t offset) {
  // An address alone is needed, and a bad one does no harm.
  __builtin_prefetch(segment.LogBytes(offset, sizeof(format::RecordHeader)).data());
}

/// Once the header has come. Metadata lies behind id and content.
inline void PrefetchMetadata(const store::Segment& segment, uint64_t offset) {
  const std::span<const char> bytes = segment.LogBytes(offset, sizeof(format::RecordHeader));
  if (bytes.size() < sizeof(format::RecordHeader)) return;
  format::RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const char* const metadata = bytes.data() + sizeof header + header.id_bytes + header.content_bytes;
  __builtin_prefetch(metadata);
  __builtin_prefetch(metadata + header.metadata_bytes);
}

/// For the records of consecutive slots.
class RecordsAhead {
 public:
  RecordsAhead(const store::Segment& segment, uint32_t first, uint32_t end)
      : segment_(segment), headers_(first), metadata_(first), end_(end) {}

  /// `slot` is about to be read.
  void Reach(uint32_t slot) {
    for (; headers_ < end_ && headers_ < slot + 2 * kAhead; ++headers_) Prefetch(headers_, PrefetchRecord);
    for (; metadata_ < end_ && metadata_ < slot + kAhead; ++metadata_) Prefetch(metadata_, PrefetchMetadata);
  }

 private:
  static constexpr uint32_t kAhead = 12;

  template <typename Ask>
  void Prefetch(uint32_t raw, Ask ask) const {
    const auto slot = static_cast<Slot>(raw);
    if (LoadAcquire(segment_.born(slot)) != 0) ask(segment_, LoadRelaxed(segment_.record(slot)));
  }

  const store::Segment& segment_;
  uint32_t headers_;   // asked for below this slot
  uint32_t metadata_;  // likewise
  uint32_t end_;
};

}  // namespace thermocline::search
