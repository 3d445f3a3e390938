// A store's life: opening, creating, joining a session, trusting or rebuilding the cache, leaving; in one file, because
// each of them undoes or relies on another.

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/io/kernel_lock.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "core/store/file_names.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

constexpr char kLockName[] = "lock";
constexpr char kCacheName[] = "cache";
constexpr uint64_t kGateSliceMicroseconds = 500;

// Address space, not memory: the index may grow into it without being mapped anew, so pointers never move.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kCacheReserveBytes = 1ull << 30;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr uint64_t kCacheReserveBytes = 1ull << 30;
#else
constexpr uint64_t kCacheReserveBytes = 1ull << 36;
#endif
#else
constexpr uint64_t kCacheReserveBytes = 1ull << 36;
#endif

constexpr uint64_t kCacheReserveBytesMin = 1ull << 28;

/// Holds the gate (R14) until destroyed.
class Gate {
 public:
  explicit Gate(const io::File& lock_file) : lock_file_(lock_file) {}
  ~Gate() {
    if (held_) io::UnlockByte(lock_file_, format::kGateByte);
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  Status Take(uint64_t timeout_us) {
    const uint64_t begin = io::NowMonotonicMicroseconds();
    uint32_t nothing = 0;
    for (;;) {
      Result<bool> taken = io::TryLockByte(lock_file_, format::kGateByte);
      if (!taken.ok()) return taken.status();
      if (*taken) {
        held_ = true;
        return Status::Ok();
      }
      if (io::NowMonotonicMicroseconds() - begin >= timeout_us) return Status::Error(ErrorCode::kBusy);
      io::FutexWait(nothing, 0, kGateSliceMicroseconds);  // a kernel lock has no timed wait
    }
  }

 private:
  const io::File& lock_file_;
  bool held_ = false;
};

}  // namespace

Result<std::shared_ptr<Store>> Store::Open(const std::string& path, const OpenOptions& options) {
  std::shared_ptr<Store> store(new Store());
  const Status opened = store->OpenAt(path, options);
  // Files that are cut short meanwhile explain whatever else was found.
  THERMOCLINE_RETURN_IF_ERROR(store->CheckFiles());
  if (!opened.ok()) return opened;
  return store;
}

Status Store::OpenAt(const std::string& path, const OpenOptions& options) {
  const uint64_t begin = io::NowMonotonicMicroseconds();
  durability_ = options.durability;
  expected_records_ = options.expected_records;
  auto_compact_ = options.auto_compact;
  if (!options.read_only) AllowWriting();
  THERMOCLINE_RETURN_IF_ERROR(OpenDirectory(path, options));

  Gate gate(lock_file_);
  THERMOCLINE_RETURN_IF_ERROR(gate.Take(options.lock_timeout_us));
  // Somebody else may have created the store while this one waited for the gate.
  bool created = false;
  if (!io::Exists(directory_, "meta")) {
    THERMOCLINE_RETURN_IF_ERROR(CreateStore(options));
    created = true;
  }
  Result<std::shared_ptr<const format::Meta>> meta = ReadMeta();
  if (!meta.ok()) return meta.status();
  THERMOCLINE_RETURN_IF_ERROR(CheckAgainst(**meta, options));
  list_ = *meta;
  newest_listed_.store((*meta)->segments.back().number, std::memory_order_relaxed);
  dimensions_ = (*meta)->dimensions;
  metric_ = (*meta)->metric;
  salt_ = (*meta)->salt;
  store_id_ = (*meta)->store_id;
  hash_key_ = {salt_.low, salt_.high};
  sketch_coder_.emplace(dimensions_, metric_, salt_);

  bool first_opener = false;
  THERMOCLINE_RETURN_IF_ERROR(StartSession(&first_opener));
  Status entered = OpenCache(first_opener, created);
  if (entered.ok() && first_opener) entered = RemoveUnlisted();
  if (!entered.ok()) {
    LeaveSession(lock_file_, self_);
    return entered;
  }
  // Also for who only reads: an idle process must let go of segments that others replaced.
  if (options.with_helper) {
    Result<io::Thread> started = io::Thread::Start([this] { RunHelper(); });
    if (!started.ok()) {
      LeaveSession(lock_file_, self_);
      joined_ = false;
      return started.status();
    }
    helper_ = std::move(*started);
  }
  open_ms_ = static_cast<double>(io::NowMonotonicMicroseconds() - begin) / 1000.0;
  return Status::Ok();
}

Status Store::FilesAreLost() const {
  const Status cause = loss_->is_cut() ? Status::Corrupt(loss_->role(), loss_->segment(), loss_->offset())
                                       : Status::FromErrno(EIO, loss_->role());
  // What others commit behind a hole in the log or the blocks would be lost with it. The lock file holds nothing that
  // is kept, and who touches it next finds out by itself.
  if (loss_->is_cut() && loss_->role() != FileRole::kLock && boot_ != nullptr) {
    StoreRelease(boot_->poison, uint64_t{1});
  }
  return cause;
}

Status Store::CheckAgainst(const format::Meta& meta, const OpenOptions& options) {
  if (options.dimensions != 0 && options.dimensions != meta.dimensions) {
    return Status::Error(ErrorCode::kDimension).set_value(meta.dimensions);
  }
  if (options.metric && *options.metric != meta.metric) {
    return Status::Error(ErrorCode::kMismatch).set_value(static_cast<int64_t>(meta.metric));
  }
  return Status::Ok();
}

Status Store::CheckOpenOptions(const OpenOptions& options) const {
  format::Meta meta;
  meta.dimensions = dimensions_;
  meta.metric = metric_;
  return CheckAgainst(meta, options);
}

void Store::RaiseDurability(Durability durability) {
  Durability held = durability_.load();
  while (held < durability && !durability_.compare_exchange_weak(held, durability)) {
  }
}

/// Opens the directory and its lock file; nothing is created in a directory that is not ours.
Status Store::OpenDirectory(const std::string& path, const OpenOptions& options) {
  const bool may_create = options.create && !options.read_only;
  Result<io::PathKind> kind = io::KindOfPath(path.c_str());
  if (!kind.ok()) return kind.status();
  if (*kind == io::PathKind::kOther) return Status::Error(ErrorCode::kNotAStore);
  if (*kind == io::PathKind::kAbsent) {
    if (!may_create) return Status::Error(ErrorCode::kNotFound);
    if (options.dimensions == 0) return Status::Error(ErrorCode::kArgument);
    THERMOCLINE_RETURN_IF_ERROR(io::MakeDirectory(path.c_str()));
    if (Syncs()) {
      // The entry of the new directory must be as durable as what will be in it.
      Result<io::File> parent_directory = io::File::OpenDirectory(SplitPath(path).parent.c_str());
      if (!parent_directory.ok()) return parent_directory.status();
      THERMOCLINE_RETURN_IF_ERROR(parent_directory->Sync());
    }
  }
  Result<io::File> directory = io::File::OpenDirectory(path.c_str());
  if (!directory.ok()) return directory.status();
  directory_ = std::move(*directory);
  Result<bool> network = io::IsNetworkFileSystem(directory_);
  if (!network.ok()) return network.status();
  if (*network && !options.allow_network_file_system) return Status::Error(ErrorCode::kNetworkFs);

  if (!io::Exists(directory_, "meta")) {
    Result<std::vector<std::string>> names = io::ListDirectory(directory_);
    if (!names.ok()) return names.status();
    // A creation that was interrupted leaves files of ours without a meta; anything else is a stranger's directory.
    if (!std::all_of(names->begin(), names->end(), IsStoreFileName)) return Status::Error(ErrorCode::kNotAStore);
    if (!may_create) return Status::Error(ErrorCode::kNotFound);
    if (options.dimensions == 0) return Status::Error(ErrorCode::kArgument);
  } else {
    // Before anything is created beside it.
    Result<std::shared_ptr<const format::Meta>> meta = ReadMeta();
    if (!meta.ok()) return meta.status();
  }
  Result<io::File> lock = io::File::Open(directory_, kLockName, io::File::Mode::kCreate, FileRole::kLock);
  if (!lock.ok()) return lock.status();
  lock_file_ = std::move(*lock);
  return Status::Ok();
}

Status Store::CreateStore(const OpenOptions& options) {
  format::Meta meta;
  THERMOCLINE_RETURN_IF_ERROR(io::FillRandom(&meta.store_id, sizeof meta.store_id));
  THERMOCLINE_RETURN_IF_ERROR(io::FillRandom(&meta.salt, sizeof meta.salt));
  meta.dimensions = options.dimensions;
  meta.metric = options.metric.value_or(format::Metric::kCosine);
  meta.created_at = io::NowUnixMilliseconds();
  format::SegmentEntry entry{};
  entry.number = 1;
  entry.slots = static_cast<uint32_t>(
      std::bit_ceil(std::clamp<uint64_t>(options.expected_records, kSegmentSlotsMin, kSegmentSlotsMax)));
  entry.log_capacity = entry.slots * kLogBytesPerSlot;
  meta.segments.push_back(entry);
  meta.next_segment = 2;
  if (Syncs()) meta.NotePromises();
  const std::vector<float> centre(format::SketchBits(meta.dimensions), 0.0f);  // nothing to learn one from yet
  THERMOCLINE_RETURN_IF_ERROR(Segment::CreateFiles(directory_, meta.store_id, SegmentNumber{1}, entry.slots,
                                                   meta.dimensions, entry.log_capacity, Syncs(), centre,
                                                   Segment::Columns::kLater));
  return WriteMeta(std::move(meta), Syncs());
}

/// A directory of hard links (cp -al, rsync --link-dest, a package manager's) has files in common with another: both
/// would write them, each with a list of segments of its own. The one that the files were last opened in goes on, so
/// that a copy made this way harms nobody until it is opened. Asked once a directory: afterwards it is the owner.
Status Store::CheckLinks(uint64_t owner, uint64_t directory, bool first_opener) const {
  if (owner == directory) return Status::Ok();
  if (owner != 0 && io::HasOtherNames(directory_, kLockName)) return Status::Linked(FileRole::kLock);
  if (!first_opener) return Status::Ok();
  if (io::HasOtherNames(directory_, kCacheName)) return Status::Linked(FileRole::kCache);
  for (const format::SegmentEntry& entry : list_->segments) {
    const SegmentNumber number{entry.number};
    if (io::HasOtherNames(directory_, LogFileName(number).text)) return Status::Linked(FileRole::kLog);
    if (io::HasOtherNames(directory_, BlocksFileName(number).text)) return Status::Linked(FileRole::kBlocks);
  }
  return Status::Ok();
}

/// Joins the session, or begins one: the first opener zeroes the session's words. Gate held.
Status Store::StartSession(bool* first_opener) {
  Result<bool> others = io::AnyByteLocked(lock_file_, format::kParticipantByte, uint64_t{format::kParticipantsMax} + 1);
  if (!others.ok()) return others.status();
  *first_opener = !*others;
  Result<uint64_t> size = lock_file_.Size();
  if (!size.ok()) return size.status();
  if (*first_opener) {
    if (*size < format::kLockFileBytes) {
      THERMOCLINE_RETURN_IF_ERROR(lock_file_.SetSize(format::kLockFileBytes));
    }
  } else if (*size < format::kLockFileBytes) {
    return Status::Corrupt(FileRole::kLock, 0, *size);
  }
  Result<io::Mapping> map =
      io::Mapping::Map(lock_file_, 0, format::kLockFileBytes, io::Mapping::Kind::kShared, {loss_});
  if (!map.ok()) return map.status();
  lock_map_ = std::move(*map);
  session_ = reinterpret_cast<format::SessionWords*>(lock_map_.data());
  lines_ = reinterpret_cast<format::ParticipantLine*>(lock_map_.data() + format::kParticipantsOffset);
  Result<io::FileIdentity> directory = directory_.Identity();
  if (!directory.ok()) return directory.status();
  const uint64_t owner = LoadAcquire(session_->magic) == format::kLockMagic ? session_->directory : 0;
  THERMOCLINE_RETURN_IF_ERROR(CheckLinks(owner, directory->inode, *first_opener));
  if (*first_opener) {
    uint64_t session_id = 0;
    THERMOCLINE_RETURN_IF_ERROR(io::FillRandom(&session_id, sizeof session_id));
    // Backed by being written: a store into a hole of a full disk would be SIGBUS. The other lines are holes until
    // somebody joins under their numbers (JoinSession).
    const uint64_t begun = FirstLockBytes();
    THERMOCLINE_RETURN_IF_ERROR(lock_file_.Allocate(0, begun));
    if (begun < format::kLockFileBytes) {
      THERMOCLINE_RETURN_IF_ERROR(lock_file_.PunchHole(begun, format::kLockFileBytes - begun));
    }
    session_->session_id = session_id;
    session_->directory = directory->inode;
    StoreRelease(session_->magic, format::kLockMagic);
  } else if (LoadAcquire(session_->magic) != format::kLockMagic) {
    return Status::Corrupt(FileRole::kLock, 0, 0);
  }
  Result<Participant> self = JoinSession(lock_file_, lines_);
  if (!self.ok()) return self.status();
  self_ = *self;
  joined_ = true;
  write_lock_.emplace(session_->write_lock, lock_file_, lines_, self_);
  growth_lock_.emplace(session_->growth_lock, lock_file_, lines_, self_, SharedLock::Order::kWokenFirst);
  space_lock_.emplace(session_->space_lock, lock_file_, lines_, self_);
  flush_lock_.emplace(session_->flush_lock, lock_file_, lines_, self_);
  turn_lock_.emplace(session_->turn_lock, lock_file_, lines_, self_, SharedLock::Order::kWokenFirst);
  compact_lock_.emplace(session_->compact_lock, lock_file_, lines_, self_, SharedLock::Order::kWokenFirst);
  return Status::Ok();
}

/// Maps the cache; the first opener decides whether it is believed (R6) and rebuilds it when not. Gate held.
Status Store::OpenCache(bool first_opener, bool created) {
  Result<io::File> file = io::File::Open(directory_, kCacheName, io::File::Mode::kCreate, FileRole::kCache);
  if (!file.ok()) return file.status();
  cache_file_ = std::move(*file);
  Result<io::BootIdentity> boot = io::BootIdentityOf(cache_file_);
  if (!boot.ok()) return boot.status();
  Result<uint64_t> size = cache_file_.Size();
  if (!size.ok()) return size.status();

  bool ours = false;
  bool same_boot = false;
  if (*size >= format::kIndexOffset) {
    format::CacheHeader header;
    THERMOCLINE_RETURN_IF_ERROR(cache_file_.ReadAt(0, {reinterpret_cast<char*>(&header), sizeof header}));
    ours = header.magic == format::kCacheMagic && header.layout == format::kCacheLayout &&
           header.store_id == store_id_ &&
           header.crc == Crc32c(0, reinterpret_cast<const char*>(&header) + 16, sizeof header - 16);
    same_boot = ours && header.boot_low == boot->low && header.boot_high == boot->high;
    same_boot = same_boot || (ours && IsPlanted(Fault::kOldBootBelieved));
  }
  if (!first_opener) {
    // The live participants vouch for it: their locks are on this very lock file. Boot identity is for first openers;
    // it differs, for one, when this process reached the directory through another mount.
    if (!ours) return Status::Corrupt(FileRole::kCache, 0, 0);
    return MapCache();
  }
  bool poisoned = false;
  if (ours && !created) {
    THERMOCLINE_RETURN_IF_ERROR(MapCache());
    poisoned = same_boot && LoadRelaxed(boot_->poison) != 0;
    const bool clean = ClosedClean() && (same_boot || EndsAtTail());
    if ((clean || same_boot) && WordsAreSane()) {
      if (!same_boot) THERMOCLINE_RETURN_IF_ERROR(WriteCacheHeader(*boot));
      // After a clean close nothing can be half done, and nothing is written here: the marker stays true.
      if (clean) return Status::Ok();
      // Who died between the list and its publication left the list ahead, and the index half swung perhaps.
      const Status finished = FinishRewriting(*List());
      StoreRelease(boot_->list_generation, List()->list_generation);
      if (finished.ok() && Repair().ok()) {
        // Removed by a session that did not end; whether that ever reached the disk nobody here can tell. The close of
        // this session is to be a clean one, written to or not: it makes durable what the other left behind.
        StoreRelease(session_->marker_removed, format::kMarkerUnsynced);
        return Status::Ok();
      }
    }
  }
  return Rebuild(*boot, created, poisoned);
}

Status Store::MapCache() {
  if (cache_map_.mapped()) return Status::Ok();
  uint64_t reserve = kCacheReserveBytes;
  Result<io::Mapping> map = io::Mapping::Map(cache_file_, 0, reserve, io::Mapping::Kind::kShared, {loss_});
  // A process with limited address space gets an index of limited size (kTooLarge when it outgrows that).
  while (!map.ok() && reserve > kCacheReserveBytesMin) {
    reserve /= 4;
    map = io::Mapping::Map(cache_file_, 0, reserve, io::Mapping::Kind::kShared, {loss_});
  }
  if (!map.ok()) return map.status();
  cache_map_ = std::move(*map);
  cache_map_.AdviseRandom();
  boot_ = reinterpret_cast<format::BootWords*>(cache_map_.data() + format::kBootWordsOffset);
  return Status::Ok();
}

Status Store::WriteCacheHeader(const io::BootIdentity& boot) {
  format::CacheHeader header{};
  header.magic = format::kCacheMagic;
  header.layout = format::kCacheLayout;
  header.store_id = store_id_;
  header.boot_low = boot.low;
  header.boot_high = boot.high;
  header.crc = Crc32c(0, reinterpret_cast<const char*>(&header) + 16, sizeof header - 16);
  return cache_file_.WriteAt(0, {reinterpret_cast<const char*>(&header), sizeof header});
}

/// Removes the clean marker before the first write of a session (R6): what follows is not covered by it. A handle that
/// makes no syncs syncs that, where a marker was: come back, it would vouch for an index and columns that the disk has
/// in part as they were, in part as they became.
Status Store::SessionWritable(uint64_t timeout_us) {
  const auto is_removed = [this] {
    const uint32_t marker = LoadAcquire(session_->marker_removed);
    return marker == format::kMarkerSynced || (marker == format::kMarkerUnsynced && !SyncsLists());
  };
  if (is_removed()) return Status::Ok();
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
  Status status = Status::Ok();
  if (!is_removed()) {
    // Nobody wrote in this session yet, so it can be counted: room in the index is given out by it.
    StoreRelaxed(boot_->index_used, Table().CountUsed());
    char* const marker = cache_map_.data() + format::kCleanOffset;
    const bool syncs =
        SyncsLists() || std::any_of(marker, marker + sizeof(format::CleanMarker), [](char byte) { return byte != 0; });
    std::memset(marker, 0, sizeof(format::CleanMarker));
    if (syncs) status = cache_file_.SyncData();
    // A second sync would succeed and say nothing (R8), with the marker still on the disk.
    if (!status.ok()) status = Poison(status);
    if (status.ok()) {
      StoreRelease(session_->marker_removed, syncs ? format::kMarkerSynced : format::kMarkerUnsynced);
    }
  }
  growth_lock_->Release();
  return status;
}

/// A file that stays only costs space; the next first opener tries again. Fails, and poisons, when a sync does.
Status Store::RemoveUnlisted() {
  const std::shared_ptr<const format::Meta> list = List();
  Result<std::vector<std::string>> names = io::ListDirectory(directory_);
  if (!names.ok()) return Status::Ok();
  std::erase_if(*names, [&](const std::string& name) {
    const uint32_t number = SegmentOfFileName(name);
    const bool is_unlisted = number != 0 && list->IndexOf(static_cast<SegmentNumber>(number)) < 0;
    const bool is_unfinished =
        name == "meta.new" || name == "meta.rewritten" || (number != 0 && name.ends_with(".new"));
    return !is_unlisted && !is_unfinished;
  });
  if (names->empty()) return Status::Ok();
  // A compaction that died before it synced its list: the disk may still have the one that names these files. After a
  // failed sync nobody can tell (R8).
  if (LoadRelaxed(boot_->poison) != 0) return Status::Ok();
  const Status synced = SyncsLists() ? directory_.Sync() : Status::Ok();
  if (!synced.ok()) return Poison(synced);
  for (const std::string& name : *names) {
    if (!io::Unlink(directory_, name.c_str()).ok()) return Status::Ok();
  }
  return Status::Ok();
}

Store::~Store() {
  StopHelper();
  StopWaiter();
  if (joined_) LeaveSession(lock_file_, self_);
}

Status Store::Close() {
  if (closed_) return Status::Ok();
  closed_ = true;
  const bool sync = Syncs();
  StopHelper();
  StopWaiter();
  Status status = Status::Ok();
  Gate gate(lock_file_);
  // Somebody who was stopped in the middle of opening keeps the gate: then there is no marker, but a flush all the
  // same.
  bool last = false;
  if (gate.Take(kCloseGateMicroseconds).ok()) {
    Result<bool> others =
        io::AnyByteLocked(lock_file_, format::kParticipantByte, uint64_t{format::kParticipantsMax} + 1);
    last = others.ok() && !*others;
  }
  const bool writable = LoadRelaxed(boot_->poison) == 0 && CheckFiles().ok();
  if (LoadAcquire(session_->marker_removed) != 0 && writable) {
    if (sync) status = Flush(kCloseGateMicroseconds, last ? FlushScope::kBlocks : FlushScope::kLog);
    if (last && status.ok()) status = CloseClean(sync);
  }
  LeaveSession(lock_file_, self_);
  joined_ = false;
  return status;
}

}  // namespace thermocline::store
