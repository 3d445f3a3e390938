#include "core/search/search.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <mutex>
#include <thread>

#include "core/kernels/distance.h"
#include "core/search/candidates.h"
#include "core/search/exact.h"
#include "core/search/pool.h"
#include "core/search/row_scorer.h"
#include "core/search/sketch_scan.h"

namespace thermocline::search {
namespace {

// Embeddings between two looks at the cancel flag: a quarter of a millisecond, and enough to share out.
constexpr uint64_t kExactChunkBytes = 2 * 1024 * 1024;
// As many slots as the largest segment of usual size has: tens of microseconds.
constexpr uint32_t kSketchChunkSlots = 16384;
// Another thread is woken only for so many bytes more: below that, waking costs what it saves.
constexpr uint64_t kBytesPerThreadMin = 4 * 1024 * 1024;
constexpr uint32_t kThreadsDefaultMax = 4;
// Below so many slots, and when hits are asked for that are not few among them, sketches save nothing.
constexpr uint64_t kSketchSlotsMin = 4096;
constexpr uint64_t kSketchSlotsPerHitMin = 16;
// Between two looks at the cancel flag where hits are scored and sorted: a millisecond at the most dimensions.
constexpr size_t kScoredAtOnce = 256;
constexpr size_t kSortedAtOnce = 16384;

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

uint32_t ThreadsOf(const SearchRequest& request) { return request.threads == 0 ? DefaultThreads() : request.threads; }

/// What all threads share of one query.
struct Query {
  Query(const store::Store& store, const SearchRequest& options, std::span<const float> vector)
      : request(options), scorer(store.metric(), vector), cut(options.score_min.value_or(-HUGE_VAL)) {
    request.query = vector;
  }
  SearchRequest request;
  RowScorer scorer;
  Cut cut;
  std::vector<Candidate> candidates;  // of all threads, under the job's mutex
};

struct Piece {
  Chunk chunk;
  bool by_sketches;
};

/// Some queries on one snapshot. Pieces of the store are the outer loop: what was read for one query is at hand for
/// the next.
class SearchJob final : public PoolJob {
 public:
  SearchJob(store::Store& store, const store::Snapshot& snapshot, const SearchRequest& options,
            std::span<const std::span<const float>> queries, const std::atomic<bool>& cancel)
      : store_(store), snapshot_(snapshot), options_(options), cancel_(cancel) {
    if (options.filter != nullptr)
      filter_.emplace(store, snapshot, *options.filter, options.limit, ThreadsOf(options), cancel);
    for (const std::span<const float> query : queries) {
      queries_.push_back(std::make_unique<Query>(store, options, query));
    }
  }

  Result<std::vector<std::vector<SearchHit>>> Run();
  void Work() override;

 private:
  struct Scan;

  void MakePieces();
  Status ScanPiece(const Piece& piece, const SlotMask* mask, Query& query, Scan& scan) const;
  /// What has still to be asked of what a mask leaves on.
  const MemoryFilter* unasked_filter() const { return filter_ && !filter_->asks_all() ? &*filter_ : nullptr; }
  void Fail(const Status& status);
  Result<std::vector<SearchHit>> BestOf(const Query& query) const;
  bool cancelled() const { return cancel_.load(std::memory_order_relaxed); }
  bool SortHits(std::vector<SearchHit>& hits) const;

  const store::Store& store_;
  const store::Snapshot& snapshot_;
  const SearchRequest& options_;
  const std::atomic<bool>& cancel_;
  double confidence_ = 0;
  std::optional<MemoryFilter> filter_;
  std::vector<std::unique_ptr<Query>> queries_;
  std::vector<Piece> pieces_;
  uint64_t bytes_ = 0;
  std::atomic<size_t> next_piece_{0};
  std::mutex mutex_;
  Status status_;  // under the mutex
};

/// What one thread holds of one query.
struct SearchJob::Scan {
  Scan(Query& query) : top(query.request.limit, query.cut) {}
  TopCandidates top;
  std::unique_ptr<SketchScanner> sketches;  // made when there is a piece for it
};

void SearchJob::MakePieces() {
  uint64_t slots = 0;
  for (const store::Snapshot::Part& part : snapshot_.parts) slots += part.slots;
  const bool use_sketches = !options_.exact && options_.recall < 1 && slots >= kSketchSlotsMin &&
                            options_.limit < slots / kSketchSlotsPerHitMin;
  if (use_sketches) confidence_ = kernels::ConfidenceOf(options_.recall);
  const uint64_t row_bytes = uint64_t{store_.dimensions()} * sizeof(float);
  // The largest first, so that a good cut is found early; of equal ones the newest.
  std::vector<store::Snapshot::Part> parts(snapshot_.parts.rbegin(), snapshot_.parts.rend());
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) { return a.slots > b.slots; });
  for (const store::Snapshot::Part& part : parts) {
    const bool by_sketches = use_sketches && part.segment->has_sketches();
    const uint32_t step =
        by_sketches ? kSketchChunkSlots
                    : static_cast<uint32_t>(std::clamp<uint64_t>(kExactChunkBytes / row_bytes, 64, kSketchChunkSlots));
    for (uint32_t first = 0; first < part.slots; first += step) {
      pieces_.push_back({{part.segment, first, std::min(part.slots, first + step)}, by_sketches});
    }
    bytes_ += part.slots * (by_sketches ? part.segment->layout().sketch_stride : row_bytes) * queries_.size();
  }
}

void SearchJob::Fail(const Status& status) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (status_.ok()) status_ = status;
  next_piece_.store(pieces_.size(), std::memory_order_relaxed);
}

Status SearchJob::ScanPiece(const Piece& piece, const SlotMask* mask, Query& query, Scan& scan) const {
  if (!piece.by_sketches) {
    return ScanExactly(snapshot_, piece.chunk, query.scorer, mask, unasked_filter(), scan.top);
  }
  if (scan.sketches == nullptr) {
    thread_local SketchScratch scratch;
    scan.sketches =
        std::make_unique<SketchScanner>(store_, query.request, unasked_filter(), query.scorer, confidence_, scratch);
  }
  return scan.sketches->Scan(snapshot_, piece.chunk, mask, query.cut, scan.top);
}

void SearchJob::Work() {
  std::vector<Scan> scans;
  scans.reserve(queries_.size());
  for (const std::unique_ptr<Query>& query : queries_) scans.emplace_back(*query);
  thread_local SlotMask mask;  // kept, as fresh pages cost more than what is done with them
  for (;;) {
    const size_t at = next_piece_.fetch_add(1, std::memory_order_relaxed);
    if (at >= pieces_.size()) break;
    if (filter_) {
      if (cancelled()) return Fail(Status::Error(ErrorCode::kAborted));
      const Chunk& chunk = pieces_[at].chunk;
      filter_->Mark(*chunk.segment, chunk.first, chunk.end, &mask);
    }
    for (size_t i = 0; i < queries_.size(); ++i) {
      if (cancelled()) return Fail(Status::Error(ErrorCode::kAborted));
      const Status scanned = ScanPiece(pieces_[at], filter_ ? &mask : nullptr, *queries_[i], scans[i]);
      if (!scanned.ok()) return Fail(scanned);
    }
  }
  for (Scan& scan : scans) scan.top.Prune();
  const std::lock_guard<std::mutex> guard(mutex_);
  for (size_t i = 0; i < queries_.size(); ++i) {
    const std::vector<Candidate>& found = scans[i].top.candidates();
    queries_[i]->candidates.insert(queries_[i]->candidates.end(), found.begin(), found.end());
  }
}

Result<std::vector<std::vector<SearchHit>>> SearchJob::Run() {
  MakePieces();
  const auto useful = static_cast<uint32_t>(std::min<uint64_t>(1 + bytes_ / kBytesPerThreadMin, UINT32_MAX));
  ScanPool::Shared().Run(*this, std::min(ThreadsOf(options_), useful));
  THERMOCLINE_RETURN_IF_ERROR(status_);
  if (filter_) THERMOCLINE_RETURN_IF_ERROR(filter_->status());
  std::vector<std::vector<SearchHit>> hits;
  for (const std::unique_ptr<Query>& query : queries_) {
    Result<std::vector<SearchHit>> best = BestOf(*query);
    if (!best.ok()) return best.status();
    hits.push_back(std::move(*best));
  }
  return hits;
}

/// Scores in double precision what can still be among the best.
Result<std::vector<SearchHit>> SearchJob::BestOf(const Query& query) const {
  const SearchRequest& request = query.request;
  std::vector<SearchHit> hits;
  size_t looked_at = 0;
  for (const Candidate& candidate : query.candidates) {
    if (looked_at++ % kScoredAtOnce == 0 && cancelled()) return Status::Error(ErrorCode::kAborted);
    // What one thread wanted may be below what another found.
    if (candidate.scanned.score + candidate.scanned.error < query.cut.value()) continue;
    const store::Segment& segment = *candidate.segment;
    const double score = kernels::ExactScore(store_.metric(), request.query.data(), segment.embedding(candidate.slot),
                                             request.query.size());
    if (request.score_min && score < *request.score_min) continue;
    hits.push_back({score, LoadRelaxed(segment.born(candidate.slot)),
                    Position(segment.number(), LoadRelaxed(segment.record(candidate.slot)))});
  }
  if (!SortHits(hits)) return Status::Error(ErrorCode::kAborted);
  if (hits.size() > request.limit) hits.resize(request.limit);
  return hits;
}

/// Best first. In runs that are merged, since one sort of a million could not be left in time. False: cancelled.
bool SearchJob::SortHits(std::vector<SearchHit>& hits) const {
  const auto better = [](const SearchHit& a, const SearchHit& b) {
    return a.score != b.score ? a.score > b.score : a.sequence < b.sequence;
  };
  const auto at = [&hits](size_t place) { return hits.begin() + static_cast<ptrdiff_t>(std::min(place, hits.size())); };
  for (size_t run = 0; run < hits.size(); run += kSortedAtOnce) {
    if (cancelled()) return false;
    std::sort(at(run), at(run + kSortedAtOnce), better);
  }
  std::vector<SearchHit> merged;
  for (size_t width = kSortedAtOnce; width < hits.size(); width *= 2) {
    merged.clear();
    merged.reserve(hits.size());
    for (size_t run = 0; run < hits.size(); run += 2 * width) {
      if (cancelled()) return false;
      std::merge(at(run), at(run + width), at(run + width), at(run + 2 * width), std::back_inserter(merged), better);
    }
    hits.swap(merged);
  }
  return true;
}

}  // namespace

uint32_t DefaultThreads() {
  static const uint32_t threads = std::clamp(std::thread::hardware_concurrency(), 1u, kThreadsDefaultMax);
  return threads;
}

Result<std::vector<std::vector<SearchHit>>> SearchMany(store::Store& store, const SearchRequest& request,
                                                       std::span<const std::span<const float>> queries,
                                                       const std::atomic<bool>& cancel) {
  for (const std::span<const float> query : queries) THERMOCLINE_RETURN_IF_ERROR(CheckQuery(store, query));
  if (!(request.recall >= 0 && request.recall <= 1)) return Status::Error(ErrorCode::kArgumentRange);
  Result<store::Snapshot> snapshot = store.TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  if (request.limit == 0 || queries.empty()) return std::vector<std::vector<SearchHit>>(queries.size());
  return SearchJob(store, *snapshot, request, queries, cancel).Run();
}

Result<std::vector<SearchHit>> Search(store::Store& store, const SearchRequest& request,
                                      const std::atomic<bool>& cancel) {
  const std::span<const float> queries[] = {request.query};
  Result<std::vector<std::vector<SearchHit>>> hits = SearchMany(store, request, queries, cancel);
  if (!hits.ok()) return hits.status();
  return std::move(hits->front());
}

}  // namespace thermocline::search
