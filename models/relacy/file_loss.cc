// The table of the SIGBUS guard (file_loss_posix.cc): a thread maps, touches a lost page and asks whose it is, while
// another one maps and unmaps in the rows beside it. The handler finds the row of the mapping that stands, and what the
// row says of it; whoever sees the note sees all of the first one.
#include "memory.h"

#include "core/base/status.h"
#include "kernel.h"
#include "search.h"

namespace thermocline::io {

#pragma cut core/io/file_loss.h class FileLoss {
#pragma cut core/io/file_loss.h struct FileWatch {
struct GuardedRange;
GuardedRange* GuardRange(const void* begin, uint64_t length, uint64_t file_offset, int descriptor, FileRole role,
                         bool is_private, FileWatch watch);
void UnguardRange(GuardedRange* range);
#pragma cut core/io/file_loss_posix.cc struct GuardedRange {
namespace {

/// Chunks of two rows.
template <typename Row, size_t>
using Rows = ::std::array<Row, 2>;
#define array thermocline::io::Rows
}  // namespace
}  // namespace thermocline::io
namespace modelled::thermocline {
namespace io = ::thermocline::io;
}
namespace thermocline::io {
namespace {
#pragma cut core/io/file_loss_posix.cc struct RangeChunk {
#undef array

RangeChunk first_chunk;
std::mutex ranges_mutex;
void InstallHandler() {}

#pragma cut core/io/file_loss_posix.cc GuardedRange* FindRange(
#pragma cut core/io/file_loss_posix.cc GuardedRange* FreeRow(

}  // namespace

#pragma cut core/io/file_loss_posix.cc void FileLoss::Note(
#pragma cut core/io/file_loss_posix.cc GuardedRange* GuardRange(
#pragma cut core/io/file_loss_posix.cc void UnguardRange(

struct FileLossModel : rl::test_suite<FileLossModel, 3> {
  modelled::Memory memory;
  Kernel kernel;
  std::shared_ptr<FileLoss> loss = std::make_shared<FileLoss>();

  void before() {
    memory.Begin();
    kernel.Begin();
    for (RangeChunk* chunk = &first_chunk; chunk != nullptr; chunk = nullptr) {
      for (GuardedRange& row : chunk->rows) {
        row.taken = false;
        row.keep.reset();
      }
    }
  }
  /// What the handler does when `segment`'s mapping lost a page, on the thread that touched it.
  void Touch(uintptr_t begin, uint64_t segment) {
    GuardedRange* const range = FindRange(begin + 5);
    RL_ASSERT(range != nullptr);
    RL_ASSERT(range->begin.load(std::memory_order_relaxed) == begin);
    RL_ASSERT(range->segment.load(std::memory_order_relaxed) == segment);
    FileLoss* const told = range->loss.load(std::memory_order_relaxed);
    RL_ASSERT(told == loss.get());
    told->Note(FileRole::kLog, segment, 7, true);
  }
  void Map(uintptr_t begin, int touches) {
    GuardedRange* const range =
        GuardRange(reinterpret_cast<void*>(begin), 10, 0, 3, FileRole::kLog, false, {loss, begin});
    for (; touches > 0; --touches) Touch(begin, begin);
    UnguardRange(range);
  }
  void thread(unsigned number) {
    if (number == 2) return Map(600, 2);
    // Rows that are taken again by mappings on the other side of the one between.
    Map(100 * (number + 1), 0);
    Map(1000 + 100 * number, 1);
  }
};

}  // namespace thermocline::io

int main(int count, char** arguments) { return modelled::Search<thermocline::io::FileLossModel>(count, arguments); }
