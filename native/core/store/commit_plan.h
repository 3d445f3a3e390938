// What the two halves of a commit share: commit.cc plans under the lock, apply.cc writes and applies.
#pragma once

#include "core/store/store.h"

namespace thermocline::store {

/// What one commit is going to write; made under the write lock before anything is written.
struct Store::Plan {
  Segment* segment = nullptr;
  uint64_t offset = 0;  // of the frame
  uint64_t record_bytes = 0;
  uint64_t image_bytes = 0;  // of the blocks that the frame repeats (R13), 0: it repeats none
  uint32_t records = 0;
  uint32_t images = 0;
  uint64_t inserts = 0;  // index cells that will be filled
  uint64_t memories = 0;
  Sequence first_sequence = 0;
  format::FrameHeader header{};

  uint64_t frame_bytes() const { return sizeof(format::FrameHeader) + record_bytes + image_bytes; }
};

class Store::WriteGuard {
 public:
  explicit WriteGuard(SharedLock& lock) : lock_(lock) {}
  ~WriteGuard() { lock_.Release(); }
  WriteGuard(const WriteGuard&) = delete;
  WriteGuard& operator=(const WriteGuard&) = delete;

 private:
  SharedLock& lock_;
};

}  // namespace thermocline::store
