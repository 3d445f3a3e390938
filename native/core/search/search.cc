#include "core/search/search.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <thread>

#include "core/kernels/distance.h"
#include "core/search/candidates.h"
#include "core/search/exact.h"
#include "core/search/pool.h"
#include "core/search/row_scorer.h"

namespace thermocline::search {
namespace {

// Embeddings between two looks at the cancel flag: a quarter of a millisecond, and enough to share out.
constexpr uint64_t kExactChunkBytes = 2 * 1024 * 1024;
// Another thread is woken only for so many bytes more: below that, waking costs what it saves.
constexpr uint64_t kBytesPerThreadMin = 4 * 1024 * 1024;
constexpr uint32_t kThreadsDefaultMax = 4;

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

/// One query on one snapshot.
class QueryJob final : public PoolJob {
 public:
  QueryJob(const store::Store& store, const store::Snapshot& snapshot, const SearchRequest& request,
           const std::atomic<bool>& cancel)
      : store_(store),
        snapshot_(snapshot),
        request_(request),
        cancel_(cancel),
        scorer_(store.metric(), request.query),
        cut_(request.score_min.value_or(-HUGE_VAL)) {}

  Result<std::vector<SearchHit>> Run();
  void Work() override;

 private:
  void MakeChunks();
  void Fail(const Status& status);
  std::vector<SearchHit> BestOf(std::vector<Candidate> candidates) const;

  const store::Store& store_;
  const store::Snapshot& snapshot_;
  const SearchRequest& request_;
  const std::atomic<bool>& cancel_;
  RowScorer scorer_;
  Cut cut_;
  std::vector<Chunk> chunks_;
  uint64_t bytes_ = 0;
  std::atomic<size_t> next_chunk_{0};
  std::mutex mutex_;
  Status status_;                      // under the mutex
  std::vector<Candidate> candidates_;  // of all threads, under the mutex
};

void QueryJob::MakeChunks() {
  const uint64_t row_bytes = uint64_t{store_.dimensions()} * sizeof(float);
  const auto slots = static_cast<uint32_t>(std::clamp<uint64_t>(kExactChunkBytes / row_bytes, 64, 16384));
  // The newest segments first: they are the largest, so a good cut is found early.
  for (size_t i = snapshot_.parts.size(); i-- > 0;) {
    const store::Snapshot::Part& part = snapshot_.parts[i];
    for (uint32_t first = 0; first < part.slots; first += slots) {
      chunks_.push_back({part.segment, first, std::min(part.slots, first + slots)});
    }
    bytes_ += part.slots * row_bytes;
  }
}

void QueryJob::Fail(const Status& status) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (status_.ok()) status_ = status;
  next_chunk_.store(chunks_.size(), std::memory_order_relaxed);
}

void QueryJob::Work() {
  TopCandidates top(request_.limit, cut_);
  for (;;) {
    const size_t at = next_chunk_.fetch_add(1, std::memory_order_relaxed);
    if (at >= chunks_.size()) break;
    if (cancel_.load(std::memory_order_relaxed)) return Fail(Status::Error(ErrorCode::kAborted));
    const Status scanned = ScanExactly(snapshot_, chunks_[at], scorer_, request_.filter, top);
    if (!scanned.ok()) return Fail(scanned);
  }
  top.Prune();
  const std::lock_guard<std::mutex> guard(mutex_);
  candidates_.insert(candidates_.end(), top.candidates().begin(), top.candidates().end());
}

Result<std::vector<SearchHit>> QueryJob::Run() {
  MakeChunks();
  const auto useful = static_cast<uint32_t>(std::min<uint64_t>(1 + bytes_ / kBytesPerThreadMin, UINT32_MAX));
  ScanPool::Shared().Run(*this, std::min(request_.threads == 0 ? DefaultThreads() : request_.threads, useful));
  THERMOCLINE_RETURN_IF_ERROR(status_);
  // The cut of all threads together: what was wanted by one may be below what another found.
  std::erase_if(candidates_, [this](const Candidate& candidate) {
    return candidate.scanned.score + candidate.scanned.error < cut_.value();
  });
  return BestOf(std::move(candidates_));
}

std::vector<SearchHit> QueryJob::BestOf(std::vector<Candidate> candidates) const {
  std::vector<SearchHit> hits;
  hits.reserve(candidates.size());
  for (const Candidate& candidate : candidates) {
    const store::Segment& segment = *candidate.segment;
    const double score = kernels::ExactScore(store_.metric(), request_.query.data(), segment.embedding(candidate.slot),
                                             request_.query.size());
    if (request_.score_min && score < *request_.score_min) continue;
    hits.push_back({score, LoadRelaxed(segment.born(candidate.slot)),
                    Position(segment.number(), LoadRelaxed(segment.record(candidate.slot)))});
  }
  std::sort(hits.begin(), hits.end(), [](const SearchHit& a, const SearchHit& b) {
    return a.score != b.score ? a.score > b.score : a.sequence < b.sequence;
  });
  if (hits.size() > request_.limit) hits.resize(request_.limit);
  return hits;
}

}  // namespace

uint32_t DefaultThreads() {
  static const uint32_t threads = std::clamp(std::thread::hardware_concurrency(), 1u, kThreadsDefaultMax);
  return threads;
}

Result<std::vector<SearchHit>> Search(store::Store& store, const SearchRequest& request,
                                      const std::atomic<bool>& cancel) {
  THERMOCLINE_RETURN_IF_ERROR(CheckQuery(store, request.query));
  Result<store::Snapshot> snapshot = store.TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  if (request.limit == 0) return std::vector<SearchHit>();
  return QueryJob(store, *snapshot, request, cancel).Run();
}

}  // namespace thermocline::search
