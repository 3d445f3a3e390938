#include "core/search/filtered.h"

#include "core/search/memory_filter.h"

namespace thermocline::search {

Result<std::vector<SearchHit>> SearchFiltered(store::Store& store, const SearchRequest& request,
                                              const filter::Filter& filter, const std::atomic<bool>& cancel) {
  const MemoryFilter candidates(filter);
  SearchRequest filtered = request;
  filtered.filter = &candidates;
  Result<std::vector<SearchHit>> hits = Search(store, filtered, cancel);
  if (hits.ok()) THERMOCLINE_RETURN_IF_ERROR(candidates.status());
  return hits;
}

}  // namespace thermocline::search
