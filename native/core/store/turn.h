// The turn: who may close the open segment for new claims.
//
// Writers claim slots without a lock and learn under the write lock whether their segment is still open. Two of whom
// each needs more than half a segment could close each other's again and again, and a steady stream of small writers
// could do the same to one large. So closing needs the turn, a lock that is held for microseconds, but by a writer that
// was closed out several times: that one keeps it from its claim to its commit. Meanwhile the others write into what is
// left of the segment, and wait for the turn when that is full.
//
// Thread rule: a Turn belongs to the thread that made it; a thread that has the turn already gets it at once.
// Lock order: after the gate, before growth and write.
#pragma once

#include "core/store/store.h"

namespace thermocline::store {

class Store::Turn {
 public:
  explicit Turn(Store& store) : store_(store) {}
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  /// kBusy when its owner is alive and keeps it longer than that.
  Status Take(uint64_t timeout_us);
  bool taken() const { return taken_; }

 private:
  Store& store_;
  bool taken_ = false;
};

}  // namespace thermocline::store
