// Which memories can still be among the best while a search runs, by bounds of their scores.
//
// Each thread keeps its own; the cut, below which nothing can be a hit any more, is shared and only rises.
// Thread rule: a Cut is shared, a TopCandidates belongs to one thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <vector>

#include "core/search/search.h"

namespace thermocline::search {

/// A score as a scan computed it: the true one lies within `error` of it.
struct ScannedScore {
  double score;
  double error;
};

struct Candidate {
  ScannedScore scanned;
  store::Segment* segment;
  Slot slot;
};

/// The least score that is known to be needed.
class Cut {
 public:
  explicit Cut(double least) : value_(least) {}
  // Relaxed: a stale cut only lets more through.
  double value() const { return value_.load(std::memory_order_relaxed); }
  void Raise(double value) {
    double present = value_.load(std::memory_order_relaxed);
    while (value > present && !value_.compare_exchange_weak(present, value, std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<double> value_;
};

/// All that may be among the `limit` best once they are scored exactly. A fixed number of spare candidates would not
/// do: a thousand memories of one direction have a thousand scores that differ by rounding alone. Grows as needed, so a
/// huge limit costs nothing on a small store.
class TopCandidates {
 public:
  TopCandidates(uint64_t limit, Cut& cut) : limit_(limit), cut_(cut) {}

  bool Wants(const ScannedScore& scanned) const { return scanned.score + scanned.error >= cut_.value(); }
  void Add(const Candidate& candidate) {
    candidates_.push_back(candidate);
    const double least = candidate.scanned.score - candidate.scanned.error;
    if (least_scores_.size() < limit_) {
      least_scores_.push_back(least);
      std::push_heap(least_scores_.begin(), least_scores_.end(), std::greater<>());
    } else if (least > least_scores_.front()) {
      std::pop_heap(least_scores_.begin(), least_scores_.end(), std::greater<>());
      least_scores_.back() = least;
      std::push_heap(least_scores_.begin(), least_scores_.end(), std::greater<>());
    }
    if (least_scores_.size() == limit_) cut_.Raise(least_scores_.front());
    if (candidates_.size() < prune_at_) return;
    Prune();
    prune_at_ = std::max(kPruneAtMin, candidates_.size() * 2);
  }
  void Prune() {
    std::erase_if(candidates_, [this](const Candidate& other) { return !Wants(other.scanned); });
  }
  const std::vector<Candidate>& candidates() const { return candidates_; }

 private:
  static constexpr size_t kPruneAtMin = 1024;
  uint64_t limit_;
  Cut& cut_;
  size_t prune_at_ = kPruneAtMin;
  std::vector<double> least_scores_;  // the worst on top
  std::vector<Candidate> candidates_;
};

}  // namespace thermocline::search
