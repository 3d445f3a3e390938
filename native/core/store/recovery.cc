// Rebuilding the cache from the log (R6, R7): which frames count, then index, columns and words from those.
//
// Pass 1 reads frame after frame and keeps the chain: a frame counts only if it names the last kept one as the one
// before it. The first frame of a segment may name an earlier one; what was read after that is an orphan, written by
// an owner who was killed before its commit while another went on in the next segment.
// Pass 2 applies the kept frames in order, marking `died` through what the index names (R4), and ends the prefix at
// the first frame past the checkpoint whose embeddings did not reach the disk.
// Damage below the watermark, which a flush covered, is an error: nothing is changed, nothing dropped in silence.
// Then everything kept is synced and one new `meta` ends all old logs and lists a new segment, which begins with a
// synced epoch frame: nothing that lies beyond an end is ever read again.
//
// Thread rule: the first opener, under the gate, alone.

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {

struct Store::FoundFrame {
  size_t part;  // index in the list
  uint64_t offset;
  format::FrameHeader header;
};

class Store::Rebuilder {
 public:
  Rebuilder(Store& store, format::Meta meta) : store_(store), meta_(std::move(meta)) {}

  Status Run(const io::BootIdentity& boot, bool created);

 private:
  Status MapAll();
  void FindFrames();
  void FindFramesIn(size_t part);
  void NoteDamage(Position position);
  bool Link(size_t part, uint64_t offset, const format::FrameHeader& header);
  Status StartCache(uint64_t entries);
  Status Grow();
  bool BlocksArrived(const FoundFrame& frame) const;
  void WriteSketches(const FoundFrame& frame) const;
  Status Apply(const FoundFrame& frame);
  Status Finish(bool created);
  Status WriteEpochFrame(SegmentNumber number, uint64_t epoch);
  SegmentNumber NumberOf(size_t part) const { return static_cast<SegmentNumber>(meta_.segments[part].number); }

  Store& store_;
  format::Meta meta_;
  std::vector<Segment*> segments_;
  std::vector<FoundFrame> frames_;
  Status damage_;
  uint64_t used_ = 0;
  uint64_t memories_ = 0;
  uint64_t dead_bytes_ = 0;
  Sequence applied_ = 0;
  uint64_t batches_ = 0;
};

Status Store::Rebuild(const io::BootIdentity& boot, bool created) {
  Rebuilder rebuilder(*this, *List());
  recovered_ = !created;
  return rebuilder.Run(boot, created);
}

Status Store::Rebuilder::Run(const io::BootIdentity& boot, bool created) {
  THERMOCLINE_RETURN_IF_ERROR(MapAll());
  FindFrames();
  // A rebuild that went on from here would end the logs before the damage and drop durable memories in silence.
  THERMOCLINE_RETURN_IF_ERROR(damage_);
  uint64_t expected = std::max(store_.expected_records_, uint64_t{1});
  if (!frames_.empty()) expected = std::max(expected, frames_.back().header.memories_after);
  THERMOCLINE_RETURN_IF_ERROR(StartCache(expected));
  for (Segment* segment : segments_) segment->ClearRebuiltColumns();
  for (size_t i = 0; i < frames_.size(); ++i) {
    const Position position(NumberOf(frames_[i].part), frames_[i].offset);
    if (!meta_.Before(position, meta_.checkpoint)) {
      if (!BlocksArrived(frames_[i])) {
        frames_.resize(i);
        break;
      }
      WriteSketches(frames_[i]);
    }
    THERMOCLINE_RETURN_IF_ERROR(Apply(frames_[i]));
  }
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
  const uint64_t end = listed_end != 0 ? listed_end : segment.log_capacity();
  for (uint64_t offset = format::kHeaderBytes; offset < end;) {
    const auto header = ReadFrame(segment, store_.salt_, offset, true);
    if (!header || offset + FrameBytes(*header) > end || !Link(part, offset, *header)) {
      // The end of an unfinished log, or damage. Below the watermark only the end of a closed log is no damage, which
      // the next segment's first frame must then bear out (Link); a listed end says that there was more.
      const Position position(segment.number(), offset);
      const bool may_end_here = listed_end == 0 && segment.number() != meta_.watermark.segment();
      if (meta_.Before(position, meta_.watermark) && !may_end_here) NoteDamage(position);
      return;
    }
    // Watermark and checkpoint are the highest in `meta` or in any frame.
    if (meta_.Before(meta_.watermark, Position(header->watermark))) meta_.watermark = Position(header->watermark);
    if (meta_.Before(meta_.checkpoint, Position(header->checkpoint))) meta_.checkpoint = Position(header->checkpoint);
    offset += FrameBytes(*header);
  }
}

/// Bytes that a flush covered cannot be read. The first place counts.
void Store::Rebuilder::NoteDamage(Position position) {
  if (damage_.ok()) damage_ = Status::Corrupt(FileRole::kLog, Raw(position.segment()), position.offset());
}

/// Keeps the frame if it continues the chain, dropping orphans that it passes over.
bool Store::Rebuilder::Link(size_t part, uint64_t offset, const format::FrameHeader& header) {
  const Position previous(header.previous_frame);
  size_t keep = frames_.size();
  if (previous.none()) {
    keep = 0;
  } else {
    while (keep > 0) {
      const FoundFrame& last = frames_[keep - 1];
      if (previous == Position(NumberOf(last.part), last.offset) &&
          header.previous_header_crc == last.header.header_crc) {
        break;
      }
      --keep;
    }
    if (keep == 0) {
      const Position position(NumberOf(part), offset);
      if (meta_.Before(position, meta_.watermark)) NoteDamage(previous);  // durable, so what it names was too
      return false;
    }
  }
  // Only across a rotation may kept frames turn out to be orphans.
  if (keep != frames_.size() && offset != format::kHeaderBytes) return false;
  frames_.resize(keep);
  frames_.push_back({part, offset, header});
  return true;
}

Status Store::Rebuilder::StartCache(uint64_t entries) {
  // Nobody has it open: cut, so that all of it is zeros, then backed.
  store_.cache_map_.Unmap();
  store_.boot_ = nullptr;
  const uint32_t log2 = CellsLog2For(entries);
  const IndexWord index = IndexWord::Make(format::kIndexOffset, log2, 1);
  THERMOCLINE_RETURN_IF_ERROR(store_.cache_file_.SetSize(0));
  THERMOCLINE_RETURN_IF_ERROR(store_.cache_file_.Allocate(0, format::kBootWordsOffset + 4096));
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

/// Whether every embedding that the frame's records name is on the disk as it was written.
bool Store::Rebuilder::BlocksArrived(const FoundFrame& frame) const {
  const Segment& segment = *segments_[frame.part];
  uint64_t offset = frame.offset + sizeof frame.header;
  for (uint32_t i = 0; i < frame.header.record_count; ++i) {
    const auto record = ReadRecord(segment, offset);
    if (!record) return false;
    if (record->kind() != format::RecordKind::kDelete) {
      if (!segment.Covers(record->slot())) return false;
      const uint32_t seed = format::BlockSeed(store_.salt_, segment.number(), record->slot());
      if (record->has(format::kHasEmbedding) &&
          Crc32c(seed, segment.embedding(record->slot()), segment.layout().embedding_stride) !=
              record->header.embedding_crc) {
        return false;
      }
    }
    offset += record->header.length;
  }
  return true;
}

/// No checksum covers a sketch: of a block that no sync covered the embedding may have arrived and the sketch not.
void Store::Rebuilder::WriteSketches(const FoundFrame& frame) const {
  Segment& segment = *segments_[frame.part];
  uint64_t offset = frame.offset + sizeof frame.header;
  for (uint32_t i = 0; i < frame.header.record_count; ++i) {
    const auto record = ReadRecord(segment, offset);
    if (!record) return;
    if (record->kind() != format::RecordKind::kDelete && segment.Covers(record->slot())) {
      const bool has_embedding = record->has(format::kHasEmbedding);
      store_.WriteSketch(segment, record->slot(), has_embedding ? segment.embedding(record->slot()) : nullptr);
    }
    offset += record->header.length;
  }
}

Status Store::Rebuilder::Apply(const FoundFrame& frame) {
  const Segment& segment = *segments_[frame.part];
  uint64_t offset = frame.offset + sizeof frame.header;
  const uint64_t end = offset + frame.header.record_bytes;
  if (frame.header.record_count > 0) {
    ++batches_;
    applied_ = std::max(applied_, frame.header.first_sequence + frame.header.record_count - 1);
  }
  for (uint32_t i = 0; i < frame.header.record_count && offset < end; ++i) {
    const auto record = ReadRecord(segment, offset);
    // Its frame's CRC held, so this is no rot but a frame that no writer of ours made.
    if (!record || offset + record->header.length > end) {
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
    }
    const bool deletion = record->kind() == format::RecordKind::kDelete;
    if (!deletion && !segment.Covers(record->slot())) {
      offset += record->header.length;
      continue;
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
  header.durable = applied_;
  const Position position(number, format::kHeaderBytes);
  header.watermark = position.raw();
  header.checkpoint = position.raw();
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
  if (store_.Syncs()) THERMOCLINE_RETURN_IF_ERROR(log->Sync());
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
  boot.watermark_sequence = applied_;
  if (created) {
    const uint32_t number = meta_.segments.front().number;
    boot.claim = MakeClaim(number, 0);
    boot.epoch = meta_.epoch;
    boot.list_generation = meta_.list_generation;
    boot.structure_unsynced = store_.created_unsynced_ ? 1 : 0;
    store_.session_->marker_removed = 1;
    return Status::Ok();
  }
  if (store_.Syncs() && !frames_.empty()) {
    const Position end(NumberOf(frames_.back().part), frames_.back().offset);
    THERMOCLINE_RETURN_IF_ERROR(store_.SyncSegments(meta_, meta_.checkpoint, end));
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
  format::SegmentEntry entry{};
  entry.number = next.next_segment++;
  entry.slots = static_cast<uint32_t>(std::clamp(last_slots, kSegmentSlotsMin, kSegmentSlotsMax));
  entry.log_capacity = entry.slots * kLogBytesPerSlot;
  const auto number = static_cast<SegmentNumber>(entry.number);
  THERMOCLINE_RETURN_IF_ERROR(Segment::CreateFiles(store_.directory_, store_.store_id_, number, entry.slots,
                                                   store_.dimensions_, entry.log_capacity, store_.Syncs(),
                                                   store_.LearnCentre(next)));
  THERMOCLINE_RETURN_IF_ERROR(WriteEpochFrame(number, epoch + 1));
  next.segments.push_back(entry);
  next.epoch = epoch + 1;
  next.list_generation += 1;
  next.watermark = Position(number, format::kHeaderBytes);
  next.watermark_sequence = applied_;
  next.checkpoint = next.watermark;
  boot.epoch = next.epoch;
  boot.watermark = next.watermark.raw();
  boot.checkpoint = next.checkpoint.raw();
  boot.claim = MakeClaim(entry.number, 0);
  const uint64_t tail = format::kHeaderBytes + sizeof(format::FrameHeader);
  boot.tail = Position(number, tail).raw();
  boot.log_ready[entry.number % format::kSpaceWords] = MakeClaim(entry.number, static_cast<uint32_t>(tail / 8));
  store_.session_->marker_removed = 1;
  return store_.WriteMeta(std::move(next), store_.Syncs());
}

}  // namespace thermocline::store
