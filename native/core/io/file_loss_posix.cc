// A table of ranges that the handler reads without a lock, and the handler.
//
// A row is published by its `begin`, written last, and withdrawn by it, cleared first. The handler looks for a range
// whose mapping stands, since its thread is in the middle of touching it; so that row does not change meanwhile. Of a
// row that does change it may read halves of two ranges: it reads `begin` again after the rest, and two ranges that
// begin at one place are both apart from the one it looks for, whichever end it saw.

#include "core/io/file_loss.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

namespace thermocline::io {

struct GuardedRange {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<uintptr_t> end{0};
  std::atomic<uint64_t> file_offset{0};
  std::atomic<uint64_t> segment{0};
  std::atomic<FileLoss*> loss{nullptr};
  std::atomic<int> descriptor{-1};
  std::atomic<uint8_t> role{0};
  std::atomic<bool> is_private{false};
  bool taken = false;              // under the mutex
  std::shared_ptr<FileLoss> keep;  // what `loss` points to
};

namespace {

struct RangeChunk {
  std::array<GuardedRange, 128> rows;
  std::atomic<RangeChunk*> next{nullptr};
};

// Never freed: a handler may be in it.
RangeChunk first_chunk;
std::mutex ranges_mutex;
uintptr_t page_bytes = 4096;
struct sigaction earlier_action;

GuardedRange* FindRange(uintptr_t address) {
  for (RangeChunk* chunk = &first_chunk; chunk != nullptr; chunk = chunk->next.load(std::memory_order_acquire)) {
    for (GuardedRange& range : chunk->rows) {
      const uintptr_t begin = range.begin.load(std::memory_order_acquire);  // pairs with the release in GuardRange
      if (begin == 0 || address < begin) continue;
      const uintptr_t end = range.end.load(std::memory_order_acquire);
      if (address < end && range.begin.load(std::memory_order_relaxed) == begin) return &range;
    }
  }
  return nullptr;
}

/// Puts a page of this process's own in the place of a lost one. Async-signal-safe.
bool ReplacePage(GuardedRange& range, uintptr_t address) {
  const uintptr_t page = address & ~(page_bytes - 1);
  void* const at = reinterpret_cast<void*>(page);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
  if (::mmap(at, page_bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) return false;
  if (range.is_private.load(std::memory_order_relaxed)) std::memset(at, 0xFF, page_bytes);
  FileLoss* const loss = range.loss.load(std::memory_order_relaxed);
  if (loss != nullptr) {
    const uint64_t offset =
        range.file_offset.load(std::memory_order_relaxed) + (page - range.begin.load(std::memory_order_relaxed));
    struct stat info;
    const bool cut = ::fstat(range.descriptor.load(std::memory_order_relaxed), &info) != 0 ||
                     static_cast<uint64_t>(info.st_size) <= offset;
    loss->Note(static_cast<FileRole>(range.role.load(std::memory_order_relaxed)),
               range.segment.load(std::memory_order_relaxed), offset, cut);
  }
  pages_lost.fetch_add(1, std::memory_order_relaxed);
  return true;
}

/// What the signal would have done without us.
void PassOn(int number, siginfo_t* info, void* context) {
  const bool was_sent = info->si_code <= 0;
  const bool ignored = earlier_action.sa_handler == SIG_IGN;
  if (!ignored && earlier_action.sa_handler != SIG_DFL) {
    if ((earlier_action.sa_flags & SA_SIGINFO) != 0) return earlier_action.sa_sigaction(number, info, context);
    return earlier_action.sa_handler(number);
  }
  if (ignored && was_sent) return;
  // Left to the kernel: a fault comes again when this returns, a signal that was sent has to be sent again.
  struct sigaction default_action = {};
  default_action.sa_handler = SIG_DFL;
  ::sigaction(number, &default_action, nullptr);
  if (was_sent) ::raise(number);
}

void HandleBusError(int number, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool is_fault = info->si_code > 0;  // the kernel's, not a signal that somebody sent
  GuardedRange* const range = is_fault ? FindRange(reinterpret_cast<uintptr_t>(info->si_addr)) : nullptr;
  if (range == nullptr || !ReplacePage(*range, reinterpret_cast<uintptr_t>(info->si_addr))) {
    PassOn(number, info, context);
  }
  errno = saved_errno;
}

/// Under the mutex. On top of what is there, once: whoever installs a handler later has to chain to ours.
void InstallHandler() {
  static bool installed = false;
  if (installed) return;
  installed = true;
  page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  ::sigaction(SIGBUS, nullptr, &earlier_action);
  struct sigaction action = {};
  action.sa_sigaction = HandleBusError;
  action.sa_mask = earlier_action.sa_mask;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGBUS, &action, nullptr);
}

GuardedRange* FreeRow() {
  for (RangeChunk* chunk = &first_chunk;;) {
    for (GuardedRange& range : chunk->rows) {
      if (!range.taken) return &range;
    }
    RangeChunk* next = chunk->next.load(std::memory_order_relaxed);
    if (next == nullptr) {
      next = new RangeChunk();
      chunk->next.store(next, std::memory_order_release);  // pairs with the acquire in FindRange
    }
    chunk = next;
  }
}

}  // namespace

void FileLoss::Note(FileRole role, uint64_t segment, uint64_t offset, bool cut) {
  if (notes_.fetch_add(1, std::memory_order_relaxed) == 0) {  // the first one is the one that is told
    role_.store(static_cast<uint8_t>(role), std::memory_order_relaxed);
    segment_.store(segment, std::memory_order_relaxed);
    offset_.store(offset, std::memory_order_relaxed);
    cut_.store(cut, std::memory_order_relaxed);
  }
  // Also by whoever came second: its own look must not miss it while the first one is still at it.
  lost_.store(true, std::memory_order_release);
}

GuardedRange* GuardRange(const void* begin, uint64_t length, uint64_t file_offset, int descriptor, FileRole role,
                         bool is_private, FileWatch watch) {
  const std::lock_guard<std::mutex> guard(ranges_mutex);
  InstallHandler();
  GuardedRange* const range = FreeRow();
  range->taken = true;
  range->keep = std::move(watch.loss);
  range->loss.store(range->keep.get(), std::memory_order_relaxed);
  range->segment.store(watch.segment, std::memory_order_relaxed);
  range->file_offset.store(file_offset, std::memory_order_relaxed);
  range->descriptor.store(descriptor, std::memory_order_relaxed);
  range->role.store(static_cast<uint8_t>(role), std::memory_order_relaxed);
  range->is_private.store(is_private, std::memory_order_relaxed);
  const auto address = reinterpret_cast<uintptr_t>(begin);
  range->end.store(address + length, std::memory_order_release);
  range->begin.store(address, std::memory_order_release);  // pairs with the acquire in FindRange
  return range;
}

void UnguardRange(GuardedRange* range) {
  const std::lock_guard<std::mutex> guard(ranges_mutex);
  range->begin.store(0, std::memory_order_release);
  range->keep.reset();
  range->taken = false;
}

}  // namespace thermocline::io
