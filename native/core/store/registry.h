// One Store per directory and process, whatever thread, path spelling or module system asks for it.
//
// Thread rule: any thread. Opening and closing stores of one process wait for each other.
#pragma once

#include <memory>
#include <string>

#include "core/store/store.h"

namespace thermocline::store {

/// Opens, or counts one more user of the store that is open.
Result<std::shared_ptr<Store>> AcquireStore(const std::string& path, const OpenOptions& options);
/// Gives back one use; the last one closes.
Status ReleaseStore(const std::shared_ptr<Store>& store);

}  // namespace thermocline::store
