#include "core/search/exact.h"

#include <algorithm>
#include <cmath>

#include "core/kernels/distance.h"
#include "core/store/log_reader.h"

namespace thermocline::search {
namespace {

// Candidates beyond the limit, against the rounding of the single-precision scan.
constexpr uint64_t kSpareCandidates = 64;
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

/// Whether `a` is the better hit.
bool Better(const Candidate& a, const Candidate& b) { return a.score != b.score ? a.score > b.score : a.born < b.born; }

/// The best so far, worst on top. Grows as needed, so a huge limit costs nothing on a small store.
class TopCandidates {
 public:
  explicit TopCandidates(uint64_t count_max) : count_max_(count_max) {}

  bool Wants(double score) const { return heap_.size() < count_max_ || score >= heap_.front().score; }
  void Add(const Candidate& candidate) {
    if (heap_.size() < count_max_) {
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end(), Better);
    } else if (Better(candidate, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), Better);
      heap_.back() = candidate;
      std::push_heap(heap_.begin(), heap_.end(), Better);
    }
  }
  std::vector<Candidate>& candidates() { return heap_; }

 private:
  uint64_t count_max_;
  std::vector<Candidate> heap_;
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

Result<std::vector<SearchHit>> SearchExact(store::Store& store, std::span<const float> query, uint64_t limit,
                                           std::optional<double> score_min, const std::atomic<bool>& cancel) {
  THERMOCLINE_RETURN_IF_ERROR(CheckQuery(store, query));
  Result<store::Snapshot> snapshot = store.TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  const kernels::ScoreFunction score_of = kernels::FastScore(store.metric());
  const size_t dimensions = store.dimensions();
  TopCandidates top(limit + kSpareCandidates);
  const double floor = score_min ? *score_min - kScoreSlack * (1 + std::abs(*score_min)) : -HUGE_VAL;

  for (const store::Snapshot::Part& part : snapshot->parts) {
    store::Segment& segment = *part.segment;
    for (uint32_t raw = 0; raw < part.slots; ++raw) {
      if (raw % kSlotsPerLook == 0 && cancel.load(std::memory_order_relaxed)) return ErrorCode::kAborted;
      const auto slot = static_cast<Slot>(raw);
      if (!snapshot->Holds(segment, slot) || !segment.Covers(slot)) continue;
      const double score = score_of(query.data(), segment.embedding(slot), dimensions);
      if (score >= floor && top.Wants(score)) {
        // Whether there is an embedding at all is in the record, so only candidates pay for the look.
        const auto record = store::ReadRecord(segment, LoadRelaxed(segment.record(slot)));
        if (!record) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), segment.record(slot));
        if (!record->has(format::kHasEmbedding)) continue;
        top.Add({score, LoadRelaxed(segment.born(slot)), &segment, slot});
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
