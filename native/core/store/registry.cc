#include "core/store/registry.h"

#include <algorithm>
#include <condition_variable>
#include <list>
#include <mutex>

#include "core/io/system.h"

namespace thermocline::store {
namespace {

struct Entry {
  io::FileIdentity identity;
  std::shared_ptr<Store> store;
  size_t uses;
  bool changing;  // some thread opens or closes it, with the mutex free
};

struct Registry {
  std::mutex mutex;
  std::condition_variable changed;
  std::list<Entry> entries;  // a list: they stay where they are while the mutex is free
  bool creating = false;     // some thread opens a directory that is not there yet, so it has no identity
};

// Never destroyed: worker threads may still close handles while the process runs its exit handlers.
Registry& TheRegistry() {
  static Registry* registry = new Registry();
  return *registry;
}

Result<io::FileIdentity> IdentityOf(const std::string& path) {
  Result<io::File> directory = io::File::OpenDirectory(path.c_str());
  if (!directory.ok()) return directory.status();
  return directory->Identity();
}

}  // namespace

Result<std::shared_ptr<Store>> AcquireStore(const std::string& path, const OpenOptions& options) {
  Registry& registry = TheRegistry();
  std::unique_lock<std::mutex> lock(registry.mutex);
  std::list<Entry>::iterator own = registry.entries.end();
  for (;; registry.changed.wait(lock)) {
    if (registry.creating) continue;
    Result<io::PathKind> kind = io::KindOfPath(path.c_str());
    if (!kind.ok()) return kind.status();
    if (*kind != io::PathKind::kDirectory) break;
    Result<io::FileIdentity> identity = IdentityOf(path);
    if (!identity.ok()) return identity.status();
    const auto entry = std::find_if(registry.entries.begin(), registry.entries.end(), [&](const Entry& candidate) {
      return candidate.identity == *identity && (candidate.changing || !candidate.store->forked());
    });
    if (entry == registry.entries.end()) {
      own = registry.entries.insert(entry, Entry{*identity, nullptr, 0, true});
      break;
    }
    if (entry->changing) continue;
    THERMOCLINE_RETURN_IF_ERROR(entry->store->CheckOpenOptions(options));
    entry->store->RaiseDurability(options.durability);
    if (!options.read_only) entry->store->AllowWriting();
    ++entry->uses;
    return entry->store;
  }
  const bool creates = own == registry.entries.end();
  registry.creating = creates;
  lock.unlock();
  Result<std::shared_ptr<Store>> store = Store::Open(path, options);
  Result<io::FileIdentity> identity = ErrorCode::kNotFound;
  if (store.ok()) identity = (*store)->DirectoryIdentity();
  lock.lock();
  if (creates) {
    registry.creating = false;
  } else {
    registry.entries.erase(own);
  }
  registry.changed.notify_all();
  if (!store.ok()) return store.status();
  if (!identity.ok()) return identity.status();
  registry.entries.push_back(Entry{*identity, *store, 1, false});
  return *store;
}

Status ReleaseStore(const std::shared_ptr<Store>& store) {
  Registry& registry = TheRegistry();
  std::unique_lock<std::mutex> lock(registry.mutex);
  const auto entry = std::find_if(registry.entries.begin(), registry.entries.end(),
                                  [&](const Entry& candidate) { return candidate.store == store; });
  if (entry == registry.entries.end() || --entry->uses > 0) return Status::Ok();
  if (store->forked()) return Status::Ok();  // the parent's to close; the entry keeps it from being destroyed here
  entry->changing = true;
  lock.unlock();
  const Status closed = store->Close();
  lock.lock();
  registry.entries.erase(entry);
  registry.changed.notify_all();
  return closed;
}

}  // namespace thermocline::store
