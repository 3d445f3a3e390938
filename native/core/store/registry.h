// One Store per directory and process, whatever thread, path spelling or module system asks for it.
//
// Thread rule: any thread. Who opens or closes a store waits for those of this process who open or close the same one,
// and for one who creates a store.
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
