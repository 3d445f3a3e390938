// What survives a power cut: flush, and the clean close that lets the next opener believe the cache.

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/format/blocks.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {

/// R8: the kernel reports a failed sync once and success ever after, while the data is gone.
Status Store::Poison(const Status& cause) {
  StoreRelease(boot_->poison, uint64_t{1});
  return cause;
}

/// Syncs blocks and logs of the listed segments from `from`'s to `to`'s.
Status Store::SyncSegments(const format::Meta& list, Position from, Position to) {
  const int first = std::max(0, from.none() ? 0 : list.IndexOf(from.segment()));
  const int last = list.IndexOf(to.segment());
  for (int i = first; i <= last; ++i) {
    Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(list.segments[static_cast<size_t>(i)].number));
    if (!segment.ok()) return segment.status();
    Status status = (*segment)->blocks_file().SyncData();
    if (status.ok()) status = (*segment)->log_file().SyncData();
    if (!status.ok()) return Poison(status);
  }
  return Status::Ok();
}

Status Store::Flush(uint64_t timeout_us) {
  const Sequence wanted = sequence();
  const std::lock_guard<std::mutex> guard(flush_mutex_);
  if (LoadAcquire(boot_->poison) != 0) return Status::Error(ErrorCode::kPoisoned);
  // Another thread's flush that began after this call's writes covers them.
  if (LoadAcquire(boot_->watermark_sequence) >= wanted && LoadAcquire(boot_->structure_unsynced) == 0) {
    return Status::Ok();
  }
  THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
  const Sequence applied = LoadRelaxed(boot_->applied);
  const Position tail(LoadRelaxed(boot_->tail));
  const Position from(LoadRelaxed(boot_->checkpoint));
  write_lock_->Release();
  if (tail.none()) return Status::Ok();
  Result<std::shared_ptr<const format::Meta>> list = CurrentList();
  if (!list.ok()) return list.status();
  if (LoadAcquire(boot_->structure_unsynced) != 0) {
    // A handle of durability 'none' made segments that were never synced, nor the list that names them.
    THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
    StoreRelease(boot_->structure_unsynced, uint64_t{0});
    list = NewestList();
    // All that the list names, also what was made ahead: a synced list must not name a file without its header.
    Status status = list.status();
    if (list.ok())
      status =
          SyncSegments(**list, Position(), Position(static_cast<SegmentNumber>((*list)->segments.back().number), 0));
    if (status.ok()) {
      format::Meta again = **list;
      again.list_generation += 1;
      status = WriteMeta(std::move(again), true);
    }
    growth_lock_->Release();
    if (!status.ok()) StoreRelease(boot_->structure_unsynced, uint64_t{1});
    THERMOCLINE_RETURN_IF_ERROR(status);
  } else {
    THERMOCLINE_RETURN_IF_ERROR(SyncSegments(**list, from, tail));
  }
  if (LoadAcquire(boot_->poison) != 0) return Status::Error(ErrorCode::kPoisoned);
  THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
  if (applied >= LoadRelaxed(boot_->watermark_sequence)) {
    StoreRelaxed(boot_->watermark, tail.raw());
    StoreRelaxed(boot_->checkpoint, tail.raw());
    StoreRelease(boot_->watermark_sequence, applied);
  }
  write_lock_->Release();
  return Status::Ok();
}

/// Gate held, nobody else has the store open. Gives back what lies beyond the tails (R9), then marks the cache whole.
Status Store::CloseClean(bool sync) {
  THERMOCLINE_RETURN_IF_ERROR(Repair());
  const Position tail(LoadRelaxed(boot_->tail));
  // Not the list held: a participant that only read has not seen the segments that others made.
  Result<std::shared_ptr<const format::Meta>> newest = NewestList();
  if (!newest.ok()) return newest.status();
  format::Meta meta = **newest;
  FillLogEnds(meta, tail);
  if (sync) {
    meta.watermark = Position(LoadRelaxed(boot_->watermark));
    meta.watermark_sequence = LoadRelaxed(boot_->watermark_sequence);
    meta.checkpoint = Position(LoadRelaxed(boot_->checkpoint));
  }
  meta.list_generation += 1;
  THERMOCLINE_RETURN_IF_ERROR(WriteMeta(meta, sync));
  TrimFiles(meta);
  return sync ? WriteCleanMarker() : Status::Ok();
}

/// Files are cut to what is used. A failure only costs space. The mappings go first: a mapped file is never shrunk.
void Store::TrimFiles(const format::Meta& meta) {
  const uint64_t claim = LoadRelaxed(boot_->claim);
  const Position tail(LoadRelaxed(boot_->tail));
  const int open = meta.IndexOf(static_cast<SegmentNumber>(ClaimSegment(claim)));
  std::vector<std::weak_ptr<Segment>> mapped(table_.owned().begin(), table_.owned().end());
  table_.Clear();
  for (int i = 0; i < static_cast<int>(meta.segments.size()); ++i) {
    const format::SegmentEntry& entry = meta.segments[static_cast<size_t>(i)];
    const auto number = static_cast<SegmentNumber>(entry.number);
    uint64_t log_end = entry.log_end;
    if (log_end == 0) log_end = tail.segment() == number ? tail.offset() : format::kHeaderBytes;
    Result<io::File> log =
        io::File::Open(directory_, LogFileName(number).text, io::File::Mode::kReadWrite, FileRole::kLog);
    Result<io::File> blocks =
        io::File::Open(directory_, BlocksFileName(number).text, io::File::Mode::kReadWrite, FileRole::kBlocks);
    if (!log.ok() || !blocks.ok()) return;
    const Result<format::BlocksHeader> layout = Segment::ReadLayout(*blocks);
    if (!layout.ok()) return;
    uint32_t slots = layout->slots;
    if (i == open) slots = std::min(slots, ClaimSlot(claim));
    if (i > open) slots = 0;
    // A view that was transferred to another buffer keeps its mapping beyond close: that file must not shrink under it.
    const bool viewed = std::any_of(mapped.begin(), mapped.end(), [&](const std::weak_ptr<Segment>& weak) {
      const std::shared_ptr<Segment> segment = weak.lock();
      return segment != nullptr && segment->number() == number;
    });
    if (viewed) continue;
    uint64_t blocks_end = layout->embedding_offset + layout->embedding_stride * slots;
    // The words first: were this process killed in between, the next one of this boot would store beyond the end.
    uint64_t& slots_word = boot_->slots_ready[entry.number % format::kSpaceWords];
    uint64_t& log_word = boot_->log_ready[entry.number % format::kSpaceWords];
    if (slots_word >> 32 == entry.number) StoreRelease(slots_word, MakeClaim(entry.number, slots));
    if (log_word >> 32 == entry.number) {
      StoreRelease(log_word, MakeClaim(entry.number, static_cast<uint32_t>(log_end / 8)));
    }
    // A closed segment's last slots may never have been claimed by anybody who finished; what is not backed is a hole.
    if (Result<uint64_t> size = log->Size(); !size.ok() || (*size > log_end && !log->SetSize(log_end).ok())) return;
    if (Result<uint64_t> size = blocks->Size(); !size.ok() || (*size > blocks_end && !blocks->SetSize(blocks_end).ok()))
      return;
  }
}

/// Cache synced first, marker written after, synced again: a marker on the disk speaks of bytes on the disk.
Status Store::WriteCleanMarker() {
  THERMOCLINE_RETURN_IF_ERROR(cache_file_.SyncData());
  Result<io::FileIdentity> directory = directory_.Identity();
  Result<io::FileIdentity> cache = cache_file_.Identity();
  if (!directory.ok()) return directory.status();
  if (!cache.ok()) return cache.status();
  format::CleanMarker marker{};
  marker.magic = format::kCleanMagic;
  marker.directory_inode = directory->inode;
  marker.cache_inode = cache->inode;
  marker.list_generation = List()->list_generation;
  marker.index_word = boot_->index;
  marker.tail = boot_->tail;
  marker.words_crc = Crc32c(0, boot_, sizeof *boot_);
  marker.crc = Crc32c(0, &marker, offsetof(format::CleanMarker, crc));
  std::memcpy(cache_map_.data() + format::kCleanOffset, &marker, sizeof marker);
  return cache_file_.SyncData();
}

}  // namespace thermocline::store
