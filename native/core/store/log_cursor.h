// Records of a snapshot in commit order: list order, then log order.
//
// Thread rule: one thread; the store outlives it.
#pragma once

#include <cstdint>
#include <optional>

#include "core/store/store.h"

namespace thermocline::store {

class LogCursor {
 public:
  struct Item {
    MemoryRef memory;
  };

  /// Records with since < sequence <= snapshot.sequence, deletions and replaced ones included.
  LogCursor(Store& store, Snapshot snapshot, Sequence since);

  /// nullopt: the end. kCorrupt: a record that cannot be read.
  Result<std::optional<Item>> Next();
  /// The next record that is a memory of the snapshot. nullopt: the end. kCorrupt: the columns contradict the log.
  /// `sure`: the index is asked as well about each record that is marked as replaced, so that none is missed.
  Result<std::optional<MemoryRef>> NextMemory(bool sure = false);
  /// The deletion that NextMemory passed over last.
  const std::optional<MemoryRef>& last_deletion() const { return last_deletion_; }
  const Snapshot& snapshot() const { return snapshot_; }
  /// Of the frame that holds the record that Next gave last.
  uint64_t frame_offset() const { return frame_at_; }

 private:
  Result<bool> NextFrame();
  bool Reached(size_t part, uint64_t offset) const;
  size_t tail_part() const;
  uint64_t EndOf(size_t part);

  Store* store_;
  Snapshot snapshot_;
  Sequence since_;
  size_t part_ = 0;
  uint64_t offset_ = format::kHeaderBytes;  // of the next frame
  uint64_t frame_at_ = 0;
  uint64_t record_at_ = 0;
  uint32_t records_left_ = 0;
  Sequence last_sequence_ = 0;
  mutable size_t tail_part_ = SIZE_MAX;
  size_t end_part_ = SIZE_MAX;
  uint64_t end_ = 0;
  std::optional<MemoryRef> last_deletion_;
};

}  // namespace thermocline::store
