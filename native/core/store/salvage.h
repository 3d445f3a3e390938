// What can be read of a damaged or poisoned store, as a new store.
//
// Thread rule: any thread; touches nothing but `to`.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/status.h"

namespace thermocline::store {

struct SalvageResult {
  uint64_t memories = 0;
  /// Writes that were there and could not be read, and memories written without the embedding that they had.
  uint64_t lost = 0;
};

/// Writes every memory of `from` whose newest write can be read into a new store at `to`, which is absent or empty.
/// kNotFound, kNotAStore: there is nothing to read from; kExists; kIo, kFull. On an error nothing is left at `to`.
Result<SalvageResult> Salvage(const std::string& from, const std::string& to);

}  // namespace thermocline::store
