// The memories of a snapshot in commit order, all or those that a filter means.
//
// Thread rule: one thread; the store outlives it.
#pragma once

#include <memory>
#include <optional>

#include "core/filter/filter.h"
#include "core/store/log_cursor.h"

namespace thermocline::search {

class MemoryCursor {
 public:
  /// Memories with since < sequence. `filter`: nullptr means all.
  MemoryCursor(store::Store& store, store::Snapshot snapshot, Sequence since,
               std::shared_ptr<const filter::Filter> filter)
      : cursor_(store, std::move(snapshot), since), filter_(std::move(filter)) {}

  /// nullopt: the end. kCorrupt: a memory that cannot be read or asked; the next call goes on after it.
  Result<std::optional<store::MemoryRef>> Next();

 private:
  store::LogCursor cursor_;
  std::shared_ptr<const filter::Filter> filter_;
};

}  // namespace thermocline::search
