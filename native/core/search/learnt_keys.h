// Keys of metadata paths that nobody named in `indexed` and filters ask about all the same: a cache in memory.
//
// A condition on such a path costs a walk over the metadata of records, each far from the next. Once filters have spent
// as much on a path as reading all of its keys takes (or are about to), the keys are read, and from then on any
// condition on that path is one pass over a column (core/filter/value_key.h), whatever it asks. Keys are true for ever
// (field_index.h says why), so nothing is invalidated, only forgotten. Not here: when to learn (memory_filter.h).
//
// Thread rule: any thread.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/search/field_index.h"

namespace thermocline::search {

/// What is known of one path.
class LearntPath {
 public:
  explicit LearntPath(const std::string& path) : paths_({path}) {}

  const std::string& path() const { return paths_.table().text(0); }
  /// Whether there are keys, of some records at least.
  bool learnt() const { return learnt_.load(std::memory_order_relaxed); }
  /// Keys of all memories of a snapshot, part by part as they lie there; nullptr where there is no memory for them.
  /// Those of records that nobody met yet are made, by up to `threads` threads, until `cancel` is true: what is missing
  /// then says so. Keys of segments that left the list go.
  std::vector<std::shared_ptr<const SegmentKeys>> Learn(const store::Store& store, const store::Snapshot& snapshot,
                                                        uint32_t threads, const std::atomic<bool>& cancel);
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

  /// Records that were asked one by one for want of keys: what the next search weighs against making them.
  uint64_t asked_singly() const { return asked_singly_.load(std::memory_order_relaxed); }
  void AddAskedSingly(uint64_t count) { asked_singly_.fetch_add(count, std::memory_order_relaxed); }

 private:
  struct Segment {
    Segment(uint32_t slots) : keys(slots, 1) {}
    std::mutex mutex;
    SegmentKeys keys;
  };
  class Job;

  std::vector<std::shared_ptr<Segment>> SegmentsOf(const store::Snapshot& snapshot);

  const IndexedPaths paths_;
  std::atomic<bool> learnt_{false};
  std::atomic<size_t> bytes_{0};
  std::atomic<uint64_t> asked_singly_{0};
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Segment>> of_segment_;
};

/// Of one store: the paths asked about last, as many as fit.
class LearntKeys {
 public:
  static constexpr size_t kPathsMax = 64;

  /// A new one has no keys.
  std::shared_ptr<LearntPath> Get(const std::string& path);

 private:
  static constexpr size_t kBytesMax = 64 << 20;

  std::mutex mutex_;
  std::list<std::shared_ptr<LearntPath>> paths_;  // the one asked last in front
};

}  // namespace thermocline::search
