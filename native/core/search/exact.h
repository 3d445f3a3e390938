// Similarity search by scanning every embedding of a snapshot.
//
// Exact: the result is what a naive scan in double precision would give. The scan runs in single precision and keeps
// all that rounding could have kept from the best; those are scored again in double precision, then ordered. Thread
// rule: any thread; no lock. Cost: one pass over the embeddings, bound by memory bandwidth.
#pragma once

#include <atomic>
#include <vector>

#include "core/search/search.h"
#include "core/store/store.h"

namespace thermocline::search {

/// The `limit` best memories, best first; of equal scores the lower sequence first. A memory without embedding is
/// never a hit. kDimension, kNotFinite, kArgumentRange (zero query under cosine), kAborted when `cancel` turns true.
Result<std::vector<SearchHit>> SearchExact(store::Store& store, const SearchRequest& request,
                                           const std::atomic<bool>& cancel);

}  // namespace thermocline::search
