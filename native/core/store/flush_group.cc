// Who syncs: one flush at a time among all threads of all processes, the others share what it did (R13 group commit).
//
// A caller whose writes a finished flush covers returns. Else it tries the flush lock: who gets it leads, and what it
// makes durable is everything committed when it began, so also the writes of those who came while the one before it
// was running. Who does not get it sleeps until a flush ends, then looks again. So a caller waits for two syncs at
// most: the one that was running, and one that began after its writes.
// R8 comes with it: syncs of logs and blocks are made by the owner of the flush lock alone, one after another.
//
// Not here: what a flush writes and syncs (durability.cc).
// Lock order (R17): gate, flush, turn, growth, space, write.

#include <algorithm>

#include "core/io/system.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// How long a leader's death can go unnoticed by those who sleep.
constexpr uint64_t kSliceMicroseconds = 20000;

constexpr uint32_t kEveryone = 0x7FFFFFFF;

}  // namespace

/// Whether a flush that ended covers the sequence, and what it relies on is on the disk as well.
bool Store::IsDurable(Sequence wanted) const {
  return LoadAcquire(boot_->watermark_sequence) >= wanted && !StructureIsDue();
}

Status Store::FlushUpTo(Sequence wanted, uint64_t timeout_us, FlushScope scope) {
  const uint64_t begin = io::NowMonotonicMicroseconds();
  for (;;) {
    // Before the look: a flush that ends between the two lets the wait return at once.
    const uint32_t seen = LoadAcquire(session_->flushes);
    if (scope == FlushScope::kLog && IsDurable(wanted)) return CheckPoison();
    // Does not wait, but takes over from a leader that died: what it had not published is synced again.
    if (flush_lock_->Acquire(0) != SharedLock::Outcome::kBusy) {
      // The leader before this one may have covered it after the look above.
      const bool due = scope == FlushScope::kBlocks || !IsDurable(wanted);
      const Status status = due ? LeadFlush(scope, timeout_us) : CheckPoison();
      flush_lock_->Release();
      FetchAdd(session_->flushes, 1u);
      io::FutexWake(session_->flushes, kEveryone);
      return status;
    }
    const uint64_t waited = io::NowMonotonicMicroseconds() - begin;
    if (waited >= timeout_us) return Status::Error(ErrorCode::kBusy);
    io::FutexWait(session_->flushes, seen, std::min(kSliceMicroseconds, timeout_us - waited));
  }
}

}  // namespace thermocline::store
