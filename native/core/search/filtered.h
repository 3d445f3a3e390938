// Similarity search among the memories that a filter means.
//
// Thread rule: any thread; no lock.
#pragma once

#include <atomic>
#include <vector>

#include "core/filter/filter.h"
#include "core/search/search.h"
#include "core/store/store.h"

namespace thermocline::search {

/// As Search, among the memories that match: `request.limit` hits when so many do. kCorrupt when one that had to
/// be asked cannot be read. `request.filter` is not looked at.
Result<std::vector<SearchHit>> SearchFiltered(store::Store& store, const SearchRequest& request,
                                              const filter::Filter& filter, const std::atomic<bool>& cancel);

}  // namespace thermocline::search
