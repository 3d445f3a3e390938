// One mapped segment: its log and its columns.
//
// Not here: which segments exist (store.h) and what a frame means (log_reader.h).
// Thread rule: mapped once, then shared by all threads of the process; mappings never move. What lies beyond the
// file's end is never touched: every access goes through LogBytes or Covers.
// Invariant: bytes below the tail of a log and blocks of committed records never change (R2), so plain reads of them
// are race-free once the tail, `applied` or an index cell was read with acquire.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "core/base/atomic.h"
#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/format/layout.h"
#include "core/io/file.h"
#include "core/io/mapping.h"
#include "core/kernels/sketch.h"

namespace thermocline::store {

class Segment : public std::enable_shared_from_this<Segment> {
 public:
  /// Creates both files, headers written and synced if `sync`. Files of an interrupted creation are replaced.
  /// `centre`: of the sketches, one value per code bit; empty: a segment without sketches, which is searched exactly.
  /// `columns`: kLater leaves them to the first BackSlots, so that a store that is never written to stays small.
  enum class Columns { kNow, kLater };
  static Status CreateFiles(const io::File& directory, const format::StoreId& store_id, SegmentNumber number,
                            uint32_t slots, uint32_t dimensions, uint64_t log_capacity, bool sync,
                            std::span<const float> centre = {}, Columns columns = Columns::kNow);
  /// The layout of a segment whose files exist. kCorrupt when the header does not hold.
  static Result<format::BlocksHeader> ReadLayout(const io::File& blocks);
  /// Maps the files of an existing segment. Anything that is not as `entry` says is kCorrupt; an entry of which only
  /// the number is known (0 slots) is completed from the files' headers. ENOENT when there are no such files. `loss`
  /// is told when the files are cut short later.
  static Result<std::shared_ptr<Segment>> Map(const io::File& directory, const format::StoreId& store_id,
                                              const format::SegmentEntry& entry, uint32_t dimensions,
                                              std::shared_ptr<io::FileLoss> loss);

  SegmentNumber number() const { return number_; }
  uint32_t slots() const { return layout_.slots; }
  uint64_t log_capacity() const { return log_capacity_; }
  const format::BlocksHeader& layout() const { return layout_; }
  const io::File& log_file() const { return log_file_; }
  const io::File& blocks_file() const { return blocks_file_; }

  /// The log from `offset` to the end of what is known to be backed; empty when the offset is not there. Asks the file
  /// again when fewer than `wanted` bytes are known there.
  std::span<const char> LogBytes(uint64_t offset, uint64_t wanted) const;
  /// The log for writing. The caller holds the write lock and knows from BootWords::log_ready what is backed.
  char* log_data() { return log_map_.data(); }

  /// Whether the slot's block is backed: false for bytes from a file that name a slot beyond it.
  bool Covers(Slot slot) const;
  /// Slots that the file is long enough for; past the last claimed one it holds zeros.
  uint64_t CoveredSlots() const;
  uint64_t& born(Slot slot) const { return Word(layout_.born_offset, slot); }
  uint64_t& died(Slot slot) const { return Word(layout_.died_offset, slot); }
  uint64_t& record(Slot slot) const { return Word(layout_.record_offset, slot); }
  uint64_t& created_at(Slot slot) const { return Word(layout_.created_at_offset, slot); }
  uint64_t& confidence(Slot slot) const { return Word(layout_.confidence_offset, slot); }
  format::Statistics& statistics(Slot slot) const {
    return reinterpret_cast<format::Statistics*>(blocks_map_.data() + layout_.statistics_offset)[Raw(slot)];
  }
  float* embedding(Slot slot) const {
    return reinterpret_cast<float*>(blocks_map_.data() + layout_.embedding_offset +
                                    layout_.embedding_stride * Raw(slot));
  }

  /// Asks for the lines of a record before its length is known: its header and id, or all that most records have.
  void PrefetchLog(uint64_t offset, bool whole) const {
    const uint64_t lines = whole ? 8 : 2;
    for (uint64_t line = 0; line < lines; ++line) __builtin_prefetch(log_map_.data() + offset + 64 * line);
  }
  /// Asks for what a read takes from a slot's columns. Any number: nothing is read. `whole`: the embedding as it is
  /// copied, else only its front as a view shows it.
  void PrefetchBlock(Slot slot, bool whole) const {
    constexpr uint64_t kLinesMax = 24;  // the processor's own prefetcher goes on from there
    if (Raw(slot) >= layout_.slots) return;
    __builtin_prefetch(&statistics(slot));
    const uint64_t at = layout_.embedding_stride * Raw(slot);
    if (!whole) {
      __builtin_prefetch(&record(slot));
      const char* const viewed = private_embeddings_.load(std::memory_order_relaxed);
      if (viewed != nullptr) __builtin_prefetch(viewed + at);
      return;
    }
    const char* const copied = blocks_map_.data() + layout_.embedding_offset + at;
    const uint64_t lines = std::min<uint64_t>(layout_.embedding_stride / 64, kLinesMax);
    for (uint64_t line = 0; line < lines; ++line) __builtin_prefetch(copied + 64 * line);
  }

  /// Gives the file its full length again, as holes, after a clean close cut it.
  Status CoverAllSlots();
  /// Writes the embeddings of slots [first, first + count) at once; backs them by the disk, or fails.
  Status WriteEmbeddings(uint32_t first, uint32_t count, const float* rows);
  bool has_sketches() const { return layout_.sketch_offset != 0; }
  const float* centre() const { return reinterpret_cast<const float*>(blocks_map_.data() + layout_.centre_offset); }
  /// Groups of format::kSketchGroupSlots prefixes, from the one that holds `slot`.
  const char* sketch_groups(Slot slot) const { return sketch(slot).group; }
  kernels::SketchPlace sketch(Slot slot) const {
    const uint64_t group = Raw(slot) / format::kSketchGroupSlots;
    return {blocks_map_.data() + layout_.sketch_offset + group * format::kSketchGroupSlots * layout_.sketch_stride,
            Raw(slot) % format::kSketchGroupSlots,
            blocks_map_.data() + layout_.sketch_rows_offset + layout_.sketch_rows_stride * Raw(slot)};
  }

  /// Backs the columns before the embeddings by the disk, whatever they hold; before the first slot and a rebuild.
  Status BackColumns();
  /// Whether anything of the columns may be backed. Where nothing is, they are not read: to read a hole through a
  /// mapping takes room too in a file system that lies in memory.
  bool HasColumns() const;
  /// Backs slots [from, to) by the disk, the columns with the first, and gives this process writable pages for them.
  Status BackSlots(uint32_t from, uint32_t to);
  /// Backs log bytes [from, to).
  Status BackLog(uint64_t from, uint64_t to, uint64_t chunk_bytes = io::kZeroChunkBytes);
  /// Empties the three columns that are rebuilt with the cache.
  Status ClearRebuiltColumns();

  /// The embedding column of the first `slots` slots over a private mapping: stores there reach nobody. nullptr when
  /// it cannot be mapped. Lives as long as the segment.
  const float* PrivateEmbeddings();

  /// Of one slot in all columns, the embedding's included.
  uint64_t slot_bytes() const {
    return layout_.embedding_stride + (layout_.embedding_offset - format::kHeaderBytes) / layout_.slots;
  }
  uint64_t BlocksBytesFor(uint32_t slots) const { return layout_.embedding_offset + layout_.embedding_stride * slots; }

 private:
  /// kCorrupt when a file is shorter than it was: made longer again, it would read as zeros that nobody wrote.
  Status RefuseIfCut(const io::File& file, uint64_t bytes) const;

  /// Where the columns before the embeddings end.
  uint64_t ColumnsEnd() const;

  uint64_t& Word(uint64_t column, Slot slot) const {
    return reinterpret_cast<uint64_t*>(blocks_map_.data() + column)[Raw(slot)];
  }

  SegmentNumber number_{};
  format::BlocksHeader layout_{};
  uint64_t log_capacity_ = 0;
  io::File log_file_;
  io::File blocks_file_;
  io::Mapping log_map_;
  io::Mapping blocks_map_;
  mutable std::atomic<uint64_t> log_bytes_{0};
  mutable std::atomic<uint64_t> blocks_bytes_{0};
  io::FileWatch watch_;
  std::mutex private_mutex_;
  io::Mapping private_map_;
  std::atomic<const char*> private_embeddings_{nullptr};  // a hint
};

/// "<n>.log", "<n>.blocks".
struct SegmentFileName {
  char text[24];
};
SegmentFileName LogFileName(SegmentNumber number);
SegmentFileName BlocksFileName(SegmentNumber number);
SegmentFileName KeysFileName(SegmentNumber number);

}  // namespace thermocline::store
