// Stands in for native/core/store/segment.h: a few slots and a short log, in plain memory.
#pragma once

#include "core/base/atomic.h"
#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/format/layout.h"

namespace thermocline::store {

class Segment : public std::enable_shared_from_this<Segment> {
 public:
  static constexpr uint32_t kSlots = 4;
  static constexpr uint64_t kLogBytes = format::kHeaderBytes + 1024;
  struct Layout {
    uint64_t embedding_stride = 64;
  };

  explicit Segment(uint32_t number) : number_(static_cast<SegmentNumber>(number)) {}
  SegmentNumber number() const { return number_; }
  uint32_t slots() const { return kSlots; }
  uint64_t log_capacity() const { return kLogBytes; }
  const Layout& layout() const { return layout_; }
  /// Whoever asks for bytes reads what begins there.
  std::span<const char> LogBytes(uint64_t offset, uint64_t) const {
    if (offset >= kLogBytes) return {};
    modelled::Reads(log_ + (offset - format::kHeaderBytes));
    return {log_ + (offset - format::kHeaderBytes), kLogBytes - offset};
  }
  char* log_data() { return log_ - format::kHeaderBytes; }
  bool Covers(Slot slot) const { return Raw(slot) < kSlots; }
  uint64_t& born(Slot slot) const { return columns_[0][Raw(slot)]; }
  uint64_t& died(Slot slot) const { return columns_[1][Raw(slot)]; }
  uint64_t& record(Slot slot) const { return columns_[2][Raw(slot)]; }
  uint64_t& created_at(Slot slot) const { return columns_[3][Raw(slot)]; }
  uint64_t& confidence(Slot slot) const { return columns_[4][Raw(slot)]; }
  format::Statistics& statistics(Slot slot) const { return statistics_[Raw(slot)]; }
  float* embedding(Slot slot) const { return embeddings_[Raw(slot)]; }
  void PrefetchLog(uint64_t, bool) const {}
  void PrefetchBlock(Slot, bool) const {}
  Status CoverAllSlots() { return Status::Ok(); }
  Status WriteEmbeddings(uint32_t, uint32_t, const float*) { return Status::Error(ErrorCode::kNotSupported); }

 private:
  SegmentNumber number_;
  Layout layout_;
  mutable uint64_t columns_[5][kSlots] = {};
  mutable format::Statistics statistics_[kSlots] = {};
  mutable float embeddings_[kSlots][16] = {};
  char log_[kLogBytes - format::kHeaderBytes] = {};
};

}  // namespace thermocline::store
