// One rewriting (R11): what lives of a run of adjacent sealed segments is copied into a new one, which takes the run's
// place in the list. The steps are argued in docs/concurrency.md, what a death at each leaves in docs/durability.md.
//
// Not here: which runs are worth it (compact.cc).
// Thread rule: one thread; the compact lock is held throughout.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/store/store.h"

namespace thermocline::store {

/// Entries [first, first + count) of a list, all sealed, their ends known.
struct SegmentRun {
  size_t first = 0;
  size_t count = 0;
};

class Store::Rewriting {
 public:
  /// `between`: called between two frames of the copy, when not empty.
  Rewriting(Store& store, uint64_t timeout_us, const std::atomic<bool>& cancel, std::function<void()> between)
      : store_(store),
        timeout_us_(timeout_us),
        cancel_(cancel),
        between_(std::move(between)),
        syncs_(store.SyncsLists()) {}
  /// Removes the copy that was not published.
  ~Rewriting();
  Rewriting(const Rewriting&) = delete;
  Rewriting& operator=(const Rewriting&) = delete;

  /// All steps. On an error before the rename nothing has changed. kCorrupt: the run holds something damaged.
  Status Run(const format::Meta& list, SegmentRun run);

  uint64_t moved() const { return records_.size(); }
  uint64_t longest_hold_us() const { return longest_hold_us_; }

 private:
  struct Record {
    Segment* source;
    uint64_t offset;
    uint32_t length;
    Slot slot;
    uint64_t hash;
    bool has_embedding;
    Sequence sequence;
    // Of the copy.
    Position position;
    Slot target_slot;
    format::IndexCell* cell;
  };
  struct DroppedDeletion {
    Position position;
    uint64_t hash;
    format::IndexCell* cell;
  };

  Status Choose(const format::Meta& list, SegmentRun run);
  Status ChooseFrom(Segment& segment, uint64_t end);
  Status ChooseRecord(Segment& segment, uint64_t offset, const format::RecordView& record);
  void Reserve();
  Status CreateTarget(const format::Meta& list, SegmentRun run);
  Status Copy();
  Status CopyFrame(size_t first, size_t count, uint64_t* offset);
  Status CopyRecord(Record& record, uint64_t offset);
  void WriteFrameHeader(format::FrameHeader header, uint64_t offset);
  Status SyncTarget();
  Status Publish();
  bool MayRename();
  Status ChangeList(const std::function<Status(format::Meta&)>& change, const std::function<Status(format::Meta)>& act);
  Status ReplaceRun(format::Meta& meta) const;
  void FindCells();
  Status Swing(format::Meta list);
  void CopyDeaths();
  void SwingIndex();
  Status GiveBack();

  Store& store_;
  const uint64_t timeout_us_;
  const std::atomic<bool>& cancel_;
  const std::function<void()> between_;
  bool syncs_;

  std::vector<uint32_t> numbers_;  // of the run
  std::vector<std::shared_ptr<Segment>> sources_;
  bool heads_list_ = false;
  std::vector<Record> records_;
  std::vector<DroppedDeletion> deletions_;
  std::vector<size_t> frames_;  // index of the first record of each frame of the copy
  uint32_t slots_ = 0;
  uint64_t log_end_ = 0;
  Sequence dropped_up_to_ = 0;
  uint64_t dead_bytes_ = 0;                   // of what is dropped, as boot_->dead_bytes counts
  std::optional<format::FrameHeader> first_;  // of the run

  SegmentNumber target_number_{};
  std::shared_ptr<Segment> target_;
  Position last_frame_;
  uint32_t last_frame_crc_ = 0;
  IndexWord found_in_;
  bool created_ = false;
  bool published_ = false;
  uint64_t longest_hold_us_ = 0;
};

}  // namespace thermocline::store
