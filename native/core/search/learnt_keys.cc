#include "core/search/learnt_keys.h"

#include <algorithm>

#include "core/search/pool.h"

namespace thermocline::search {
namespace {

// Fewer records than this are not worth waking a thread for.
constexpr uint32_t kSlotsPerThreadMin = 4096;

}  // namespace

/// Segments are given out one by one.
class LearntPath::Job final : public PoolJob {
 public:
  Job(const IndexedPaths& paths, const HashKey& hash, const store::Snapshot& snapshot,
      const std::vector<std::shared_ptr<Segment>>& segments, const std::atomic<bool>& cancel)
      : paths_(paths), hash_(hash), snapshot_(snapshot), segments_(segments), cancel_(cancel) {}

  void Work() override {
    for (;;) {
      const size_t at = next_.fetch_add(1, std::memory_order_relaxed);
      if (at >= segments_.size()) return;
      if (segments_[at]->keys.usable()) Look(*segments_[at], snapshot_.parts[at]);
    }
  }

 private:
  void Look(Segment& segment, const store::Snapshot::Part& part) const {
    for (bool done = false; !done && !cancel_.load(std::memory_order_relaxed);) {
      const std::lock_guard<std::mutex> guard(segment.mutex);
      done = segment.keys.Look(paths_.table(), hash_, part);
    }
  }

  const IndexedPaths& paths_;
  const HashKey hash_;
  const store::Snapshot& snapshot_;
  const std::vector<std::shared_ptr<Segment>>& segments_;
  const std::atomic<bool>& cancel_;
  std::atomic<size_t> next_{0};
};

std::vector<std::shared_ptr<LearntPath::Segment>> LearntPath::SegmentsOf(const store::Snapshot& snapshot) {
  const std::lock_guard<std::mutex> guard(mutex_);
  std::map<uint32_t, std::shared_ptr<Segment>> kept;
  std::vector<std::shared_ptr<Segment>> segments;
  size_t bytes = 0;
  for (const store::Snapshot::Part& part : snapshot.parts) {
    std::shared_ptr<Segment>& segment = of_segment_[Raw(part.segment->number())];
    if (segment == nullptr) segment = std::make_shared<Segment>(part.segment->slots());
    bytes += segment->keys.stride() * sizeof(filter::ValueKey);
    kept.emplace(Raw(part.segment->number()), segment);
    segments.push_back(segment);
  }
  of_segment_.swap(kept);
  bytes_.store(bytes, std::memory_order_relaxed);
  return segments;
}

std::vector<std::shared_ptr<const SegmentKeys>> LearntPath::Learn(const store::Store& store,
                                                                  const store::Snapshot& snapshot, uint32_t threads,
                                                                  const std::atomic<bool>& cancel) {
  uint64_t slots = 0;
  for (const store::Snapshot::Part& part : snapshot.parts) slots += part.slots;
  const uint64_t useful = learnt() ? 1 : 1 + slots / kSlotsPerThreadMin;
  const std::vector<std::shared_ptr<Segment>> segments = SegmentsOf(snapshot);
  Job job(paths_, store.hash_key(), snapshot, segments, cancel);
  ScanPool::Shared().Run(job, static_cast<uint32_t>(std::min<uint64_t>(threads, useful)));
  learnt_.store(true, std::memory_order_relaxed);
  std::vector<std::shared_ptr<const SegmentKeys>> keys;
  for (const std::shared_ptr<Segment>& segment : segments) {
    keys.push_back(segment->keys.usable() ? std::shared_ptr<const SegmentKeys>(segment, &segment->keys) : nullptr);
  }
  return keys;
}

std::shared_ptr<LearntPath> LearntKeys::Get(const std::string& path) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found =
      std::find_if(paths_.begin(), paths_.end(), [&](const auto& learnt) { return learnt->path() == path; });
  if (found != paths_.end()) {
    paths_.splice(paths_.begin(), paths_, found);
    return paths_.front();
  }
  // Searches that still use what is forgotten keep it alive.
  size_t bytes = 0;
  size_t count = 1;
  for (auto learnt = paths_.begin(); learnt != paths_.end();) {
    bytes += (*learnt)->bytes();
    learnt = bytes > kBytesMax || ++count > kPathsMax ? paths_.erase(learnt) : std::next(learnt);
  }
  paths_.push_front(std::make_shared<LearntPath>(path));
  return paths_.front();
}

}  // namespace thermocline::search
