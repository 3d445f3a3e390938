// What is known of how memories answer to conditions: a cache in memory, of the process.
//
// A record never changes once it is committed (R2) and no slot is used twice (R1), so what a record answers to a
// condition on its id or metadata is true for ever: nothing here is ever invalidated, only forgotten, and any
// snapshot may use it. Two bits per slot and condition: 4 KB for a segment of 16,384 slots.
// Why not an index on disk: docs/decisions/0020.
//
// Thread rule: any thread. Bits are only set, each from unknown to the one right answer, so two threads that find the
// same out at once do no harm.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/filter/filter.h"
#include "core/store/store.h"

namespace thermocline::search {

/// Of the slots of one segment to one condition.
class SegmentAnswers {
 public:
  explicit SegmentAnswers(uint32_t slots) : known_((slots + 63) / 64), yes_(known_.size()) {}

  /// Of slots 64 `word` and on.
  filter::Lanes Get(uint32_t word) const {
    const uint64_t known = LoadAcquire(known_[word]);  // pairs with the release in Note
    const uint64_t yes = LoadRelaxed(yes_[word]);
    return {known & yes, known & ~yes};
  }
  /// Of the slots whose bits are in `known`: those also in `yes` match.
  void Note(uint32_t word, uint64_t known, uint64_t yes) {
    if (yes != 0) FetchOr(yes_[word], yes);
    FetchOr(known_[word], known);
  }
  size_t bytes() const { return 2 * sizeof(uint64_t) * known_.size(); }

 private:
  std::vector<uint64_t> known_;
  std::vector<uint64_t> yes_;
};

/// To one condition.
class ConditionAnswers {
 public:
  explicit ConditionAnswers(std::string text) : text_(std::move(text)) {}

  const std::string& text() const { return text_; }
  /// For the parts of a snapshot, in their order. Those of segments that are not among them are forgotten: they were
  /// rewritten.
  std::vector<std::shared_ptr<SegmentAnswers>> Of(const store::Snapshot& snapshot);
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

  /// Records that were asked one by one because not all were: what the next search weighs against asking all.
  uint64_t asked_singly() const { return asked_singly_.load(std::memory_order_relaxed); }
  void AddAskedSingly(uint64_t count) { asked_singly_.fetch_add(count, std::memory_order_relaxed); }

 private:
  std::string text_;
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<SegmentAnswers>> of_segment_;
  std::atomic<size_t> bytes_{0};
  std::atomic<uint64_t> asked_singly_{0};
};

/// Of one store: the conditions asked last, as many as fit.
class AnswerCache {
 public:
  /// Answers to a condition, known by its text; new ones know nothing.
  std::shared_ptr<ConditionAnswers> Get(const std::string& text);

 private:
  static constexpr size_t kBytesMax = 8 << 20;
  // In a small store answers take next to nothing, and looking for one among all that fit would take longer than the
  // search. As many as one filter may have, and some.
  static constexpr size_t kConditionsMax = 1024;

  void Forget();

  std::mutex mutex_;
  std::list<std::shared_ptr<ConditionAnswers>> conditions_;  // the one asked last in front
};

}  // namespace thermocline::search
