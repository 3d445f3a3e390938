// The second half of a commit: the frame is written, then applied; and the same from the bytes, for repair.
//
// Nothing here allocates, maps or fails once a commit has begun (R12), but for a log that somebody cuts short
// meanwhile: then the tail stays where it was. Write lock held throughout.

#include <bit>
#include <cstring>

#include "core/base/planted.h"
#include "core/format/image.h"
#include "core/store/commit_plan.h"
#include "core/store/log_reader.h"

namespace thermocline::store {

/// The header of the frame that comes next, but for what its kind has of its own. Write lock held.
format::FrameHeader Store::NextFrameHeader(format::FrameKind kind) const {
  format::FrameHeader header{};
  header.magic = format::kFrameMagic;
  header.kind = static_cast<uint16_t>(kind);
  header.first_sequence = LoadRelaxed(boot_->applied) + 1;
  header.epoch = LoadRelaxed(boot_->epoch);
  // Each of the three is true by itself at any moment, so they need not be of one flush.
  header.durable = LoadRelaxed(boot_->watermark_sequence);
  header.watermark = LoadRelaxed(boot_->watermark);
  header.checkpoint = LoadRelaxed(boot_->checkpoint);
  header.memories_after = LoadRelaxed(boot_->size);
  header.previous_frame = LoadRelaxed(boot_->last_frame);
  header.previous_header_crc = static_cast<uint32_t>(LoadRelaxed(boot_->last_frame_crc));
  return header;
}

/// The body is in its place: writes the header and moves the tail. An error, and nothing is committed, when the file is
/// not there any more.
Status Store::CommitFrame(Segment& segment, uint64_t offset, format::FrameHeader& header) {
  char* frame = segment.log_data() + offset;
  const Position position(segment.number(), offset);
  const Position end(segment.number(), offset + FrameBytes(header));
  if (IsPlanted(Fault::kTailBeforeFrame)) StoreRelease(boot_->tail, end.raw());
  format::SealFrame(header, format::FrameSeed(salt_, position), frame + sizeof header);
  std::memcpy(frame, &header, sizeof header);
  THERMOCLINE_RETURN_IF_ERROR(CheckFiles());
  // COMMIT. Pairs with the acquire of readers of `tail` and of whoever repairs.
  StoreRelease(boot_->tail, end.raw());
  return Status::Ok();
}

/// Repeats a block at `out`; returns its bytes there.
uint64_t Store::WriteImage(const Segment& segment, Slot slot, bool has_embedding, char* out) {
  const format::Statistics& statistics = segment.statistics(slot);
  format::ImageHeader header{};
  header.segment = Raw(segment.number());
  header.slot = Raw(slot);
  header.flags = has_embedding ? format::kHasEmbedding : 0;
  header.created_at = std::bit_cast<double>(segment.created_at(slot));
  header.confidence = std::bit_cast<double>(segment.confidence(slot));
  header.activation = LoadRelaxed(statistics.activation);
  header.last_access = LoadRelaxed(statistics.last_access);
  header.recall_count = LoadRelaxed(statistics.recall_count);
  header.embedding_bytes = has_embedding ? static_cast<uint32_t>(segment.layout().embedding_stride) : 0;
  format::EncodeImage(header, segment.embedding(slot), out);
  return format::ImageBytes(header.embedding_bytes);
}

// Steps 5 and 6.
Status Store::WriteFrame(Batch& batch, Plan& plan) {
  char* at = plan.segment->log_data() + plan.offset + sizeof(format::FrameHeader);
  for (const Operation& operation : batch.operations()) {
    if (!operation.effective) continue;
    format::EncodeRecord(operation.parts, at);
    format::RecordHeader header;
    std::memcpy(&header, at, sizeof header);
    header.sequence = operation.sequence;
    header.previous = operation.previous.raw();
    if (operation.kind != format::RecordKind::kDelete) {
      header.slot = Raw(operation.slot);
      header.embedding_crc = operation.embedding_crc;
    }
    std::memcpy(at, &header, sizeof header);
    format::SealRecord(at, format::FrameSeed(salt_, operation.position));
    at += header.length;
  }
  for (const Operation& operation : batch.operations()) {
    if (plan.images == 0) break;
    if (!operation.effective || operation.kind == format::RecordKind::kDelete) continue;
    at += WriteImage(*plan.segment, operation.slot, operation.parts.has_embedding, at);
  }
  plan.header = NextFrameHeader(format::FrameKind::kRecords);
  format::FrameHeader& header = plan.header;
  header.body_bytes = plan.record_bytes + plan.image_bytes;
  header.record_bytes = plan.record_bytes;
  header.first_sequence = plan.first_sequence;
  header.record_count = plan.records;
  header.image_count = plan.images;
  header.memories_after = plan.memories;
  return CommitFrame(*plan.segment, plan.offset, header);
}

// Steps 7 and 8, from what the plan knows already. ApplyFrame does the same from the bytes.
void Store::ApplyPlanned(Batch& batch, const Plan& plan) {
  const IndexTable table = Table();
  const Sequence last = plan.first_sequence + plan.records - 1;
  uint64_t dead = 0;
  if (IsPlanted(Fault::kAppliedBeforeApply)) StoreRelease(boot_->applied, last);
  for (const Operation& operation : batch.operations()) {
    if (!operation.effective) continue;
    if (operation.kind != format::RecordKind::kDelete) {
      StoreRelaxed(plan.segment->record(operation.slot), operation.position.offset());
      StoreRelease(plan.segment->born(operation.slot), operation.sequence);
    }
    if (operation.cell != nullptr) {
      StoreRelease(operation.cell->position, operation.position.raw());
    } else if (operation.inserts) {
      // Room was planned for. None now: the cache was cut short meanwhile, which CheckFiles tells.
      format::IndexCell* const cell = table.EmptyCell(operation.hash);
      if (cell != nullptr) IndexTable::Fill(*cell, operation.hash, operation.position);
    } else {
      table.Assign(operation.hash, operation.put.id, operation.position, *this);
    }
    if (operation.previous_slot != Slot::kNone) {
      StoreRelease(operation.previous_segment->died(operation.previous_slot), operation.sequence);
      dead += operation.previous_segment->layout().embedding_stride;
    }
    dead += operation.dead_bytes;
  }
  StoreRelaxed(boot_->index_used, LoadRelaxed(boot_->index_used) + plan.inserts);
  StoreRelaxed(boot_->dead_bytes, LoadRelaxed(boot_->dead_bytes) + dead);
  StoreRelaxed(boot_->batches, LoadRelaxed(boot_->batches) + 1);
  StoreRelaxed(boot_->size, plan.memories);
  StoreRelaxed(boot_->last_frame_crc, uint64_t{plan.header.header_crc});
  StoreRelease(boot_->last_frame, Position(plan.segment->number(), plan.offset).raw());
  // VISIBLE. Pairs with the acquire in Find and TakeSnapshot.
  StoreRelease(boot_->applied, last);
}

Status Store::ApplyFrame(Segment& segment, Position position, const format::FrameHeader& header) {
  const IndexTable table = Table();
  uint64_t offset = position.offset() + sizeof header;
  const uint64_t end = offset + header.record_bytes;
  for (uint32_t i = 0; i < header.record_count; ++i) {
    const std::optional<format::RecordView> record = ReadRecord(segment, offset);
    if (!record || offset + record->header.length > end)
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
    if (record->kind() != format::RecordKind::kDelete) {
      if (Raw(record->slot()) >= segment.slots()) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
      StoreRelaxed(segment.record(record->slot()), offset);
      StoreRelease(segment.born(record->slot()), record->header.sequence);
    }
    const uint64_t hash = SipHash13(hash_key_, record->id.data(), record->id.size());
    // Room was reserved by whoever committed; a table without an empty cell is none that we wrote.
    if (table.EmptyCell(hash) == nullptr) return Status::Corrupt(FileRole::kCache, 0, 0);
    table.Assign(hash, record->id, Position(segment.number(), offset), *this);
    const Position previous(record->header.previous);
    if (!previous.none()) {
      Result<MemoryRef> replaced = ReadAt(previous);
      if (!replaced.ok()) return replaced.status();
      THERMOCLINE_RETURN_IF_ERROR(CheckRecord(*replaced));
      if (replaced->record.kind() != format::RecordKind::kDelete && HasBlock(*replaced)) {
        StoreRelease(replaced->segment->died(replaced->record.slot()), record->header.sequence);
      }
    }
    offset += record->header.length;
  }
  return Status::Ok();
}

// R4. Whoever takes the lock from a dead owner comes here first. Of the frame that `last_frame` names everything but
// `applied` was stored before `last_frame`, so only `applied` can be missing: to store the rest again would lead
// readers and a growing index, for a moment, from a newer record of an id to an older one of the same frame. What lies
// between it and `tail`, one frame at most, is applied.
Status Store::Repair() {
  const Position tail(LoadAcquire(boot_->tail));
  if (tail.none()) return Status::Ok();
  Position at(tail.segment(), format::kHeaderBytes);
  const Position last(LoadAcquire(boot_->last_frame));
  if (!last.none()) {
    Result<Segment*> segment = GetSegment(last.segment());
    if (!segment.ok()) return segment.status();
    const auto header = ReadFrame(**segment, salt_, last.offset(), false);
    if (!header) return Status::Corrupt(FileRole::kLog, Raw(last.segment()), last.offset());
    if (header->record_count > 0) StoreRelease(boot_->applied, header->first_sequence + header->record_count - 1);
    if (last.segment() == tail.segment()) at = Position(last.segment(), last.offset() + FrameBytes(*header));
  }
  THERMOCLINE_RETURN_IF_ERROR(RepairUpTo(at, tail.offset()));
  // Counted, not incremented: the dead owner may have filled cells that it had not counted yet.
  StoreRelaxed(boot_->index_used, Table().CountUsed());
  WakeFollowers();
  return Status::Ok();
}

// Applies the frames from `at` to `end`.
Status Store::RepairUpTo(Position at, uint64_t end) {
  Result<Segment*> found = GetSegment(at.segment());
  if (!found.ok()) return found.status();
  Segment& segment = **found;
  for (uint64_t offset = at.offset(); offset < end;) {
    const auto header = ReadFrame(segment, salt_, offset, true);
    if (!header) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
    const Position position(segment.number(), offset);
    THERMOCLINE_RETURN_IF_ERROR(ApplyFrame(segment, position, *header));
    if (IsPlanted(Fault::kRepairIncrements)) {
      StoreRelaxed(boot_->size, LoadRelaxed(boot_->size) + header->record_count);
    } else if (header->record_count > 0) {
      StoreRelaxed(boot_->size, header->memories_after);
    }
    StoreRelaxed(boot_->last_frame_crc, uint64_t{header->header_crc});
    StoreRelease(boot_->last_frame, position.raw());
    if (header->record_count > 0) {
      StoreRelease(boot_->applied, header->first_sequence + header->record_count - 1);
    }
    offset += FrameBytes(*header);
  }
  return Status::Ok();
}

}  // namespace thermocline::store
