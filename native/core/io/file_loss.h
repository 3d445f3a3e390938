// What happens when a mapped file turns out not to be there: somebody cut it short, or the disk cannot read a page of
// it.
//
// The kernel answers a touch of such a page with SIGBUS, which ends a process. Here one handler for the process puts a
// page of its own in the place (zeros; in private mappings, which only views read, bytes 0xFF: a float of them is NaN,
// never a plausible number), notes what was lost and lets the thread go on. Whoever asked for the bytes looks at the
// note before it hands anything out. The page belongs to this process alone, so a store that lost one must be closed.
//
// The handler chains: a fault outside of the mappings here, or a signal that somebody sent, is what it would have been
// without us. It is installed when the first file is mapped and stays.
// Thread rule: any thread. The handler takes no lock and allocates nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/base/status.h"

namespace thermocline::io {

/// Pages lost in this process, of whatever store: while it is 0 nobody needs to look further.
inline std::atomic<uint64_t> pages_lost{0};

/// Whether a page was lost in this process. Cost: one load. What was read before the call is covered by the answer.
inline bool AnyPageLost() {
  // The handler runs on the thread that touched the page, in the middle of its reads: they stay before the look.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return pages_lost.load(std::memory_order_relaxed) != 0;
}

/// The first loss of the files that share it, one store's. Kept by every mapping of them.
class FileLoss {
 public:
  bool any() const {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return lost_.load(std::memory_order_acquire);  // pairs with the release in Note, when it was another thread's
  }
  FileRole role() const { return static_cast<FileRole>(role_.load(std::memory_order_relaxed)); }
  uint64_t segment() const { return segment_.load(std::memory_order_relaxed); }
  uint64_t offset() const { return offset_.load(std::memory_order_relaxed); }
  /// False: the file is long enough, but its page could not be read.
  bool is_cut() const { return cut_.load(std::memory_order_relaxed); }
  /// Called by the signal handler.
  void Note(FileRole role, uint64_t segment, uint64_t offset, bool cut);

 private:
  std::atomic<uint32_t> notes_{0};
  std::atomic<uint8_t> role_{0};
  std::atomic<bool> cut_{false};
  std::atomic<uint64_t> segment_{0};
  std::atomic<uint64_t> offset_{0};
  std::atomic<bool> lost_{false};
};

/// Of which file a mapping is, for the note.
struct FileWatch {
  std::shared_ptr<FileLoss> loss;  // nullptr: nobody's, the process only survives
  uint64_t segment = 0;
};

/// One mapped range under guard.
struct GuardedRange;
/// From now on touches of lost pages of the range are survived. Kept until UnguardRange, which comes before munmap.
GuardedRange* GuardRange(const void* begin, uint64_t length, uint64_t file_offset, int descriptor, FileRole role,
                         bool is_private, FileWatch watch);
void UnguardRange(GuardedRange* range);

}  // namespace thermocline::io
