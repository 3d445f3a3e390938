// Similarity search: what is asked, what is answered, and how the work is shared out.
//
// The memories of one snapshot are scanned in chunks by the calling thread and threads of the shared pool. What a
// chunk may contribute is kept with the bounds of its score; in the end the few that can be among the best are scored
// in double precision and ordered by that. Exact scans miss nothing; sketch scans miss what their bound allows
// (sketch_scan.h, docs/search.md).
// Thread rule: any thread; no lock of the store.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/filter/filter.h"
#include "core/store/store.h"

namespace thermocline::search {

/// Each true hit is kept with at least this probability, also one at the very cut; measured recall is higher.
inline constexpr double kRecallDefault = 0.99;

struct SearchRequest {
  std::span<const float> query = {};  // as many finite numbers as the store has dimensions; not all 0 under cosine
  uint64_t limit = 10;
  std::optional<double> score_min = {};    // inclusive
  const filter::Filter* filter = nullptr;  // which memories may be hits at all; nullptr: all
  bool exact = false;                      // by full embeddings alone
  double recall = kRecallDefault;          // in [0, 1]: the share of true hits that sketches must not lose; 1: exact
  uint32_t threads = 0;                    // at most this many scan, the caller among them; 0: DefaultThreads
};

struct SearchHit {
  double score;
  Sequence sequence;
  Position position;
  bool operator==(const SearchHit&) const = default;
};

/// Threads that scan when the caller does not say.
uint32_t DefaultThreads();

/// The `limit` best memories, best first; of equal scores the lower sequence first. A memory without embedding is
/// never a hit. kDimension, kNotFinite, kArgumentRange (zero query under cosine), kCorrupt, kAborted soon after
/// `cancel` turned true.
Result<std::vector<SearchHit>> Search(store::Store& store, const SearchRequest& request,
                                      const std::atomic<bool>& cancel);

/// The same for each of many queries, on one snapshot; `request.query` is ignored. Each part of the store is read once
/// for all of them.
Result<std::vector<std::vector<SearchHit>>> SearchMany(store::Store& store, const SearchRequest& request,
                                                       std::span<const std::span<const float>> queries,
                                                       const std::atomic<bool>& cancel);

}  // namespace thermocline::search
