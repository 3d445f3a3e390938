#include "core/store/registry.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/io/system.h"

namespace thermocline::store {
namespace {

struct Entry {
  io::FileIdentity identity;
  std::shared_ptr<Store> store;
  size_t uses;
};

struct Registry {
  std::mutex mutex;
  std::vector<Entry> entries;
};

// Never destroyed: worker threads may still close handles while the process runs its exit handlers.
Registry& TheRegistry() {
  static Registry* registry = new Registry();
  return *registry;
}

}  // namespace

Result<std::shared_ptr<Store>> AcquireStore(const std::string& path, const OpenOptions& options) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> guard(registry.mutex);
  Result<io::PathKind> kind = io::KindOfPath(path.c_str());
  if (!kind.ok()) return kind.status();
  if (*kind == io::PathKind::kDirectory) {
    Result<io::File> directory = io::File::OpenDirectory(path.c_str());
    if (!directory.ok()) return directory.status();
    Result<io::FileIdentity> identity = directory->Identity();
    if (!identity.ok()) return identity.status();
    for (Entry& entry : registry.entries) {
      if (!(entry.identity == *identity) || entry.store->forked()) continue;
      THERMOCLINE_RETURN_IF_ERROR(entry.store->CheckOpenOptions(options));
      entry.store->RaiseDurability(options.durability);
      if (!options.read_only) entry.store->AllowWriting();
      ++entry.uses;
      return entry.store;
    }
  }
  Result<std::shared_ptr<Store>> store = Store::Open(path, options);
  if (!store.ok()) return store.status();
  Result<io::FileIdentity> identity = (*store)->DirectoryIdentity();
  if (!identity.ok()) return identity.status();
  registry.entries.push_back({*identity, *store, 1});
  return *store;
}

Status ReleaseStore(const std::shared_ptr<Store>& store) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> guard(registry.mutex);
  const auto entry = std::find_if(registry.entries.begin(), registry.entries.end(),
                                  [&](const Entry& candidate) { return candidate.store == store; });
  if (entry == registry.entries.end() || --entry->uses > 0) return Status::Ok();
  if (store->forked()) return Status::Ok();  // the parent's to close; the entry keeps it from being destroyed here
  registry.entries.erase(entry);
  return store->Close();
}

}  // namespace thermocline::store
