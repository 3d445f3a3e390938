// Rebuilding the cache from the log (R6, R7): which frames count, then index, columns and words from those.
//
// Pass 1 reads frame after frame and keeps the chain: a frame counts only if it names the last kept one as the one
// before it. The first frame of a segment may name an earlier one; what was read after that is an orphan, written by
// an owner who was killed before its commit while another went on in the next segment. Watermark and checkpoint are
// the highest that `meta` or any frame has, frames beyond a bad one included: each was true when it was written.
// Pass 2 applies the kept frames in order, marking `died` through what the index names (R4). From the checkpoint on a
// block that did not reach the disk is written from its image, the newest in a kept frame; the first frame from the
// watermark on with a block that has none ends the prefix. Before the watermark that is damage of one memory.
// Damage of the log below the watermark is an error: nothing is changed, nothing dropped in silence.
// Then everything kept is synced and one new `meta` ends all old logs and lists a new segment, which begins with a
// synced epoch frame: nothing that lies beyond an end is ever read again.
//
// Not here: blocks and their images (recovery_blocks.cc).
// Thread rule: the first opener, under the gate, alone.

#include <algorithm>
#include <cstring>

#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/rebuilder.h"

namespace thermocline::store {

/// `poisoned`: in this boot a sync failed, so that no sync of now proves anything (R8). Reading goes on.
Status Store::Rebuild(const io::BootIdentity& boot, bool created, bool poisoned) {
  Rebuilder rebuilder(*this, *List(), poisoned);
  recovered_ = !created;
  const Status status = rebuilder.Run(boot, created);
  if (status.ok() || boot_ == nullptr || LoadRelaxed(boot_->poison) == 0) return status;
  // The next opener must know; it finds no sane words and rebuilds again.
  THERMOCLINE_RETURN_IF_ERROR(WriteCacheHeader(boot));
  return status;
}

Status Store::Rebuilder::Run(const io::BootIdentity& boot, bool created) {
  THERMOCLINE_RETURN_IF_ERROR(MapAll());
  FindFrames();
  // A rebuild that went on from here would end the logs before the damage and drop durable memories in silence.
  THERMOCLINE_RETURN_IF_ERROR(Damage());
  CollectImages();
  uint64_t expected = std::max(store_.expected_records_, uint64_t{1});
  if (!frames_.empty()) expected = std::max(expected, std::min(frames_.back().header.memories_after, RecordsMax()));
  THERMOCLINE_RETURN_IF_ERROR(StartCache(expected));
  THERMOCLINE_RETURN_IF_ERROR(ClearColumns());
  for (size_t i = 0; i < frames_.size(); ++i) {
    const Position position(NumberOf(frames_[i].part), frames_[i].offset);
    if (!meta_.Before(position, meta_.checkpoint)) {
      const Result<bool> whole = RestoreBlocks(frames_[i]);
      if (!whole.ok()) return whole.status();
      if (!*whole && !meta_.Before(position, meta_.watermark)) {
        frames_.resize(i);
        break;
      }
    }
    THERMOCLINE_RETURN_IF_ERROR(Apply(frames_[i]));
  }
  // What compaction dropped may have been the last there was; its numbers are not given out again.
  applied_ = std::max(applied_, meta_.changes_floor);
  THERMOCLINE_RETURN_IF_ERROR(Finish(created));
  // The header last: a rebuild that is cut short leaves a cache that nobody believes.
  return store_.WriteCacheHeader(boot);
}

Status Store::Rebuilder::MapAll() {
  for (size_t i = 0; i < meta_.segments.size(); ++i) {
    Result<Segment*> segment = store_.GetSegment(NumberOf(i));
    if (!segment.ok()) return segment.status();
    segments_.push_back(*segment);
  }
  return Status::Ok();
}

void Store::Rebuilder::FindFrames() {
  for (size_t part = 0; part < segments_.size(); ++part) FindFramesIn(part);
}

void Store::Rebuilder::FindFramesIn(size_t part) {
  const Segment& segment = *segments_[part];
  const uint64_t listed_end = meta_.segments[part].log_end;
  const bool ends = listed_end != 0 && !IsPlanted(Fault::kLogEndsIgnored);
  const uint64_t end = ends ? listed_end : segment.log_capacity();
  for (uint64_t offset = format::kHeaderBytes; offset < end;) {
    const auto header = ReadFrame(segment, store_.salt_, offset, true);
    const bool holds = header && offset + FrameBytes(*header) <= end;
    if (holds) RaiseMarks(*header);
    if (!holds || !Link(part, offset, *header)) {
      stops_.push_back({part, offset, holds && !Keeps(*header) ? Position(header->previous_frame) : Position()});
      LookBeyond(part, offset, end);
      return;
    }
    offset += FrameBytes(*header);
  }
}

/// Frames behind a bad one do not count, but what they say of watermark and checkpoint does. Headers are looked for at
/// every place where one can begin, each checked by its own CRC alone, so that the time is linear in the bytes.
void Store::Rebuilder::LookBeyond(size_t part, uint64_t offset, uint64_t end) {
  const Segment& segment = *segments_[part];
  const std::span<const char> bytes = segment.LogBytes(offset, end - offset);
  const uint64_t size = std::min<uint64_t>(bytes.size(), end - offset);
  for (uint64_t at = 0; at + sizeof(format::FrameHeader) <= size; at += 8) {
    uint32_t magic;
    std::memcpy(&magic, bytes.data() + at, sizeof magic);
    if (magic != format::kFrameMagic) continue;
    const uint32_t seed = format::FrameSeed(store_.salt_, Position(segment.number(), offset + at));
    if (const auto header = format::DecodeFrameHeader(bytes.subspan(at, size - at), seed)) RaiseMarks(*header);
  }
}

void Store::Rebuilder::RaiseMarks(const format::FrameHeader& header) {
  if (meta_.Before(meta_.watermark, Position(header.watermark))) {
    meta_.watermark = Position(header.watermark);
    meta_.watermark_sequence = header.durable;
  }
  if (meta_.Before(meta_.checkpoint, Position(header.checkpoint))) meta_.checkpoint = Position(header.checkpoint);
}

/// Bytes that a flush covered and that cannot be read; the first place counts. A log may end where no frame holds, but
/// below the watermark only the end of a closed log is no damage, which the next segment's first frame must then bear
/// out; a listed end says that there was more.
Status Store::Rebuilder::Damage() const {
  for (const Stop& stop : stops_) {
    const Position position(NumberOf(stop.part), stop.offset);
    if (!meta_.Before(position, meta_.watermark)) continue;
    const bool may_end_here =
        meta_.segments[stop.part].log_end == 0 && NumberOf(stop.part) != meta_.watermark.segment();
    if (may_end_here && stop.names.none()) continue;
    const Position place = stop.names.none() ? position : stop.names;  // it is durable, so what it names was too
    return Status::Corrupt(FileRole::kLog, Raw(place.segment()), place.offset());
  }
  return Status::Ok();
}

/// Whether what the frame names as the one before it is kept.
bool Store::Rebuilder::Keeps(const format::FrameHeader& header) const {
  return NamesRewritten(header) || std::any_of(frames_.begin(), frames_.end(), [&](const FoundFrame& frame) {
           return Position(header.previous_frame) == Position(NumberOf(frame.part), frame.offset) &&
                  header.previous_header_crc == frame.header.header_crc;
         });
}

/// Whether the frame before it was the last of segments that were rewritten, and what is left of them was read last.
bool Store::Rebuilder::NamesRewritten(const format::FrameHeader& header) const {
  const Position previous(header.previous_frame);
  return !previous.none() && !frames_.empty() && meta_.IndexOf(previous.segment()) < 0 &&
         meta_.ReplacedBy(previous.segment()) == NumberOf(frames_.back().part);
}

/// Keeps the frame if it continues the chain, dropping orphans that it passes over.
bool Store::Rebuilder::Link(size_t part, uint64_t offset, const format::FrameHeader& header) {
  const Position previous(header.previous_frame);
  size_t keep = frames_.size();
  if (IsPlanted(Fault::kChainIgnored)) {
    keep = frames_.size();
  } else if (previous.none()) {
    keep = 0;
  } else if (offset != format::kHeaderBytes || !NamesRewritten(header)) {
    while (keep > 0) {
      const FoundFrame& last = frames_[keep - 1];
      if (previous == Position(NumberOf(last.part), last.offset) &&
          header.previous_header_crc == last.header.header_crc) {
        break;
      }
      --keep;
    }
    if (keep == 0) return false;
  }
  // Only across a rotation may kept frames turn out to be orphans.
  if (keep != frames_.size() && offset != format::kHeaderBytes) return false;
  frames_.resize(keep);
  frames_.push_back({part, offset, header});
  return true;
}

/// Not of a segment that was never written to: its columns need no room yet.
/// How many records the frames have room for. What a header says of the number of memories is not believed beyond it:
/// an index is made for them.
uint64_t Store::Rebuilder::RecordsMax() const {
  uint64_t records = 0;
  for (const FoundFrame& frame : frames_) records += frame.header.body_bytes / sizeof(format::RecordHeader);
  return records;
}

Status Store::Rebuilder::ClearColumns() {
  std::vector<bool> has_frames(segments_.size());
  for (const FoundFrame& frame : frames_) has_frames[frame.part] = true;
  for (size_t part = 0; part < segments_.size(); ++part) {
    if (!has_frames[part] && !segments_[part]->HasColumns()) continue;
    THERMOCLINE_RETURN_IF_ERROR(segments_[part]->ClearRebuiltColumns());
  }
  return Status::Ok();
}

Status Store::Rebuilder::StartCache(uint64_t entries) {
  // Nobody has it open: cut, so that all of it is zeros, then backed. But for the one word that the next opener of this
  // boot must find if this rebuild does not come to its end; with none other sane, it rebuilds again.
  if (poisoned_) {
    format::BootWords words{};
    words.poison = 1;
    std::memcpy(static_cast<void*>(store_.boot_), &words, sizeof words);
  }
  store_.cache_map_.Unmap();
  store_.boot_ = nullptr;
  const uint32_t log2 = CellsLog2For(entries);
  const IndexWord index = IndexWord::Make(format::kIndexOffset, log2, 1);
  THERMOCLINE_RETURN_IF_ERROR(store_.cache_file_.SetSize(poisoned_ ? format::kIndexOffset : 0));
  if (!poisoned_) {
    THERMOCLINE_RETURN_IF_ERROR(store_.cache_file_.Allocate(0, format::kBootWordsOffset + 4096));
  }
  THERMOCLINE_RETURN_IF_ERROR(store_.cache_file_.Allocate(index.offset(), index.bytes()));
  THERMOCLINE_RETURN_IF_ERROR(store_.MapCache());
  if (index.offset() + index.bytes() > store_.cache_map_.length()) return Status::Error(ErrorCode::kTooLarge);
  store_.cache_map_.Populate(index.offset(), index.bytes());
  store_.boot_->index = index.raw;
  return Status::Ok();
}

Status Store::Rebuilder::Grow() {
  const IndexWord old{store_.boot_->index};
  const IndexWord fresh = IndexWord::Make(format::RoundUp(old.offset() + old.bytes(), format::kSectionBytes),
                                          old.cells_log2() + 1, old.generation() + 1);
  if (fresh.offset() + fresh.bytes() > store_.cache_map_.length()) return Status::Error(ErrorCode::kTooLarge);
  THERMOCLINE_RETURN_IF_ERROR(store_.cache_file_.Allocate(fresh.offset(), fresh.bytes()));
  store_.cache_map_.Populate(fresh.offset(), fresh.bytes());
  const IndexTable from = store_.TableOf(old);
  const IndexTable to = store_.TableOf(fresh);
  for (uint64_t at = 0; at < from.cells(); ++at) {
    const format::IndexCell& cell = from.cell(at);
    if (cell.position != 0) IndexTable::Fill(*to.EmptyCell(cell.hash), cell.hash, Position(cell.position));
  }
  store_.boot_->index = fresh.raw;
  return store_.cache_file_.PunchHole(old.offset(), old.bytes());
}

Status Store::Rebuilder::Apply(const FoundFrame& frame) {
  const Segment& segment = *segments_[frame.part];
  uint64_t offset = frame.offset + sizeof frame.header;
  const uint64_t end = offset + frame.header.record_bytes;
  if (frame.header.record_count > 0) {
    ++batches_;
  }
  for (uint32_t i = 0; i < frame.header.record_count && offset < end; ++i) {
    const auto record = ReadRecord(segment, offset);
    // Its frame's CRC held, so this is no rot but a frame that no writer of ours made.
    if (!record || offset + record->header.length > end) {
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
    }
    const bool deletion = record->kind() == format::RecordKind::kDelete;
    // A block that the file has lost is that memory's damage, told when it is read. A slot that cannot be is a frame of
    // no writer of ours.
    if (!deletion && Raw(record->slot()) >= segment.slots()) {
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
    }
    const uint64_t hash = SipHash13(store_.hash_key_, record->id.data(), record->id.size());
    const Position position(segment.number(), offset);
    const IndexTable table = store_.Table();
    bool present = false;
    if (format::IndexCell* cell = table.FindCell(hash, record->id, store_)) {
      Result<MemoryRef> before = store_.ReadAt(Position(cell->position));
      if (!before.ok()) return before.status();
      dead_bytes_ += before->record.header.length;
      present = before->record.kind() != format::RecordKind::kDelete;
      if (present) {
        before->segment->died(before->record.slot()) = record->header.sequence;
        dead_bytes_ += segment.layout().embedding_stride;
      }
      StoreRelaxed(cell->position, position.raw());
    } else {
      IndexTable::Fill(*table.EmptyCell(hash), hash, position);
      if (++used_ > GrowAtCells(table.cells())) THERMOCLINE_RETURN_IF_ERROR(Grow());
    }
    if (!deletion) {
      segment.record(record->slot()) = offset;
      segment.born(record->slot()) = record->header.sequence;
      // The columns are repeated from the record: the column's page may not have reached the disk.
      segment.created_at(record->slot()) = std::bit_cast<uint64_t>(record->header.created_at);
      segment.confidence(record->slot()) = std::bit_cast<uint64_t>(record->header.confidence);
    }
    applied_ = std::max(applied_, record->header.sequence);
    memories_ = memories_ + (deletion || present ? 0 : 1) - (deletion && present ? 1 : 0);
    offset += record->header.length;
  }
  return Status::Ok();
}

Status Store::Rebuilder::WriteEpochFrame(SegmentNumber number, uint64_t epoch) {
  format::FrameHeader header{};
  header.magic = format::kFrameMagic;
  header.kind = static_cast<uint16_t>(format::FrameKind::kEpoch);
  header.first_sequence = applied_ + 1;
  header.epoch = epoch;
  const Position position(number, format::kHeaderBytes);
  const bool durable = Syncs() && !poisoned_;
  header.durable = durable ? applied_ : meta_.watermark_sequence;
  header.watermark = durable ? position.raw() : meta_.watermark.raw();
  header.checkpoint = durable ? position.raw() : meta_.checkpoint.raw();
  header.memories_after = memories_;
  if (!frames_.empty()) {
    header.previous_frame = Position(NumberOf(frames_.back().part), frames_.back().offset).raw();
    header.previous_header_crc = frames_.back().header.header_crc;
  }
  format::SealFrame(header, format::FrameSeed(store_.salt_, position), nullptr);
  Result<io::File> log =
      io::File::Open(store_.directory_, LogFileName(number).text, io::File::Mode::kReadWrite, FileRole::kLog);
  if (!log.ok()) return log.status();
  THERMOCLINE_RETURN_IF_ERROR(
      log->WriteAt(format::kHeaderBytes, {reinterpret_cast<const char*>(&header), sizeof header}));
  if (Syncs()) THERMOCLINE_RETURN_IF_ERROR(log->Sync());
  store_.boot_->last_frame = position.raw();
  store_.boot_->last_frame_crc = header.header_crc;
  return Status::Ok();
}

Status Store::Rebuilder::Finish(bool created) {
  format::BootWords& boot = *store_.boot_;
  boot.applied = applied_;
  boot.size = memories_;
  boot.batches = batches_;
  boot.index_used = used_;
  boot.dead_bytes = dead_bytes_;
  boot.poison = poisoned_ ? 1 : 0;
  if (created) {
    const uint32_t number = meta_.segments.front().number;
    boot.claim = MakeClaim(number, 0);
    boot.epoch = meta_.epoch;
    boot.list_generation = meta_.list_generation;
    boot.structure_unsynced = store_.created_unsynced_ ? 1 : 0;
    store_.session_->marker_removed = format::kMarkerSynced;
    return Status::Ok();
  }
  if (Syncs() && !frames_.empty()) {
    THERMOCLINE_RETURN_IF_ERROR(
        store_.SyncSegments(meta_, meta_.checkpoint.segment(), NumberOf(frames_.back().part), true));
  }
  uint64_t epoch = meta_.epoch;
  for (const FoundFrame& frame : frames_) epoch = std::max(epoch, frame.header.epoch);
  const size_t kept = frames_.empty() ? 0 : frames_.back().part + 1;
  const uint32_t last_slots = meta_.segments[kept == 0 ? 0 : kept - 1].slots;
  format::Meta next = meta_;
  next.segments.resize(kept);
  for (format::SegmentEntry& entry : next.segments) entry.log_end = format::kHeaderBytes;
  for (const FoundFrame& frame : frames_) {
    next.segments[frame.part].log_end = frame.offset + FrameBytes(frame.header);
  }
  if (next.next_segment == UINT32_MAX) return Status::Error(ErrorCode::kTooLarge);
  format::SegmentEntry entry{};
  entry.number = next.next_segment++;
  entry.slots = static_cast<uint32_t>(std::clamp(last_slots, kSegmentSlotsMin, kSegmentSlotsMax));
  entry.log_capacity = entry.slots * kLogBytesPerSlot;
  const auto number = static_cast<SegmentNumber>(entry.number);
  THERMOCLINE_RETURN_IF_ERROR(Segment::CreateFiles(
      store_.directory_, store_.store_id_, number, entry.slots, store_.dimensions_, entry.log_capacity, Syncs(),
      store_.LearnCentre(next), frames_.empty() ? Segment::Columns::kLater : Segment::Columns::kNow));
  THERMOCLINE_RETURN_IF_ERROR(WriteEpochFrame(number, epoch + 1));
  next.segments.push_back(entry);
  next.epoch = epoch + 1;
  next.list_generation += 1;
  // Without a sync that counts nothing became durable here.
  if (Syncs() && !poisoned_) {
    next.watermark = Position(number, format::kHeaderBytes);
    next.watermark_sequence = applied_;
    next.checkpoint = next.watermark;
  }
  boot.epoch = next.epoch;
  boot.watermark = next.watermark.raw();
  boot.watermark_sequence = next.watermark_sequence;
  boot.checkpoint = next.checkpoint.raw();
  boot.claim = MakeClaim(entry.number, 0);
  const uint64_t tail = format::kHeaderBytes + sizeof(format::FrameHeader);
  boot.tail = Position(number, tail).raw();
  boot.log_ready[entry.number % format::kSpaceWords] = MakeClaim(entry.number, static_cast<uint32_t>(tail / 8));
  // The new list's generation is above that of any marker, so an old one is not believed even if it comes back.
  store_.session_->marker_removed = format::kMarkerSynced;
  return store_.WriteMeta(std::move(next), Syncs());
}

}  // namespace thermocline::store
