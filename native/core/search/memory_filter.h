// A filter asked about the memories of a store: where its columns, id and metadata lie.
//
// Thread rule: any number of threads may ask at once; the filter outlives it.
#pragma once

#include <atomic>

#include "core/filter/filter.h"
#include "core/store/store.h"

namespace thermocline::search {

/// The columns of a slot whose memory is committed.
filter::Columns ColumnsOf(const store::Segment& segment, Slot slot);

class MemoryFilter {
 public:
  explicit MemoryFilter(const filter::Filter& filter) : filter_(filter) {}

  /// Of a memory that belongs to the snapshot searched. One that cannot be asked does not match, and `status` tells of
  /// it.
  bool Matches(const store::Segment& segment, Slot slot, uint64_t record_offset) const;
  /// kCorrupt with the place of a memory that could not be asked. For when all threads are done.
  Status status() const;

 private:
  const filter::Filter& filter_;
  mutable std::atomic<uint64_t> damaged_{0};  // position of a record
};

}  // namespace thermocline::search
