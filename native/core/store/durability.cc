// What survives a power cut: what a flush writes and syncs, and the clean close that lets the next opener believe the
// cache.
//
// Watermark and checkpoint are written by the owner of the flush lock alone, or by whoever has the store for itself.
// Both only rise: frames before the watermark are durable, blocks of frames before the checkpoint are on the disk in
// their own place, and blocks of frames between the two have an image in the log (R13).

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/format/blocks.h"
#include "core/format/image.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// A rebuild looks for images from the checkpoint on: so much of the log, then the blocks files are synced again.
constexpr uint64_t kCheckpointBytes = 4 * 1024 * 1024;

// Making room for images may need a turn or two when writers take it first; then the blocks files are synced instead.
constexpr int kRoomTurns = 3;

}  // namespace

/// R8: the kernel reports a failed sync once and success ever after, while the data is gone.
Status Store::Poison(const Status& cause) {
  poison_errno_.store(cause.error_number(), std::memory_order_relaxed);
  if (boot_ != nullptr && !IsPlanted(Fault::kNoPoison)) StoreRelease(boot_->poison, uint64_t{1});
  return cause;
}

Status Store::CheckPoison() const {
  const bool poisoned = LoadAcquire(boot_->poison) != 0;
  THERMOCLINE_RETURN_IF_ERROR(CheckFiles());  // after the look, whose page may be lost too
  return poisoned ? Status::Error(ErrorCode::kPoisoned) : Status::Ok();
}

/// What one flush makes durable: all frames up to `to`.
struct Store::FlushPlan {
  Position from;  // the watermark before
  Position to;
  Sequence applied = 0;
  bool blocks = false;  // the blocks files are synced too, which moves the checkpoint
  uint64_t room = 0;    // not 0: the log is to be backed up to here, then it is to be planned again
};

/// Blocks to repeat in one image frame.
struct Store::ImagePlan {
  uint64_t bytes = 0;
  uint32_t count = 0;
};

/// Calls visit(slot, has_embedding) for every block of the frames between two places of one log that has no image.
template <typename Visit>
Status Store::VisitBlocks(const Segment& segment, uint64_t from, uint64_t to, Visit visit) const {
  for (uint64_t at = from; at < to;) {
    const auto frame = ReadFrame(segment, salt_, at, false);
    if (!frame) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
    uint64_t record_at = at + sizeof *frame;
    at += FrameBytes(*frame);
    if (frame->image_count > 0) continue;  // a commit that brought its own
    for (uint32_t i = 0; i < frame->record_count; ++i) {
      const auto record = ReadRecord(segment, record_at);
      if (!record) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), record_at);
      if (record->kind() != format::RecordKind::kDelete) {
        const Slot slot = record->slot();
        // A damaged number leads outside of the mapping, or to a block of which another record has the image.
        const bool owns = segment.Covers(slot) && LoadRelaxed(segment.record(slot)) == record_at;
        if (!owns) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), record_at);
        if (!visit(slot, record->has(format::kHasEmbedding))) return Status::Ok();
      }
      record_at += record->header.length;
    }
  }
  return Status::Ok();
}

/// Write lock held. Counts no further than to what is too much for images.
Result<Store::ImagePlan> Store::PlanImages(const Segment& segment, uint64_t from, uint64_t to) const {
  ImagePlan images;
  const uint64_t stride = segment.layout().embedding_stride;
  const Status walked = VisitBlocks(segment, from, to, [&](Slot, bool has_embedding) {
    images.bytes += format::ImageBytes(has_embedding ? stride : 0);
    images.count += 1;
    return images.bytes <= kImagesBytesMax;
  });
  if (!walked.ok()) return walked;
  return images;
}

/// Write lock held, room checked. Moves the tail behind the new frame.
Status Store::AppendImages(Segment& segment, const ImagePlan& images, uint64_t from, FlushPlan* plan) {
  const uint64_t offset = plan->to.offset();
  char* at = segment.log_data() + offset + sizeof(format::FrameHeader);
  THERMOCLINE_RETURN_IF_ERROR(VisitBlocks(segment, from, offset, [&](Slot slot, bool has_embedding) {
    at += WriteImage(segment, slot, has_embedding, at);
    return true;
  }));
  format::FrameHeader header = NextFrameHeader(format::FrameKind::kImage);
  header.body_bytes = images.bytes;
  header.image_count = images.count;
  THERMOCLINE_RETURN_IF_ERROR(CommitFrame(segment, offset, header));
  // As after any frame: a death from here on is repaired by storing these two.
  StoreRelaxed(boot_->last_frame_crc, uint64_t{header.header_crc});
  StoreRelease(boot_->last_frame, plan->to.raw());
  plan->to = Position(segment.number(), offset + FrameBytes(header));
  StoreRelaxed(boot_->imaged, plan->to.raw());
  return Status::Ok();
}

/// Write lock held. Decides what is to be synced, and appends the image frame when there is room for it.
Result<Store::FlushPlan> Store::PlanFlushLocked(Segment& segment, bool blocks) {
  FlushPlan plan;
  plan.from = Position(LoadRelaxed(boot_->watermark));
  plan.to = Position(LoadRelaxed(boot_->tail));
  plan.applied = LoadRelaxed(boot_->applied);
  const Position checkpoint(LoadRelaxed(boot_->checkpoint));
  // Images stay within one log, so that finding them again takes no look at others: a rotation moves the checkpoint.
  plan.blocks = blocks || checkpoint.segment() != plan.to.segment() || segment.number() != plan.to.segment() ||
                plan.to.offset() - checkpoint.offset() > kCheckpointBytes ||
                plan.applied - LoadRelaxed(boot_->watermark_sequence) > kImagesBytesMax / format::ImageBytes(0);
  if (plan.blocks) return plan;
  const Position imaged(LoadRelaxed(boot_->imaged));
  const uint64_t image_from =
      imaged.segment() == plan.to.segment() ? std::max(imaged.offset(), plan.from.offset()) : plan.from.offset();
  const Result<ImagePlan> images = PlanImages(segment, image_from, plan.to.offset());
  if (!images.ok()) return images.status();
  plan.blocks = images->bytes > kImagesBytesMax;
  if (plan.blocks || images->count == 0) return plan;
  const uint64_t end = plan.to.offset() + sizeof(format::FrameHeader) + images->bytes;
  if (end > ReadyLogBytes(plan.to.segment())) {
    plan.room = end;
    return plan;
  }
  THERMOCLINE_RETURN_IF_ERROR(AppendImages(segment, *images, image_from, &plan));
  if (LogIsDue(segment, plan.to.offset())) WakeHelper();
  return plan;
}

/// Flush lock held.
Result<Store::FlushPlan> Store::PlanFlush(FlushScope scope, uint64_t timeout_us) {
  bool blocks = scope == FlushScope::kBlocks;
  for (int turn = 0;; ++turn) {
    const Position tail(LoadAcquire(boot_->tail));
    if (tail.none()) return FlushPlan{};
    Result<Segment*> segment = GetSegment(tail.segment());    // mapped before the lock (R17)
    if (!segment.ok() && IsGone(segment.status())) continue;  // the tail is elsewhere by now
    if (!segment.ok()) return segment.status();
    THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
    const Result<FlushPlan> plan = PlanFlushLocked(**segment, blocks || turn >= kRoomTurns);
    write_lock_->Release();
    if (!plan.ok() || plan->room == 0) return plan;
    // No room, and none to be had (the log is full, or the disk): then the blocks themselves.
    blocks = plan->room > (*segment)->log_capacity() || !EnsureLog(**segment, plan->room, timeout_us).ok();
  }
}

void Store::BeginFlush() {
  const Pin pin;
  const Position tail(LoadAcquire(boot_->tail));
  if (tail.none() || IsDurable(sequence()) || StructureIsDue()) return;
  Result<Segment*> segment = GetSegment(tail.segment());
  if (!segment.ok() || !LockWrite(0).ok()) return;
  const Result<FlushPlan> plan = PlanFlushLocked(**segment, false);
  write_lock_->Release();
  if (!plan.ok() || plan->blocks || plan->room > 0 || plan->from.segment() != plan->to.segment()) return;
  (*segment)->log_file().StartWriteOut(plan->from.offset(), plan->to.offset() - plan->from.offset());
}

/// Flush lock held, or alone. Syncs logs, and blocks files with `blocks`, from one segment of the list to another.
Status Store::SyncSegments(const format::Meta& list, SegmentNumber from, SegmentNumber to, bool blocks) {
  const int first = std::max(0, list.IndexOf(from));
  const int last = list.IndexOf(to);
  for (int i = first; i <= last; ++i) {
    if (IsPlanted(Fault::kFlushForgetsALog) && i < last) continue;
    Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(list.segments[static_cast<size_t>(i)].number));
    // Rewritten and gone: what it held was made durable before it was replaced (R11).
    if (!segment.ok() && IsGone(segment.status())) continue;
    if (!segment.ok()) return segment.status();
    Status status = blocks ? (*segment)->blocks_file().SyncData() : Status::Ok();
    if (status.ok()) status = (*segment)->log_file().SyncData();
    if (!status.ok()) return Poison(status);
  }
  return Status::Ok();
}

/// Whether a handle of durability 'none' left something unsynced that a flush relies on: segments, the list that names
/// them, the removal of the clean marker.
bool Store::StructureIsDue() const {
  return LoadAcquire(boot_->structure_unsynced) != 0 ||
         LoadAcquire(session_->marker_removed) == format::kMarkerUnsynced;
}

/// Flush lock held.
Status Store::SyncStructure(uint64_t timeout_us) {
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
  const LockGuard guard(*growth_lock_);
  if (LoadAcquire(session_->marker_removed) == format::kMarkerUnsynced) {
    const Status status = cache_file_.SyncData();
    if (!status.ok()) return Poison(status);
    StoreRelease(session_->marker_removed, format::kMarkerSynced);
  }
  if (LoadAcquire(boot_->structure_unsynced) == 0) return Status::Ok();
  Result<std::shared_ptr<const format::Meta>> list = NewestList();
  if (!list.ok()) return list.status();
  // All that the list names, also what was made ahead: a synced list must not name a file without its header.
  const std::vector<format::SegmentEntry>& segments = (*list)->segments;
  THERMOCLINE_RETURN_IF_ERROR(SyncSegments(**list, static_cast<SegmentNumber>(segments.front().number),
                                           static_cast<SegmentNumber>(segments.back().number), true));
  format::Meta again = **list;
  again.NotePromises();
  again.list_generation += 1;
  THERMOCLINE_RETURN_IF_ERROR(WriteMeta(std::move(again), true));
  StoreRelease(boot_->structure_unsynced, uint64_t{0});
  return Status::Ok();
}

/// Flush lock held.
Status Store::LeadFlush(FlushScope scope, uint64_t timeout_us) {
  const Pin pin;
  THERMOCLINE_RETURN_IF_ERROR(CheckPoison());
  if (IsPlanted(Fault::kWatermarkBeforeSync)) StoreRelaxed(boot_->watermark, LoadRelaxed(boot_->tail));
  Result<FlushPlan> planned = PlanFlush(scope, timeout_us);
  if (!planned.ok()) return planned.status();
  const FlushPlan& plan = *planned;
  // Afterwards: who committed what the plan covers knew of its segment from a list that was marked unsynced before.
  if (StructureIsDue()) THERMOCLINE_RETURN_IF_ERROR(SyncStructure(timeout_us));
  if (plan.to.none()) return Status::Ok();
  Result<std::shared_ptr<const format::Meta>> list = CurrentList();
  if (!list.ok()) return list.status();
  const Position from = plan.blocks ? Position(LoadRelaxed(boot_->checkpoint)) : plan.from;
  THERMOCLINE_RETURN_IF_ERROR(SyncSegments(**list, from.segment(), plan.to.segment(), plan.blocks));
  // Once more: another process may have met the error that this one's sync no longer reports.
  THERMOCLINE_RETURN_IF_ERROR(CheckPoison());
  if (plan.blocks) StoreRelaxed(boot_->checkpoint, plan.to.raw());
  StoreRelaxed(boot_->watermark, plan.to.raw());
  StoreRelease(boot_->watermark_sequence, plan.applied);  // pairs with the acquire in IsDurable
  // Whoever makes no syncs may not have seen the watermark before it renamed a list in.
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the one in MustSyncList
  return StructureIsDue() ? SyncStructure(timeout_us) : Status::Ok();
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
    THERMOCLINE_RETURN_IF_ERROR(SyncColumns(meta));
    meta.watermark = Position(LoadRelaxed(boot_->watermark));
    meta.watermark_sequence = LoadRelaxed(boot_->watermark_sequence);
    meta.checkpoint = Position(LoadRelaxed(boot_->checkpoint));
    meta.NotePromises();
  }
  meta.list_generation += 1;
  // What a flush promised hangs on the list, whoever puts it in place.
  THERMOCLINE_RETURN_IF_ERROR(WriteMeta(meta, sync || SyncsLists()));
  TrimFiles(meta);
  return sync ? WriteCleanMarker() : Status::Ok();
}

/// The next opener will believe the columns: all of them, because a record replaces others in segments that were synced
/// long ago, and statistics change anywhere.
Status Store::SyncColumns(const format::Meta& list) {
  for (const format::SegmentEntry& entry : list.segments) {
    Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(entry.number));
    if (!segment.ok()) return segment.status();
    const Status status = (*segment)->blocks_file().SyncData();
    if (!status.ok()) return Poison(status);
  }
  return Status::Ok();
}

/// Files are cut to what is used. A failure only costs space. The mappings go first: a mapped file is never shrunk.
void Store::TrimFiles(const format::Meta& meta) {
  const uint64_t claim = LoadRelaxed(boot_->claim);
  const Position tail(LoadRelaxed(boot_->tail));
  const int open = meta.IndexOf(static_cast<SegmentNumber>(ClaimSegment(claim)));
  std::vector<std::weak_ptr<Segment>> mapped(table_.owned().begin(), table_.owned().end());
  table_.Clear();
  leaving_.clear();
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
    // Never more than was backed: who claimed slots may have met a full disk.
    const auto backed = static_cast<uint32_t>(std::min<uint64_t>(slots, ReadyOf(slots_word, entry.number)));
    if (slots_word >> 32 == entry.number) StoreRelease(slots_word, MakeClaim(entry.number, backed));
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
