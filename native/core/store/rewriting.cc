#include "core/store/rewriting.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/io/system.h"
#include "core/store/log_reader.h"

namespace thermocline::store {
namespace {

constexpr char kMetaName[] = "meta";
constexpr char kMetaRewrittenName[] = "meta.rewritten";
// The new list is written and synced without a lock. Whoever meets other changes of the list so often holds the growth
// lock over it.
constexpr int kLooksBesideGrowth = 4;
// How far ahead of the store into a cell its line is asked for.
constexpr size_t kPrefetchCells = 16;

}  // namespace

Store::Rewriting::~Rewriting() {
  if (!created_ || published_) return;
  target_.reset();
  static_cast<void>(io::Unlink(store_.directory_, LogFileName(target_number_).text).ok());
  static_cast<void>(io::Unlink(store_.directory_, BlocksFileName(target_number_).text).ok());
}

Status Store::Rewriting::Run(const format::Meta& list, SegmentRun run) {
  THERMOCLINE_RETURN_IF_ERROR(Choose(list, run));
  Reserve();
  THERMOCLINE_RETURN_IF_ERROR(CreateTarget(list, run));
  THERMOCLINE_RETURN_IF_ERROR(Copy());
  Status published;
  bool synced = false;
  do {
    synced = syncs_;
    THERMOCLINE_RETURN_IF_ERROR(SyncTarget());
    // What made a record old must be on the disk before its last copy goes: all logs, and all blocks, because the image
    // of a block of another segment may lie in a log of the run.
    if (synced) THERMOCLINE_RETURN_IF_ERROR(store_.Flush(timeout_us_, FlushScope::kBlocks));
    published = Publish();
  } while (!published.ok() && synced != syncs_);
  THERMOCLINE_RETURN_IF_ERROR(published);
  return GiveBack();
}

// (a), (b): what lives ------------------------------------------------------------------------------------------------

Status Store::Rewriting::Choose(const format::Meta& list, SegmentRun run) {
  heads_list_ = run.first == 0;
  for (size_t i = run.first; i < run.first + run.count; ++i) {
    const format::SegmentEntry& entry = list.segments[i];
    numbers_.push_back(entry.number);
    Result<std::shared_ptr<Segment>> segment = store_.ShareSegment(static_cast<SegmentNumber>(entry.number));
    if (!segment.ok()) return segment.status();
    sources_.push_back(std::move(*segment));
    THERMOCLINE_RETURN_IF_ERROR(ChooseFrom(*sources_.back(), entry.log_end));
  }
  return Status::Ok();
}

Status Store::Rewriting::ChooseFrom(Segment& segment, uint64_t end) {
  for (uint64_t at = format::kHeaderBytes; at < end;) {
    if (cancel_.load(std::memory_order_relaxed)) return Status::Error(ErrorCode::kAborted);
    const auto frame = ReadFrame(segment, store_.salt_, at, false);
    if (!frame) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
    if (!first_) first_ = *frame;
    uint64_t record_at = at + sizeof *frame;
    at += FrameBytes(*frame);
    const Pin pin;  // the index leads anywhere
    for (uint32_t i = 0; i < frame->record_count; ++i) {
      const auto record = ReadRecord(segment, record_at);
      // Of what is dropped too: a damaged id would make the newest record of another look old.
      const bool holds = record && record_at + record->header.length <= at &&
                         CheckRecordAt(*record, store_.salt_, Position(segment.number(), record_at));
      if (!holds) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), record_at);
      THERMOCLINE_RETURN_IF_ERROR(ChooseRecord(segment, record_at, *record));
      record_at += record->header.length;
    }
  }
  return Status::Ok();
}

Status Store::Rewriting::ChooseRecord(Segment& segment, uint64_t offset, const format::RecordView& record) {
  const Position here(segment.number(), offset);
  const uint64_t hash = store_.HashOf(record.id);
  const bool deletion = record.kind() == format::RecordKind::kDelete;
  bool newest = store_.PositionInIndex(hash, record.id, store_) == here;
  if (IsPlanted(Fault::kCompactionDropsNewest) && record.header.sequence % 7 == 0) newest = false;
  if (!newest || (deletion && (heads_list_ || IsPlanted(Fault::kCompactionDropsDeletions)))) {
    dropped_up_to_ = std::max(dropped_up_to_, record.header.sequence);
    if (newest) {
      deletions_.push_back({here, hash, nullptr});
    } else {
      dead_bytes_ += record.header.length + (deletion ? 0 : segment.layout().embedding_stride);
    }
    return Status::Ok();
  }
  const MemoryRef memory{&segment, offset, record};
  if (!deletion && !OwnsBlock(memory)) return Status::Corrupt(FileRole::kBlocks, Raw(segment.number()), offset);
  Record kept{};
  kept.source = &segment;
  kept.offset = offset;
  kept.length = record.header.length;
  kept.slot = record.slot();
  kept.hash = hash;
  kept.has_embedding = record.has(format::kHasEmbedding);
  kept.sequence = record.header.sequence;
  records_.push_back(kept);
  return Status::Ok();
}

/// Gives every record its place in the copy.
void Store::Rewriting::Reserve() {
  THERMOCLINE_ASSERT(first_.has_value());  // or the copy could not say which frame it comes after
  uint64_t at = format::kHeaderBytes + sizeof(format::FrameHeader);
  uint64_t frame_bytes = 0;
  for (size_t i = 0; i < records_.size(); ++i) {
    Record& record = records_[i];
    const bool full =
        i - (frames_.empty() ? 0 : frames_.back()) == kBatchRecordsMax || frame_bytes + record.length > kBatchBytesMax;
    if (frames_.empty() || full) {
      frames_.push_back(i);
      frame_bytes = 0;
      at += sizeof(format::FrameHeader);
    }
    record.position = Position(SegmentNumber::kNone, at);
    record.target_slot = record.slot == Slot::kNone ? Slot::kNone : static_cast<Slot>(slots_++);
    at += record.length;
    frame_bytes += record.length;
  }
  log_end_ = at;
}

// (b): the copy -------------------------------------------------------------------------------------------------------

Status Store::Rewriting::CreateTarget(const format::Meta& list, SegmentRun run) {
  // The number first, so that nobody else makes files under it. No sync of the directory: a number that is forgotten
  // with the power is one whose files no list names.
  const Status numbered = ChangeList(
      [this](format::Meta& meta) {
        if (meta.next_segment > kSegmentNumberMax) return Status::Error(ErrorCode::kTooLarge);
        target_number_ = static_cast<SegmentNumber>(meta.next_segment++);
        return Status::Ok();
      },
      [this](format::Meta meta) {
        if (!MayRename()) return Status::Error(ErrorCode::kConflict);
        const Status renamed = io::Rename(store_.directory_, kMetaRewrittenName, kMetaName);
        if (renamed.ok()) store_.PublishList(std::move(meta));
        return renamed;
      });
  THERMOCLINE_RETURN_IF_ERROR(numbered);
  for (Record& record : records_) record.position = Position(target_number_, record.position.offset());
  const uint32_t slots = std::max(slots_, 1u);
  format::Meta learn_from = list;
  learn_from.segments.assign(list.segments.begin() + static_cast<ptrdiff_t>(run.first),
                             list.segments.begin() + static_cast<ptrdiff_t>(run.first + run.count));
  const Pin pin;
  created_ = true;
  THERMOCLINE_RETURN_IF_ERROR(Segment::CreateFiles(
      store_.directory_, store_.store_id_, target_number_, static_cast<uint32_t>(format::RoundUp(slots, 64)),
      store_.dimensions_, format::RoundUp(log_end_, format::kSectionBytes), false, store_.LearnCentre(learn_from)));
  Result<std::shared_ptr<Segment>> target = store_.ShareSegment(target_number_);
  if (!target.ok()) return target.status();
  target_ = std::move(*target);
  THERMOCLINE_RETURN_IF_ERROR(target_->BackSlots(0, slots));
  return target_->BackLog(format::kHeaderBytes, log_end_);
}

Status Store::Rewriting::Copy() {
  uint64_t at = format::kHeaderBytes;
  format::FrameHeader begin = store_.NextFrameHeader(format::FrameKind::kEpoch);
  begin.first_sequence = first_->first_sequence;
  last_frame_ = Position(first_->previous_frame);
  last_frame_crc_ = first_->previous_header_crc;
  WriteFrameHeader(begin, at);
  at += sizeof begin;
  for (size_t i = 0; i < frames_.size(); ++i) {
    if (cancel_.load(std::memory_order_relaxed)) return Status::Error(ErrorCode::kAborted);
    if (between_) between_();
    const size_t end = i + 1 < frames_.size() ? frames_[i + 1] : records_.size();
    THERMOCLINE_RETURN_IF_ERROR(CopyFrame(frames_[i], end - frames_[i], &at));
  }
  THERMOCLINE_ASSERT(at == log_end_);
  return Status::Ok();
}

Status Store::Rewriting::CopyFrame(size_t first, size_t count, uint64_t* offset) {
  const uint64_t begin = *offset;
  uint64_t at = begin + sizeof(format::FrameHeader);
  for (size_t i = first; i < first + count; ++i) {
    THERMOCLINE_RETURN_IF_ERROR(CopyRecord(records_[i], at));
    at += records_[i].length;
  }
  format::FrameHeader header = store_.NextFrameHeader(format::FrameKind::kRecords);
  header.first_sequence = records_[first].sequence;
  header.record_count = static_cast<uint32_t>(count);
  header.record_bytes = header.body_bytes = at - begin - sizeof header;
  WriteFrameHeader(header, begin);
  *offset = at;
  return Status::Ok();
}

void Store::Rewriting::WriteFrameHeader(format::FrameHeader header, uint64_t offset) {
  header.flags = format::kFrameRewritten;
  header.previous_frame = last_frame_.raw();
  header.previous_header_crc = last_frame_crc_;
  char* frame = target_->log_data() + offset;
  const Position position(target_number_, offset);
  format::SealFrame(header, format::FrameSeed(store_.salt_, position), frame + sizeof header);
  std::memcpy(frame, &header, sizeof header);
  last_frame_ = position;
  last_frame_crc_ = header.header_crc;
}

/// What is copied is checked as it was and sealed anew where it is: damage gets no fresh checksum.
Status Store::Rewriting::CopyRecord(Record& record, uint64_t offset) {
  const uint32_t source = Raw(record.source->number());
  char* out = target_->log_data() + offset;
  std::memcpy(out, record.source->LogBytes(record.offset, record.length).data(), record.length);
  const auto copy = format::DecodeRecord({out, record.length});
  if (!copy || !CheckRecordAt(*copy, store_.salt_, Position(record.source->number(), record.offset))) {
    return Status::Corrupt(FileRole::kLog, source, record.offset);
  }
  format::RecordHeader header = copy->header;
  header.previous = 0;  // it would name a file that is gone; whoever would step back along it starts again
  if (record.slot != Slot::kNone) {
    Segment& target = *target_;
    const Slot slot = record.target_slot;
    header.slot = Raw(slot);
    float* embedding = nullptr;
    if (record.has_embedding) {
      embedding = target.embedding(slot);
      const uint64_t bytes = target.layout().embedding_stride;
      std::memcpy(embedding, record.source->embedding(record.slot), bytes);
      if (Crc32c(format::BlockSeed(store_.salt_, record.source->number(), record.slot), embedding, bytes) !=
          header.embedding_crc) {
        return Status::Corrupt(FileRole::kBlocks, source, record.source->BlocksBytesFor(Raw(record.slot)));
      }
      header.embedding_crc = Crc32c(format::BlockSeed(store_.salt_, target_number_, slot), embedding, bytes);
    }
    store_.WriteSketch(target, slot, embedding);
    StoreRelaxed(target.created_at(slot), std::bit_cast<uint64_t>(header.created_at));
    StoreRelaxed(target.confidence(slot), std::bit_cast<uint64_t>(header.confidence));
    StoreRelaxed(target.record(slot), offset);
    StoreRelease(target.born(slot), record.sequence);
  }
  std::memcpy(out, &header, sizeof header);
  format::SealRecord(out, format::FrameSeed(store_.salt_, Position(target_number_, offset)));
  return Status::Ok();
}

/// Statistics are copied once more when the copy is published; until then these are what the disk gets.
Status Store::Rewriting::SyncTarget() {
  CopyDeaths();
  if (!syncs_) return Status::Ok();
  // No list names it yet, so a failed sync is an error of this try alone (decision 0028).
  THERMOCLINE_RETURN_IF_ERROR(target_->blocks_file().Sync());
  THERMOCLINE_RETURN_IF_ERROR(target_->log_file().Sync());
  return store_.directory_.Sync();
}

// (c) -----------------------------------------------------------------------------------------------------------------

/// Writes a changed list beside the present one without a lock, then calls `act` under the growth lock if the
/// present one is still the same; else again. The file that `act` replaces is kept open until no lock is held: the last
/// reference to it frees its blocks, and a rename that does this sleeps in the journal.
Status Store::Rewriting::ChangeList(const std::function<Status(format::Meta&)>& change,
                                    const std::function<Status(format::Meta)>& act) {
  for (int look = 0;; ++look) {
    if (cancel_.load(std::memory_order_relaxed)) return Status::Error(ErrorCode::kAborted);
    const Pin pin;
    io::File replaced;
    const bool under_growth = look == kLooksBesideGrowth;
    if (under_growth) THERMOCLINE_RETURN_IF_ERROR(store_.LockGrowth(timeout_us_));
    const Status tried = [&]() -> Status {
      Result<std::shared_ptr<const format::Meta>> list = under_growth ? store_.NewestList() : store_.ReadMeta();
      if (!list.ok()) return list.status();
      Result<io::File> file = io::File::Open(store_.directory_, kMetaName, io::File::Mode::kRead, FileRole::kMeta);
      if (file.ok()) replaced = std::move(*file);
      format::Meta meta = **list;
      const uint64_t generation = meta.list_generation++;
      store_.FillLogEnds(meta, Position(LoadAcquire(store_.boot_->tail)));
      THERMOCLINE_RETURN_IF_ERROR(change(meta));
      THERMOCLINE_RETURN_IF_ERROR(store_.WriteMetaBeside(kMetaRewrittenName, meta, syncs_));
      if (!under_growth) THERMOCLINE_RETURN_IF_ERROR(store_.LockGrowth(timeout_us_));
      const Status status = [&]() -> Status {
        Result<std::shared_ptr<const format::Meta>> newest = store_.NewestList();
        if (!newest.ok()) return newest.status();
        if ((*newest)->list_generation != generation) return Status::Error(ErrorCode::kConflict);
        return act(std::move(meta));
      }();
      if (!under_growth) store_.growth_lock_->Release();
      return status;
    }();
    if (under_growth) store_.growth_lock_->Release();
    if (tried.ok() || tried.code() != ErrorCode::kConflict) return tried;
  }
}

Status Store::Rewriting::Publish() {
  return ChangeList(
      [this](format::Meta& meta) {
        FindCells();  // here, so that no lock is held over it
        return ReplaceRun(meta);
      },
      [this](format::Meta meta) {
        if (!MayRename()) return Status::Error(ErrorCode::kAborted);  // Run makes all of it durable first
        if (LoadAcquire(store_.boot_->index) != found_in_.raw) FindCells();
        return Swing(std::move(meta));
      });
}

/// Growth lock held. False when a flush promised something since the compaction began without syncs: what it covered
/// must not come to lie in a list or a copy that is not on the disk.
bool Store::Rewriting::MayRename() {
  if (syncs_) return true;
  syncs_ = store_.MustSyncList();
  return !syncs_;
}

/// The list with the copy in the run's place, and the marks of the flush.
Status Store::Rewriting::ReplaceRun(format::Meta& meta) const {
  const int first = meta.IndexOf(static_cast<SegmentNumber>(numbers_.front()));
  if (first < 0) return Status::Corrupt(FileRole::kMeta, numbers_.front(), 0);
  const auto begin = meta.segments.begin() + first;
  const auto end = begin + static_cast<ptrdiff_t>(numbers_.size());
  format::SegmentEntry entry{};
  entry.number = Raw(target_number_);
  entry.slots = target_->slots();
  entry.log_capacity = target_->log_capacity();
  entry.log_end = log_end_;
  *begin = entry;
  meta.segments.erase(begin + 1, end);
  meta.Replace(numbers_, entry.number);
  meta.changes_floor = std::max(meta.changes_floor, dropped_up_to_);
  if (syncs_) {
    // The sequence first: a flush in between then makes the place later, never the other way.
    meta.watermark_sequence = LoadAcquire(store_.boot_->watermark_sequence);
    meta.watermark = Position(LoadAcquire(store_.boot_->watermark));
    meta.checkpoint = Position(LoadAcquire(store_.boot_->checkpoint));
  }
  return Status::Ok();
}

void Store::Rewriting::FindCells() {
  found_in_ = IndexWord{LoadAcquire(store_.boot_->index)};
  const IndexTable table = store_.TableOf(found_in_);
  for (Record& record : records_) {
    record.cell = table.CellOf(record.hash, Position(record.source->number(), record.offset));
  }
  for (DroppedDeletion& deletion : deletions_) deletion.cell = table.CellOf(deletion.hash, deletion.position);
}

/// Growth lock held. The order is the one that holds (R11): deaths, list, index, publication.
Status Store::Rewriting::Swing(format::Meta list) {
  CopyDeaths();  // what the second one reads and writes is in the caches then
  THERMOCLINE_RETURN_IF_ERROR(store_.LockWrite(timeout_us_));
  const uint64_t begin = io::NowMonotonicMicroseconds();
  CopyDeaths();
  // What was copied from a file that somebody cut short is no copy; nothing is lost while no list names it.
  const Status whole = store_.CheckFiles();
  const Status renamed = !whole.ok() ? whole : io::Rename(store_.directory_, kMetaRewrittenName, kMetaName);
  if (renamed.ok()) {
    published_ = true;
    SwingIndex();
    format::BootWords& boot = *store_.boot_;
    StoreRelaxed(boot.dead_bytes, LoadRelaxed(boot.dead_bytes) - std::min(LoadRelaxed(boot.dead_bytes), dead_bytes_));
    store_.PublishList(std::move(list));
  }
  longest_hold_us_ = std::max(longest_hold_us_, io::NowMonotonicMicroseconds() - begin);
  store_.write_lock_->Release();
  return renamed;
}

void Store::Rewriting::CopyDeaths() {
  for (const Record& record : records_) {
    if (record.slot == Slot::kNone) continue;
    StoreRelaxed(target_->died(record.target_slot), LoadAcquire(record.source->died(record.slot)));
    const format::Statistics& from = record.source->statistics(record.slot);
    format::Statistics& to = target_->statistics(record.target_slot);
    StoreRelaxed(to.activation, LoadRelaxed(from.activation));
    StoreRelaxed(to.last_access, LoadRelaxed(from.last_access));
    StoreRelaxed(to.recall_count, LoadRelaxed(from.recall_count));
  }
}

void Store::Rewriting::SwingIndex() {
  for (size_t i = 0; i < records_.size(); ++i) {
    if (i + kPrefetchCells < records_.size()) __builtin_prefetch(records_[i + kPrefetchCells].cell, 1);
    const Record& record = records_[i];
    const uint64_t old = Position(record.source->number(), record.offset).raw();
    if (record.cell != nullptr && LoadRelaxed(record.cell->position) == old) {
      StoreRelease(record.cell->position, record.position.raw());  // pairs with the acquire in FindCell
    }
  }
  for (const DroppedDeletion& deletion : deletions_) {
    if (deletion.cell != nullptr && LoadRelaxed(deletion.cell->position) == deletion.position.raw()) {
      StoreRelease(deletion.cell->position, format::kTombstone);
    }
  }
}

// (d) -----------------------------------------------------------------------------------------------------------------

Status Store::Rewriting::GiveBack() {
  if (syncs_) {
    // The list on the disk is the old one or the new one, and nobody can find out which (R8): both must stay whole.
    const Status synced = store_.directory_.Sync();
    if (!synced.ok()) return store_.Poison(synced);
  }
  if (IsPlanted(Fault::kCompactionKeepsFiles)) return Status::Ok();
  for (const uint32_t number : numbers_) {
    const auto segment = static_cast<SegmentNumber>(number);
    for (const SegmentFileName& name : {LogFileName(segment), BlocksFileName(segment), KeysFileName(segment)}) {
      const Status removed = io::Unlink(store_.directory_, name.text);
      if (!removed.ok() && removed.error_number() != ENOENT) return removed;
    }
  }
  return Status::Ok();
}

}  // namespace thermocline::store
