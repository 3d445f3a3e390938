// A filter at work on the memories of one snapshot.
//
// It answers for 64 slots at once where it can: from the columns, and from what earlier searches found out about
// records (answers.h). Records that nobody asked yet are asked either all, before the search, or one by one, when they
// would become hits. All is right when few match, since then most would be asked anyway; one by one is right when
// many match. Which it is to be is decided by a sample, and by what asking one by one has cost before: so no filter
// that comes again ever costs much more than it would have cost to know the right way beforehand. Asking all is done by
// reading the keys of its paths, where keys can answer: that serves every later condition on the same paths
// (learnt_keys.h), and costs less than asking a quarter of the records one by one.
//
// Thread rule: any number of threads may ask at once; store, snapshot and filter outlive it.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "core/filter/filter.h"
#include "core/search/answers.h"
#include "core/search/learnt_keys.h"
#include "core/store/store.h"

namespace thermocline::search {

/// The columns of a slot whose memory is committed.
filter::Columns ColumnsOf(const store::Segment& segment, Slot slot);

/// A bit for each of some slots of a segment.
class SlotMask {
 public:
  /// All bits off, for slots [first, end).
  void Reset(uint32_t first, uint32_t end) {
    first_word_ = first / 64;
    words_.assign((end + 63) / 64 - first_word_, 0);
  }
  uint32_t first_word() const { return first_word_; }
  std::vector<uint64_t>& words() { return words_; }

  bool Has(uint32_t slot) const { return (words_[slot / 64 - first_word_] >> (slot % 64) & 1) != 0; }
  /// The first slot from `slot` on whose bit is on, below `end`; else `end`.
  uint32_t Next(uint32_t slot, uint32_t end) const;
  uint64_t Count() const;

 private:
  uint32_t first_word_ = 0;
  std::vector<uint64_t> words_;
};

class MemoryFilter {
 public:
  /// `limit`: hits that are wanted. `threads`: at most so many read keys. Once `cancel`, which outlives this, is true,
  /// answers are cheap and wrong.
  MemoryFilter(store::Store& store, const store::Snapshot& snapshot, const filter::Filter& filter, uint64_t limit,
               uint32_t threads, const std::atomic<bool>& cancel);
  ~MemoryFilter();
  MemoryFilter(const MemoryFilter&) = delete;
  MemoryFilter& operator=(const MemoryFilter&) = delete;

  /// Switches on the slots [first, end) of a segment that may match.
  void Mark(const store::Segment& segment, uint32_t first, uint32_t end, SlotMask* mask) const;
  /// Whether those that Mark leaves on do match, so that `Matches` need not be asked.
  bool asks_all() const { return asks_all_; }
  /// The share of those that Mark leaves on which do match, estimated; in (0, 1].
  double share() const { return asks_all_ ? 1 : share_; }
  /// Of a memory that belongs to the snapshot. One that cannot be asked does not match, and `status` tells of it.
  bool Matches(const store::Segment& segment, Slot slot) const;
  /// kCorrupt with the place of a memory that could not be asked. For when all threads are done.
  Status status() const;

 private:
  struct Part {
    const store::Segment* segment;
    std::vector<std::shared_ptr<SegmentAnswers>> answers;   // one per leaf; nullptr for columns
    std::vector<const filter::ValueKey*> keys;              // one per leaf; nullptr: its path is not indexed
    std::vector<std::shared_ptr<const SegmentKeys>> holds;  // what they lie in
  };

  /// Of the memories that may match by all that is known without asking records.
  struct Sample {
    uint64_t asked = 0;
    uint64_t unknown = 0;  // of them, answered by their records alone
    uint64_t matches = 0;
    double memories = 0;  // all of them in the snapshot, estimated
  };

  void FindKeys(store::Store& store);
  void FindIndexed(store::Store& store, FieldIndex& index);
  void FindLearnt(store::Store& store);
  void UseLearnt(const store::Store& store, size_t leaf);
  bool LearnKeys(const store::Store& store, const Sample& sample, uint64_t limit);
  static bool IsAskingAllBest(const Sample& sample, uint64_t limit, uint64_t spent);
  static double UnknownOf(const Sample& sample);
  static double ReachedByScores(const Sample& sample, uint64_t limit);
  uint64_t SpentOnConditions() const;
  Sample TakeSample() const;
  static double ShareOf(const Sample& sample);
  const Part& PartOf(const store::Segment& segment) const;
  Part& PartOf(const store::Segment& segment);
  uint64_t LiveSlots(const store::Segment& segment, uint32_t word, uint64_t wanted) const;
  filter::Lanes AskKnown(const Part& part, uint32_t word) const;
  filter::Lanes AskColumn(const filter::Leaf& leaf, const store::Segment& segment, uint32_t word) const;
  void AskRecords(const Part& part, uint32_t word, uint64_t wanted) const;

  const store::Snapshot& snapshot_;
  const filter::Filter& filter_;
  const std::atomic<bool>& cancel_;
  const uint32_t threads_;
  std::vector<std::shared_ptr<ConditionAnswers>> conditions_;        // one per leaf; nullptr for columns
  std::vector<Part> parts_;                                          // by address of the segment
  std::vector<std::optional<filter::KeyCondition>> key_conditions_;  // one per leaf; none: not on metadata
  std::vector<std::shared_ptr<LearntPath>> learnt_;                  // one per leaf; nullptr: indexed, or no path
  bool asks_all_ = false;
  double share_ = 1;
  mutable std::atomic<uint64_t> asked_{0};    // records
  mutable std::atomic<uint64_t> damaged_{0};  // position of a record
};

}  // namespace thermocline::search
