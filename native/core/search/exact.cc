#include "core/search/exact.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/kernels/distance.h"
#include "core/store/log_reader.h"

namespace thermocline::search {
namespace {

// Slots between two looks at the cancel flag: well below a millisecond.
constexpr uint32_t kSlotsPerLook = 1024;
// How far a single-precision score may lie below the true one, in relation to its size.
constexpr double kScoreSlack = 1e-5;

struct Candidate {
  double score;
  Sequence born;
  store::Segment* segment;
  Slot slot;
};

double Slackened(double score) { return score - kScoreSlack * (1 + std::abs(score)); }

/// Whether `a` is the better hit.
bool Better(const Candidate& a, const Candidate& b) { return a.score != b.score ? a.score > b.score : a.born < b.born; }

/// All that may be among the `limit` best once they are scored exactly: those whose scanned score is not below the
/// limit-th best by more than the scan's rounding. A fixed number of spare candidates would not do: a thousand
/// memories of one direction have a thousand scores that differ by rounding alone. Grows as needed, so a huge limit
/// costs nothing on a small store.
class TopCandidates {
 public:
  TopCandidates(uint64_t limit, double floor) : limit_(limit), cut_(floor) {}

  bool Wants(double score) const { return score >= cut_; }
  void Add(const Candidate& candidate) {
    candidates_.push_back(candidate);
    if (best_scores_.size() < limit_) {
      best_scores_.push_back(candidate.score);
      std::push_heap(best_scores_.begin(), best_scores_.end(), std::greater<>());
    } else if (candidate.score > best_scores_.front()) {
      std::pop_heap(best_scores_.begin(), best_scores_.end(), std::greater<>());
      best_scores_.back() = candidate.score;
      std::push_heap(best_scores_.begin(), best_scores_.end(), std::greater<>());
    }
    if (best_scores_.size() == limit_) cut_ = std::max(cut_, Slackened(best_scores_.front()));
    if (candidates_.size() < prune_at_) return;
    std::erase_if(candidates_, [this](const Candidate& other) { return other.score < cut_; });
    prune_at_ = std::max(kPruneAtMin, candidates_.size() * 2);
  }
  std::vector<Candidate>& candidates() { return candidates_; }

 private:
  static constexpr size_t kPruneAtMin = 1024;
  uint64_t limit_;
  double cut_;
  size_t prune_at_ = kPruneAtMin;
  std::vector<double> best_scores_;  // the worst on top
  std::vector<Candidate> candidates_;
};

Status CheckQuery(const store::Store& store, std::span<const float> query) {
  if (query.size() != store.dimensions()) return Status::Error(ErrorCode::kDimension).set_value(store.dimensions());
  bool zero = true;
  for (const float value : query) {
    if (!std::isfinite(value)) return Status::Error(ErrorCode::kNotFinite);
    zero = zero && value == 0;
  }
  if (zero && store.metric() == format::Metric::kCosine) return Status::Error(ErrorCode::kArgumentRange);
  return Status::Ok();
}

}  // namespace

Result<std::vector<SearchHit>> SearchExact(store::Store& store, const SearchRequest& request,
                                           const std::atomic<bool>& cancel) {
  const auto& [query, limit, score_min, filter] = request;
  THERMOCLINE_RETURN_IF_ERROR(CheckQuery(store, query));
  Result<store::Snapshot> snapshot = store.TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  const kernels::ScoreFunction score_of = kernels::FastScore(store.metric());
  const size_t dimensions = store.dimensions();
  if (limit == 0) return std::vector<SearchHit>();
  TopCandidates top(limit, score_min ? Slackened(*score_min) : -HUGE_VAL);

  for (const store::Snapshot::Part& part : snapshot->parts) {
    store::Segment& segment = *part.segment;
    for (uint32_t raw = 0; raw < part.slots; ++raw) {
      if (raw % kSlotsPerLook == 0 && cancel.load(std::memory_order_relaxed)) return ErrorCode::kAborted;
      const auto slot = static_cast<Slot>(raw);
      if (!snapshot->Holds(segment, slot) || !segment.Covers(slot)) continue;
      const double score = score_of(query.data(), segment.embedding(slot), dimensions);
      if (top.Wants(score)) {
        // Whether there is an embedding at all is in the record, so only candidates pay for the look.
        const auto record = store::ReadRecord(segment, LoadRelaxed(segment.record(slot)));
        if (!record) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), segment.record(slot));
        if (!record->has(format::kHasEmbedding)) continue;
        const Sequence born = LoadRelaxed(segment.born(slot));
        if (filter != nullptr && !filter->Matches(segment, slot, LoadRelaxed(segment.record(slot)), born)) continue;
        top.Add({score, born, &segment, slot});
      }
    }
  }

  std::vector<Candidate>& candidates = top.candidates();
  for (Candidate& candidate : candidates) {
    candidate.score =
        kernels::ExactScore(store.metric(), query.data(), candidate.segment->embedding(candidate.slot), dimensions);
  }
  std::sort(candidates.begin(), candidates.end(), Better);
  std::vector<SearchHit> hits;
  for (const Candidate& candidate : candidates) {
    if (hits.size() == limit || (score_min && candidate.score < *score_min)) break;
    hits.push_back({candidate.score, candidate.born,
                    Position(candidate.segment->number(), LoadRelaxed(candidate.segment->record(candidate.slot)))});
  }
  return hits;
}

}  // namespace thermocline::search
