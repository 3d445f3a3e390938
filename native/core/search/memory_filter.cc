#include "core/search/memory_filter.h"

#include "core/store/log_reader.h"

namespace thermocline::search {

filter::Columns ColumnsOf(const store::Segment& segment, Slot slot) {
  return {&segment.created_at(slot), &segment.confidence(slot), &segment.statistics(slot).last_access};
}

bool MemoryFilter::Matches(const store::Segment& segment, Slot slot, uint64_t record_offset) const {
  const filter::Columns columns = ColumnsOf(segment, slot);
  const filter::Truth truth = filter_.TestColumns(columns);
  if (truth != filter::Truth::kUnknown) return truth == filter::Truth::kTrue;
  const auto record = store::ReadRecord(segment, record_offset);
  const filter::Verdict verdict =
      record ? filter_.Test(columns, record->id, record->metadata) : filter::Verdict::kCorrupt;
  if (verdict == filter::Verdict::kCorrupt) {
    damaged_.store(Position(segment.number(), record_offset).raw(), std::memory_order_relaxed);
  }
  return verdict == filter::Verdict::kYes;
}

Status MemoryFilter::status() const {
  const Position damaged(damaged_.load(std::memory_order_relaxed));
  return damaged.none() ? Status::Ok() : Status::Corrupt(FileRole::kLog, Raw(damaged.segment()), damaged.offset());
}

}  // namespace thermocline::search
