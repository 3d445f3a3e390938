// The segment list: the file `meta`, replaced whole. Not here: mapping what it names (mapped_segments.cc).

#include <algorithm>
#include <atomic>

#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

constexpr char kMetaName[] = "meta";
constexpr char kMetaNewName[] = "meta.new";
// A list of a million segments; a longer file is not ours.
constexpr uint64_t kMetaBytesMax = 64ull << 20;
// How long the publication of what a dead owner renamed in waits for the write lock, whose owner may be stopped.
constexpr uint64_t kPublishMicroseconds = 5000000;

}  // namespace

Status Store::WriteMetaBeside(const char* name, const format::Meta& meta, bool sync) const {
  const std::string bytes = format::EncodeMeta(meta);
  Result<io::File> file = io::File::Open(directory_, name, io::File::Mode::kCreateNew, FileRole::kMeta);
  if (!file.ok()) return file.status();
  THERMOCLINE_RETURN_IF_ERROR(file->WriteAt(0, bytes));
  return sync ? file->Sync() : Status::Ok();
}

/// Growth lock held, before a list is renamed in: whether it has to be on the disk first, with all that it names. The
/// mark comes before the second look and LeadFlush has it the other way round, so a flush that is under way is seen
/// here, or sees the mark and waits for the growth lock.
bool Store::MustSyncList() {
  if (SyncsLists()) return true;
  StoreRelease(boot_->structure_unsynced, uint64_t{1});
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in LeadFlush
  return SyncsLists();
}

/// Write beside, sync, rename, sync the directory: a crash leaves the old list or the new one.
Status Store::WriteMeta(format::Meta meta, bool sync) {
  THERMOCLINE_RETURN_IF_ERROR(WriteMetaBeside(kMetaNewName, meta, sync));
  THERMOCLINE_RETURN_IF_ERROR(io::Rename(directory_, kMetaNewName, kMetaName));
  if (const Status synced = sync ? directory_.Sync() : Status::Ok(); !synced.ok()) {
    return boot_ == nullptr ? synced : Poison(synced);
  }
  if (!sync && boot_ == nullptr) created_unsynced_ = true;
  if (!sync && boot_ != nullptr) StoreRelease(boot_->structure_unsynced, uint64_t{1});
  PublishList(std::move(meta));
  return Status::Ok();
}

/// The list that was renamed in becomes everybody's. Whoever takes the write lock over publishes what it read without
/// the growth lock and may be overtaken by a newer list meanwhile, so the generation is raised and never set back: a
/// snapshot takes the list of the generation for one that has every segment with a visible record.
void Store::PublishList(format::Meta meta) {
  auto list = std::make_shared<const format::Meta>(std::move(meta));
  {
    const std::lock_guard<std::mutex> guard(list_mutex_);
    if (list_ == nullptr || list_->list_generation < list->list_generation) list_ = list;
    newest_listed_.store(list_->segments.back().number, std::memory_order_relaxed);
  }
  if (boot_ == nullptr) return;
  // Published last: whoever sees the generation finds the file.
  uint64_t seen = LoadRelaxed(boot_->list_generation);
  while (seen < list->list_generation && !CompareExchange(boot_->list_generation, seen, list->list_generation)) {
  }
}

Result<std::shared_ptr<const format::Meta>> Store::ReadMeta() const {
  Result<io::File> file = io::File::Open(directory_, kMetaName, io::File::Mode::kRead, FileRole::kMeta);
  if (!file.ok()) return file.status();
  Result<uint64_t> size = file->Size();
  if (!size.ok()) return size.status();
  if (*size > kMetaBytesMax) return Status::Corrupt(FileRole::kMeta, 0, 0);
  std::string bytes(*size, '\0');
  THERMOCLINE_RETURN_IF_ERROR(file->ReadAt(0, bytes));
  Result<format::Meta> meta = format::DecodeMeta(bytes);
  if (!meta.ok()) return meta.status();
  return std::make_shared<const format::Meta>(std::move(*meta));
}

std::shared_ptr<const format::Meta> Store::List() {
  const std::lock_guard<std::mutex> guard(list_mutex_);
  return list_;
}

/// The list, read again when the shared generation is above the one held. A list newer than the generation is right.
Result<std::shared_ptr<const format::Meta>> Store::CurrentList() {
  std::shared_ptr<const format::Meta> held = List();
  // No words yet: this is the first opener, alone, before it made them.
  if (boot_ == nullptr || held->list_generation >= LoadAcquire(boot_->list_generation)) return held;
  return ReloadList();
}

/// The list as the disk has it now, which may be newer than what is published. Held from now on.
Result<std::shared_ptr<const format::Meta>> Store::ReloadList() {
  Result<std::shared_ptr<const format::Meta>> read = ReadMeta();
  if (!read.ok()) return read.status();
  const std::lock_guard<std::mutex> guard(list_mutex_);
  if (list_->list_generation < (*read)->list_generation) list_ = *read;
  newest_listed_.store(list_->segments.back().number, std::memory_order_relaxed);
  return list_;
}

/// The list as the disk has it. Whoever renamed it in may have died before it was published; then that is done here, so
/// that those who hold the older one find what newcomers use. Growth lock held, or alone.
Result<std::shared_ptr<const format::Meta>> Store::NewestList() {
  Result<std::shared_ptr<const format::Meta>> read = ReadMeta();
  if (!read.ok()) return read.status();
  {
    const std::lock_guard<std::mutex> guard(list_mutex_);
    if (list_->list_generation < (*read)->list_generation) list_ = *read;
    newest_listed_.store(list_->segments.back().number, std::memory_order_relaxed);
  }
  if (LoadAcquire(boot_->list_generation) < (*read)->list_generation) {
    // A compaction that died between the rename and the publication left the index half swung: who takes its write lock
    // over goes on with that (LockWrite), and so does who finds the lock free.
    THERMOCLINE_RETURN_IF_ERROR(LockWrite(kPublishMicroseconds));
    const Status finished = FinishRewriting(**read);
    write_lock_->Release();
    THERMOCLINE_RETURN_IF_ERROR(finished);
  }
  return *read;
}

/// The first frame of each begun segment names the last frame before it, and with it where that log ends.
void Store::FillLogEnds(format::Meta& meta, Position tail) {
  int at = tail.none() ? -1 : meta.IndexOf(tail.segment());
  while (at > 0) {
    Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(meta.segments[static_cast<size_t>(at)].number));
    if (!segment.ok()) return;
    const auto first = ReadFrame(**segment, salt_, format::kHeaderBytes, false);
    if (!first) return;
    const Position previous(first->previous_frame);
    int before = previous.none() ? -1 : meta.IndexOf(previous.segment());
    // Rewritten meanwhile: what is left of it is in a segment that has its end.
    if (before < 0 && !previous.none()) before = meta.IndexOf(meta.ReplacedBy(previous.segment()));
    if (before >= at || (before < 0 && !previous.none())) return;
    for (int empty = before + 1; empty < at; ++empty) {
      uint64_t& log_end = meta.segments[static_cast<size_t>(empty)].log_end;
      if (log_end == 0) log_end = format::kHeaderBytes;
    }
    if (before < 0 || meta.segments[static_cast<size_t>(before)].log_end != 0) return;
    Result<Segment*> earlier = GetSegment(previous.segment());
    if (!earlier.ok()) return;
    const auto last = ReadFrame(**earlier, salt_, previous.offset(), false);
    if (!last) return;
    meta.segments[static_cast<size_t>(before)].log_end = previous.offset() + FrameBytes(*last);
    at = before;
  }
}

}  // namespace thermocline::store
