// One moment of a store: the segments listed and the last sequence visible then.
//
// A slot belongs to the snapshot iff 0 < born <= sequence and (died = 0 or died > sequence). What is written later has
// a larger `born` and what is replaced later keeps its block (R2), so a snapshot needs no lock and stays right.
// It holds its segments mapped, also those that left the list since.
// Thread rule: a value; the store outlives it (the holder keeps a reference).
#pragma once

#include <memory>
#include <vector>

#include "core/base/ids.h"
#include "core/store/segment.h"

namespace thermocline::store {

struct Snapshot {
  struct Part {
    Segment* segment;
    uint32_t slots;        // no slot of the snapshot at or past this one
    uint64_t log_end = 0;  // of the list; 0: it says none
  };

  Sequence sequence = 0;
  Position tail;            // frames of the snapshot end here at the latest
  std::vector<Part> parts;  // in list order
  std::vector<std::shared_ptr<Segment>> holds;

  bool Holds(const Segment& segment, Slot slot) const {
    const uint64_t born = LoadAcquire(segment.born(slot));
    if (born == 0 || born > sequence) return false;
    const uint64_t died = LoadAcquire(segment.died(slot));
    return died == 0 || died > sequence;
  }
};

}  // namespace thermocline::store
