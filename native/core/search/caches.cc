#include "core/search/caches.h"

namespace thermocline::search {

SearchCaches& SearchCaches::Of(store::Store& store) {
  // The store has no other companion than this one.
  return static_cast<SearchCaches&>(
      store.GetCompanion([]() -> std::unique_ptr<store::Companion> { return std::make_unique<SearchCaches>(); }));
}

}  // namespace thermocline::search
