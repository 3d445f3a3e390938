#include "core/search/field_index.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/filter/json_reader.h"
#include "core/search/caches.h"
#include "core/search/record_ahead.h"
#include "core/store/log_reader.h"

namespace thermocline::search {
namespace {

// Records between two looks at a cancel flag: how long metadata is, is the user's.
constexpr uint32_t kLookedAtOnce = 256;

std::span<const char> BytesOf(const void* data, size_t bytes) { return {static_cast<const char*>(data), bytes}; }

uint32_t CrcOf(const format::KeysHeader& header) {
  constexpr size_t kFrom = offsetof(format::KeysHeader, store_id);
  return Crc32c(0, reinterpret_cast<const char*>(&header) + kFrom, sizeof header - kFrom);
}

/// Copies of a store share its id and its numbers: what tells the records of this segment from another copy's. The
/// first frame names all that came before it; the columns are read here alone, the log is not.
uint32_t CrcOfRecords(const store::Store& store, const store::Segment& segment) {
  const auto first = store::ReadFrame(segment, store.salt(), format::kHeaderBytes, false);
  uint32_t crc = first ? first->header_crc : 0;
  for (uint32_t raw = 0; raw < segment.slots(); ++raw) {
    const auto slot = static_cast<Slot>(raw);
    const uint64_t born = LoadAcquire(segment.born(slot));
    if (born == 0) continue;
    const uint64_t words[] = {born, LoadRelaxed(segment.record(slot)), LoadRelaxed(segment.created_at(slot))};
    crc = Crc32c(crc, words, sizeof words);
  }
  return crc;
}

/// Number of the part that the last frame of the snapshot lies in: those before it are sealed, since records are
/// committed in list order.
size_t OpenPartOf(const store::Snapshot& snapshot) {
  for (size_t i = 0; i < snapshot.parts.size(); ++i) {
    if (snapshot.parts[i].segment->number() == snapshot.tail.segment()) return i;
  }
  return 0;
}

}  // namespace

Result<std::vector<std::string>> ReadPaths(std::string_view text) {
  std::vector<std::string> paths;
  if (text.empty()) return paths;
  using filter::JsonReader;
  JsonReader reader(text, 1);
  if (reader.Peek() != JsonReader::Kind::kArray) return ErrorCode::kArgument;
  std::string scratch;
  reader.Open();
  while (reader.NextElement()) {
    if (paths.size() == kIndexedPathsMax) return ErrorCode::kArgumentRange;
    if (reader.Peek() != JsonReader::Kind::kString) return ErrorCode::kArgument;
    paths.emplace_back(JsonReader::Decode(reader.ReadString(), scratch));
  }
  if (!reader.AtEnd()) return ErrorCode::kArgument;
  return paths;
}

std::optional<size_t> IndexedPaths::Find(const std::string& path) const {
  for (uint32_t i = 0; i < table_.size(); ++i) {
    if (table_.text(i) == path) return i;
  }
  return std::nullopt;
}

SegmentKeys::SegmentKeys(uint32_t slots, size_t paths) : stride_(StrideOf(slots)), paths_(paths), read_(paths) {
  // Zeros that take no memory before they are written to.
  owned_.reset(static_cast<filter::ValueKey*>(std::calloc(stride_ * paths, sizeof(filter::ValueKey))));
  columns_ = owned_.get();
}

SegmentKeys::SegmentKeys(uint32_t slots, size_t paths, io::Mapping mapping, uint64_t offset)
    : stride_(StrideOf(slots)),
      paths_(paths),
      mapping_(std::move(mapping)),
      columns_(reinterpret_cast<filter::ValueKey*>(mapping_.data() + offset)),
      looked_at_(slots),
      kept_(true),
      read_(paths) {}

bool SegmentKeys::Look(const filter::PathTable& paths, const HashKey& hash, const store::Snapshot::Part& part) {
  const auto committed = [&](uint32_t slot) { return LookAt(paths, hash, *part.segment, slot); };
  std::erase_if(waiting_, committed);
  const uint32_t end =
      part.slots - std::min(looked_at_, part.slots) > kLookedAtOnce ? looked_at_ + kLookedAtOnce : part.slots;
  RecordsAhead ahead(*part.segment, looked_at_, part.slots);
  for (; looked_at_ < end; ++looked_at_) {
    ahead.Reach(looked_at_);
    if (!committed(looked_at_)) waiting_.push_back(looked_at_);
  }
  return looked_at_ >= part.slots;
}

/// False: there is no record yet.
bool SegmentKeys::LookAt(const filter::PathTable& paths, const HashKey& hash, const store::Segment& segment,
                         uint32_t slot) {
  if (LoadAcquire(segment.born(static_cast<Slot>(slot))) == 0) return false;
  const auto record = store::ReadRecord(segment, LoadRelaxed(segment.record(static_cast<Slot>(slot))));
  if (record) {
    filter::ReadKeys(paths, record->metadata, hash, read_.data());
  } else {
    std::fill(read_.begin(), read_.end(), filter::kKeyMixed);  // who asks it meets the damage
  }
  // Relaxed: whoever reads it knows of the record from its snapshot, and of the key from the mutex.
  for (size_t path = 0; path < read_.size(); ++path) StoreRelaxed(columns_[path * stride_ + slot], read_[path]);
  return true;
}

FieldIndex& FieldIndex::Of(store::Store& store) { return SearchCaches::Of(store).fields; }

void FieldIndex::Declare(const std::vector<std::string>& paths, bool may_write) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (may_write && !may_write_) {
    may_write_ = true;
    // Files that nobody was allowed to write until now.
    for (const auto& [segment, keys] : of_segment_) keys->kept_ = keys->owned_ == nullptr;
    tended_.reset();
  }
  std::vector<std::string> all = names_;
  all.insert(all.end(), paths.begin(), paths.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (all == names_) return;
  names_ = all;
  paths_ = std::make_shared<const IndexedPaths>(std::move(all));
  of_segment_.clear();
  tended_.reset();
}

std::shared_ptr<const IndexedPaths> FieldIndex::paths() const {
  const std::lock_guard<std::mutex> guard(mutex_);
  return paths_;
}

std::shared_ptr<const SegmentKeys> FieldIndex::KeysOf(store::Store& store, const IndexedPaths& paths,
                                                      const store::Snapshot::Part& part,
                                                      const std::atomic<bool>& cancel) {
  const store::Segment& segment = *part.segment;
  while (!cancel.load(std::memory_order_relaxed)) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (paths_.get() != &paths) return nullptr;
    std::shared_ptr<SegmentKeys>& keys = of_segment_[Raw(segment.number())];
    if (keys == nullptr) keys = ReadFile(store, segment);
    if (keys == nullptr) keys = std::make_shared<SegmentKeys>(segment.slots(), names_.size());
    if (!keys->usable()) return nullptr;
    if (keys->Look(paths.table(), store.hash_key(), part)) return keys;
  }
  return nullptr;
}

void FieldIndex::Tend(store::Store& store, const std::atomic<bool>& stop) {
  // Not the sequence alone: a compaction takes none, and its segments want files, those it replaced their room back,
  // also from who is idle (R15).
  const store::Moment now = store.Now();
  std::shared_ptr<const IndexedPaths> present;
  // Those that the list of a snapshot taken from now on does not name have left it, and are not yet to come.
  std::vector<uint32_t> known;
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (paths_ == nullptr || tended_ == now) return;
    present = paths_;
    for (const auto& [number, keys] : of_segment_) known.push_back(number);
  }
  Result<store::Snapshot> snapshot = store.TakeSnapshot();
  if (!snapshot.ok()) return;
  const size_t open = OpenPartOf(*snapshot);
  for (size_t i = 0; i < snapshot->parts.size(); ++i) {
    if (stop.load(std::memory_order_relaxed)) return;
    const std::shared_ptr<const SegmentKeys> keys = KeysOf(store, *present, snapshot->parts[i], stop);
    if (keys == nullptr) return;
    if (i < open) Keep(store, *present, *snapshot->parts[i].segment);
  }
  ForgetUnlisted(store, *snapshot, known);
  const std::lock_guard<std::mutex> guard(mutex_);
  if (paths_ == present) tended_ = now;
}

/// Puts the keys of a sealed segment into a file, which takes their place in memory.
void FieldIndex::Keep(store::Store& store, const IndexedPaths& paths, const store::Segment& segment) {
  std::shared_ptr<SegmentKeys> keys;
  uint64_t paths_hash = 0;
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = of_segment_.find(Raw(segment.number()));
    if (paths_.get() != &paths || found == of_segment_.end() || found->second->kept_) return;
    keys = found->second;
    keys->kept_ = true;      // tried once
    keys->waiting_.clear();  // a slot of a sealed segment that has no record yet never gets one
    if (!may_write_) return;
    paths_hash = PathsHash(store);
  }
  WriteFile(store, segment, *keys, paths_hash);
  const std::lock_guard<std::mutex> guard(mutex_);
  if (paths_.get() != &paths) return;
  if (std::shared_ptr<SegmentKeys> mapped = ReadFile(store, segment)) of_segment_[Raw(segment.number())] = mapped;
}

/// Of those that were `known` before the snapshot was taken, the ones that were rewritten.
void FieldIndex::ForgetUnlisted(store::Store& store, const store::Snapshot& snapshot,
                                const std::vector<uint32_t>& known) {
  const std::lock_guard<std::mutex> guard(mutex_);
  for (const uint32_t raw : known) {
    const auto number = static_cast<SegmentNumber>(raw);
    const bool listed = std::any_of(snapshot.parts.begin(), snapshot.parts.end(),
                                    [&](const auto& part) { return part.segment->number() == number; });
    if (listed) continue;
    of_segment_.erase(raw);
    // A file that stays only costs space; the next first opener tries again.
    if (may_write_) static_cast<void>(io::Unlink(store.directory(), store::KeysFileName(number).text).ok());
  }
}

/// What binds keys to their paths: the hash of these, each with its length before it.
uint64_t FieldIndex::PathsHash(const store::Store& store) const {
  std::string text;
  for (const std::string& name : names_) text += std::to_string(name.size()) + ' ' + name;
  return SipHash13(store.hash_key(), text.data(), text.size());
}

/// Never synced: what does not arrive whole is not believed, and made again.
void FieldIndex::WriteFile(store::Store& store, const store::Segment& segment, const SegmentKeys& keys,
                           uint64_t paths_hash) const {
  const std::span<const char> columns = BytesOf(keys.columns_, keys.stride_ * keys.paths_ * sizeof(filter::ValueKey));
  format::KeysHeader header{};
  header.magic = format::kKeysMagic;
  header.layout = format::kKeysLayout;
  header.store_id = store.store_id();
  header.segment = Raw(segment.number());
  header.slots = segment.slots();
  header.paths = static_cast<uint32_t>(keys.paths_);
  header.columns_crc = Crc32c(0, columns.data(), columns.size());
  header.paths_hash = paths_hash;
  header.records_crc = CrcOfRecords(store, segment);
  header.crc = CrcOf(header);
  // Another process may write its own at the same time: a name of one's own, which a rename makes the known one.
  // Process ids are not: those of two containers may be the same, and each would write into what the other one
  // believed.
  const std::string beside =
      std::string(store::KeysFileName(segment.number()).text) + "." + std::to_string(store.participant()) + ".new";
  Result<io::File> file =
      io::File::Open(store.directory(), beside.c_str(), io::File::Mode::kCreateNew, FileRole::kCache);
  const bool written = file.ok() && file->WriteAt(0, BytesOf(&header, sizeof header)).ok() &&
                       file->WriteAt(sizeof header, columns).ok() &&
                       io::Rename(store.directory(), beside.c_str(), store::KeysFileName(segment.number()).text).ok();
  if (!written) static_cast<void>(io::Unlink(store.directory(), beside.c_str()).ok());
}

/// nullptr: no file, not of these paths, or not as it was written.
std::shared_ptr<SegmentKeys> FieldIndex::ReadFile(store::Store& store, const store::Segment& segment) const {
  Result<io::File> file = io::File::Open(store.directory(), store::KeysFileName(segment.number()).text,
                                         io::File::Mode::kRead, FileRole::kCache);
  if (!file.ok()) return nullptr;
  format::KeysHeader header{};
  const Result<uint64_t> size = file->Size();
  const uint64_t bytes = SegmentKeys::StrideOf(segment.slots()) * names_.size() * sizeof(filter::ValueKey);
  if (!size.ok() || *size != sizeof header + bytes) return nullptr;
  Result<io::Mapping> mapping = io::Mapping::Map(*file, 0, *size, io::Mapping::Kind::kSharedReadOnly);
  if (!mapping.ok()) return nullptr;
  std::memcpy(&header, mapping->data(), sizeof header);
  const bool believed = header.magic == format::kKeysMagic && header.crc == CrcOf(header) &&
                        header.layout == format::kKeysLayout && header.store_id == store.store_id() &&
                        header.segment == Raw(segment.number()) && header.slots == segment.slots() &&
                        header.paths == names_.size() && header.paths_hash == PathsHash(store) &&
                        header.columns_crc == Crc32c(0, mapping->data() + sizeof header, bytes) &&
                        segment.HasColumns() && header.records_crc == CrcOfRecords(store, segment);
  if (!believed) return nullptr;
  return std::make_shared<SegmentKeys>(segment.slots(), names_.size(), std::move(*mapping), sizeof header);
}

}  // namespace thermocline::search
