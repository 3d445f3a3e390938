// Writing: a batch becomes one frame. Steps as numbered in design section 4.2.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/format/image.h"
#include "core/store/claim.h"
#include "core/store/commit_plan.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"
#include "core/store/turn.h"

namespace thermocline::store {
namespace {

// From so many bytes on, one write into the file is cheaper than zeros made ahead and a copy over them.
constexpr uint64_t kByFileBytes = 64 * 1024;

// A writer that was closed out so often goes on with the turn, so that nobody closes its segment any more. One that
// needs much of a segment, once: each of its attempts costs a segment.
constexpr uint32_t kAttemptsBesideOthers = 4;
constexpr uint32_t kLargePartOfSegment = 4;

}  // namespace

Status Store::LockWrite(uint64_t timeout_us) {
  uint32_t dead_owner = 0;
  switch (write_lock_->Acquire(timeout_us, &dead_owner)) {
    case SharedLock::Outcome::kBusy:
      return Status::Error(ErrorCode::kBusy);
    case SharedLock::Outcome::kAcquiredFromDead: {
      // First what is before any commit of now: nobody commits between a list and the index that goes with it.
      Status repaired = FinishDeadRewriting();
      if (repaired.ok()) repaired = Repair();
      if (!repaired.ok()) {
        // A commit is half applied: nobody may write past it. What only this process lacks (descriptors, memory) the
        // next one may have; damage is everybody's.
        if (repaired.code() == ErrorCode::kCorrupt) StoreRelease(boot_->poison, uint64_t{1});
        write_lock_->GiveBack(dead_owner);
        return repaired;
      }
      break;
    }
    case SharedLock::Outcome::kAcquired:
      break;
  }
  // Also: a lock word on a page of this process's own keeps nobody out.
  const Status writable = CheckPoison();
  if (!writable.ok()) write_lock_->Release();
  return writable;
}

/// Log bytes of a segment that are backed by the disk.
uint64_t Store::ReadyLogBytes(SegmentNumber segment) const {
  const uint64_t word = LoadRelaxed(boot_->log_ready[Raw(segment) % format::kSpaceWords]);
  return word >> 32 == Raw(segment) ? (word & 0xFFFFFFFFu) * 8 : 0;
}

/// Whether little is left of what is backed behind the end of a frame.
bool Store::LogIsDue(const Segment& segment, uint64_t end) const {
  const uint64_t ready = ReadyLogBytes(segment.number());
  const uint64_t due = LogAhead(end) / 2;
  return ready - end < due && ready < segment.log_capacity();
}

Result<Sequence> Store::Commit(Batch& batch, uint64_t timeout_us) {
  const Pin pin;
  batch.applied = 0;
  if (batch.empty()) return sequence();
  if (batch.size() > kWriteOperationsMax) {
    return Status::Error(ErrorCode::kTooLarge).set_value(kWriteOperationsMax);
  }
  THERMOCLINE_RETURN_IF_ERROR(CheckPoison());  // before anything is made room for; again under the lock
  THERMOCLINE_RETURN_IF_ERROR(SessionWritable(timeout_us));
  // Each cell is a miss of its own: all are on their way before the first is waited for.
  for (const Operation& operation : batch.operations()) Table().Prefetch(operation.hash);
  for (const Operation& operation : batch.operations()) {
    THERMOCLINE_RETURN_IF_ERROR(CheckOperation(operation));
    // Warms what the look-up under the lock will touch, and maps the segments it needs, which R17 forbids there.
    Table().FindCell(operation.hash, operation.put.id, *this);
  }

  // Each attempt either commits or makes the room whose lack sent it back. What it needs of the log is known only under
  // the write lock, so an attempt with the turn may have to close a segment once more.
  Turn turn(*this);
  ClaimedSlots claimed_next{nullptr, 0};
  uint64_t log_bytes_min = 0;
  bool large = false;
  for (uint32_t attempt = 0;; ++attempt) {
    if (attempt >= (large ? 1 : kAttemptsBesideOthers)) THERMOCLINE_RETURN_IF_ERROR(turn.Take(timeout_us));
    ClaimedSlots claimed = std::exchange(claimed_next, {nullptr, 0});
    if (batch.slots() > 0) {
      const bool by_file = batch.rows() != nullptr && batch.slots() * dimensions_ * sizeof(float) >= kByFileBytes;
      const Filling filling = by_file ? Filling::kByFile : Filling::kByMapping;
      if (claimed.segment == nullptr) {
        Result<ClaimedSlots> result = Claim(batch.slots(), log_bytes_min, filling, timeout_us);
        if (!result.ok()) return result.status();
        claimed = *result;
      } else {
        const Result<bool> backed = BackClaimed(claimed, batch.slots(), filling, timeout_us);
        if (!backed.ok()) return backed.status();
        if (!*backed) continue;
      }
      large = batch.slots() > claimed.segment->slots() / kLargePartOfSegment;
      Status prepared = PrepareOperations(batch, claimed, by_file);
      if (by_file && prepared.ok()) {
        prepared = claimed.segment->WriteEmbeddings(claimed.first, batch.slots(), batch.rows());
      }
      FinishClaim(boot_->claim, batch.slots());
      THERMOCLINE_RETURN_IF_ERROR(prepared);
    }
    for (bool reclaim = false; !reclaim;) {
      uint64_t log_bytes = 0;
      bool log_is_full = false;
      uint64_t index_cells = 0;
      uint32_t open_segment = 0;
      {
        THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
        const WriteGuard guard(*write_lock_);
        open_segment = ClaimSegment(LoadAcquire(boot_->claim));
        // Closed in the meantime: frames go to the open segment only, or commit order and log order would part (R3).
        if (claimed.segment != nullptr && Raw(claimed.segment->number()) != open_segment) break;
        Plan plan;
        Segment* open = claimed.segment;
        if (open == nullptr) open = table_.Get(static_cast<SegmentNumber>(open_segment));
        if (open != nullptr) {
          plan.segment = open;
          THERMOCLINE_RETURN_IF_ERROR(PlanFrame(batch, plan));
          if (plan.records == 0) return sequence();
          const uint64_t end = plan.offset + plan.frame_bytes();
          const uint64_t used = LoadRelaxed(boot_->index_used);
          if (end + LogBytesReserved(open_segment) > open->log_capacity()) {
            log_is_full = true;
            log_bytes = plan.frame_bytes();
          } else if (end > ReadyLogBytes(open->number())) {
            log_bytes = end;
          } else if (plan.inserts > 0 && used + plan.inserts > UsableCells(Table().cells())) {
            index_cells = plan.inserts;
          } else {
            THERMOCLINE_RETURN_IF_ERROR(WriteFrame(batch, plan));
            ApplyPlanned(batch, plan);
            batch.applied = plan.records;
            WakeFollowers();
            frame_bytes_.store(end - plan.offset, std::memory_order_relaxed);
            if (LogIsDue(*open, end) || used > GrowAtCells(Table().cells())) WakeHelper();
            THERMOCLINE_RETURN_IF_ERROR(CheckFiles());  // whole, but nobody can say what of it will be found again
            return plan.first_sequence + plan.records - 1;
          }
        }
      }
      // Unlocked: make the room that was missing, then try again with the same slots if their segment is still open.
      Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(open_segment));
      if (!segment.ok() && IsGone(segment.status())) break;  // it was closed and rewritten meanwhile
      if (!segment.ok()) return segment.status();
      if (log_is_full) {
        log_bytes_min = std::max(log_bytes_min, log_bytes);
        const bool keeps_turn = turn.taken() && batch.slots() > 0;
        THERMOCLINE_RETURN_IF_ERROR(
            Rotate(open_segment, batch.slots(), log_bytes_min, timeout_us, keeps_turn ? &claimed_next : nullptr));
        reclaim = true;
      } else if (log_bytes > 0) {
        THERMOCLINE_RETURN_IF_ERROR(EnsureLog(**segment, log_bytes, timeout_us));
      } else if (index_cells > 0) {
        THERMOCLINE_RETURN_IF_ERROR(EnsureIndex(index_cells, timeout_us));
      }
    }
  }
}

/// Sizes are checked here too, not only by who converts them: a block of the wrong size would reach into the next one.
Status Store::CheckOperation(const Operation& operation) const {
  if (operation.patch.content.size() > kContentBytesMax) {
    return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(kContentBytesMax));
  }
  if (operation.patch.metadata.size() > kMetadataBytesMax) {
    return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(kMetadataBytesMax));
  }
  return CheckPut(operation.put, dimensions_);
}

// Step 3: no lock; other threads fill their blocks at the same time.
Status Store::PrepareOperations(Batch& batch, const ClaimedSlots& claimed, bool by_file) {
  uint32_t next = claimed.first;
  for (Operation& operation : batch.operations()) {
    if (operation.kind == format::RecordKind::kDelete) continue;
    operation.slot = static_cast<Slot>(next++);
    operation.copied_from = Position();
    if (operation.kind == format::RecordKind::kPut) {
      FillBlock(*claimed.segment, operation, !by_file);
      operation.embedding_crc = 0;
      if (!operation.put.embedding.empty()) {
        operation.embedding_crc = Crc32c(format::BlockSeed(salt_, claimed.segment->number(), operation.slot),
                                         operation.put.embedding.data(), operation.put.embedding.size_bytes());
      }
      continue;
    }
    // An update carries the embedding on. What is newest now most likely still is under the lock; there it is looked
    // at again. A slot of an absent memory leaks, as any unused claim does (R3).
    Result<std::optional<MemoryRef>> found = Find(operation.put.id);
    if (!found.ok()) return found.status();
    if (found->has_value()) THERMOCLINE_RETURN_IF_ERROR(CopyEmbedding(operation, *claimed.segment, **found, true));
  }
  return Status::Ok();
}

void Store::FillBlock(Segment& segment, const Operation& operation, bool with_embedding) const {
  const PutInput& put = operation.put;
  const Slot slot = operation.slot;
  if (with_embedding && !put.embedding.empty()) {
    std::memcpy(segment.embedding(slot), put.embedding.data(), put.embedding.size_bytes());
  }
  WriteSketch(segment, slot, put.embedding.empty() ? nullptr : put.embedding.data());
  // Atomic, because filters read columns of 64 slots at once, whoever is writing one of them.
  StoreRelaxed(segment.created_at(slot), std::bit_cast<uint64_t>(put.created_at));
  StoreRelaxed(segment.confidence(slot), std::bit_cast<uint64_t>(put.confidence));
  format::Statistics& statistics = segment.statistics(slot);
  StoreRelaxed(statistics.activation, put.activation);
  StoreRelaxed(statistics.last_access, put.last_access);
  StoreRelaxed(statistics.recall_count, put.recall_count);
}

Status Store::CopyEmbedding(Operation& operation, Segment& segment, const MemoryRef& from, bool check) {
  const Position position(from.segment->number(), from.log_offset);
  if (!HasBlock(from)) return Status::Corrupt(FileRole::kBlocks, Raw(from.segment->number()), from.log_offset);
  const Slot source = from.record.slot();
  operation.embedding_crc = 0;
  if (from.record.has(format::kHasEmbedding)) {
    const uint64_t size = uint64_t{dimensions_} * sizeof(float);
    std::memcpy(segment.embedding(operation.slot), from.segment->embedding(source), size);
    // A block that rotted on the disk must not get a fresh checksum with its copy.
    const uint32_t crc =
        Crc32c(format::BlockSeed(salt_, from.segment->number(), source), segment.embedding(operation.slot), size);
    if (check && crc != from.record.header.embedding_crc) {
      return Status::Corrupt(FileRole::kBlocks, Raw(from.segment->number()), from.segment->BlocksBytesFor(Raw(source)));
    }
    operation.embedding_crc =
        Crc32c(format::BlockSeed(salt_, segment.number(), operation.slot), segment.embedding(operation.slot), size);
  }
  const bool has_embedding = from.record.has(format::kHasEmbedding);
  WriteSketch(segment, operation.slot, has_embedding ? segment.embedding(operation.slot) : nullptr);
  operation.copied_from = position;
  return Status::Ok();
}

// Step 4: everything that can fail happens here, before the first byte of the frame is written (R12).
Status Store::PlanFrame(Batch& batch, Plan& plan) {
  const Position tail(LoadRelaxed(boot_->tail));
  plan.offset = tail.segment() == plan.segment->number() ? tail.offset() : format::kHeaderBytes;
  plan.first_sequence = LoadRelaxed(boot_->applied) + 1;
  if (batch.first_sequence != 0) {
    if (batch.first_sequence < plan.first_sequence) return Status::Error(ErrorCode::kArgumentRange);
    plan.first_sequence = batch.first_sequence;
  }
  plan.memories = LoadRelaxed(boot_->size);
  plan.record_bytes = 0;
  plan.image_bytes = 0;
  plan.records = 0;
  plan.images = 0;
  plan.inserts = 0;
  for (Operation& operation : batch.operations()) THERMOCLINE_RETURN_IF_ERROR(PlanOperation(batch, operation, plan));
  // Beyond this the flush that follows syncs the blocks files.
  if (!batch.with_images || plan.image_bytes > kImagesBytesMax) plan.images = 0;
  if (plan.images == 0) plan.image_bytes = 0;
  if (plan.frame_bytes() > kFrameBytesMax) {
    return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(kFrameBytesMax));
  }
  return Status::Ok();
}

Status Store::PlanOperation(Batch& batch, Operation& operation, Plan& plan) {
  const std::string_view id = operation.put.id;
  operation.effective = false;
  operation.previous = Position();
  operation.previous_slot = Slot::kNone;
  operation.previous_segment = nullptr;
  operation.cell = nullptr;
  operation.inserts = false;
  operation.dead_bytes = 0;

  // What this one replaces: the last earlier record of the id in this frame, else what the index names.
  const Operation* earlier = nullptr;
  operation.standing = operation.earlier;
  if (operation.standing >= 0) {
    const Operation& other = batch.operations()[static_cast<size_t>(operation.standing)];
    if (!other.effective) operation.standing = other.standing;
  }
  if (operation.standing >= 0) earlier = &batch.operations()[static_cast<size_t>(operation.standing)];
  bool present = false;
  Sequence present_sequence = 0;
  MemoryRef current;
  if (earlier != nullptr) {
    operation.previous = earlier->position;
    operation.previous_slot = earlier->kind == format::RecordKind::kDelete ? Slot::kNone : earlier->slot;
    operation.previous_segment = plan.segment;
    present = earlier->kind != format::RecordKind::kDelete;
    operation.dead_bytes = format::RecordBytes(earlier->parts);
    if (present) present_sequence = earlier->sequence;
  } else if (format::IndexCell* cell = Table().FindCell(operation.hash, id, *this)) {
    operation.cell = cell;
    operation.previous = Position(LoadRelaxed(cell->position));
    Result<MemoryRef> found = ReadAt(operation.previous);
    if (!found.ok()) return found.status();
    current = *found;
    present = current.record.kind() != format::RecordKind::kDelete;
    operation.previous_slot = current.record.slot();
    operation.previous_segment = current.segment;
    operation.dead_bytes = current.record.header.length;
    if (present) present_sequence = current.record.header.sequence;
    // A damaged record must not take another memory's block with it, decide a condition, or be carried on.
    if (present && !OwnsBlock(current)) {
      return Status::Corrupt(FileRole::kLog, Raw(current.segment->number()), current.log_offset);
    }
    const bool is_read = operation.kind != format::RecordKind::kPut || operation.if_sequence != kAnySequence;
    if (is_read || !present) THERMOCLINE_RETURN_IF_ERROR(CheckRecord(current));
  }
  if (operation.if_sequence != kAnySequence && static_cast<uint64_t>(operation.if_sequence) != present_sequence) {
    return Status::Error(ErrorCode::kConflict).set_value(static_cast<int64_t>(present_sequence));
  }
  if (operation.is_check) return Status::Ok();
  const bool copies_deletion = operation.kind == format::RecordKind::kDelete && batch.first_sequence != 0;
  if (operation.kind != format::RecordKind::kPut && !present && !copies_deletion) return Status::Ok();

  format::RecordParts& parts = operation.parts;
  parts = {};
  parts.kind = operation.kind;
  parts.id = id;
  if (operation.kind == format::RecordKind::kPut) {
    const PutInput& put = operation.put;
    parts.has_embedding = !put.embedding.empty();
    parts.has_content = put.has_content;
    parts.content = put.content;
    parts.metadata = put.metadata;
    parts.content_ascii = put.content_ascii;
    parts.metadata_ascii = put.metadata_ascii;
    parts.tlv = put.tlv;
    parts.created_at = put.created_at;
    parts.confidence = put.confidence;
  } else if (operation.kind == format::RecordKind::kUpdate) {
    if (earlier != nullptr) {
      parts = earlier->parts;
      parts.kind = operation.kind;
      const MemoryRef from{plan.segment, 0, {}};
      MemoryRef source = from;
      source.record.header.slot = Raw(earlier->slot);
      source.record.header.flags = parts.has_embedding ? format::kHasEmbedding : 0;
      source.record.header.embedding_crc = earlier->embedding_crc;
      THERMOCLINE_RETURN_IF_ERROR(CopyEmbedding(operation, *plan.segment, source, false));
    } else {
      parts.has_embedding = current.record.has(format::kHasEmbedding);
      parts.has_content = current.record.has(format::kHasContent);
      parts.content = current.record.content;
      parts.metadata = current.record.metadata;
      parts.content_ascii = current.record.has(format::kContentAscii);
      parts.metadata_ascii = current.record.has(format::kMetadataAscii);
      parts.created_at = current.record.header.created_at;
      parts.confidence = current.record.header.confidence;
      if (!(operation.copied_from == operation.previous)) {
        THERMOCLINE_RETURN_IF_ERROR(CopyEmbedding(operation, *plan.segment, current, true));
      }
    }
    if (operation.patch.set_content) {
      parts.has_content = operation.patch.has_content;
      parts.content = operation.patch.content;
      parts.content_ascii = operation.patch.content_ascii;
    }
    if (operation.patch.set_metadata) {
      parts.metadata = operation.patch.metadata;
      parts.metadata_ascii = operation.patch.metadata_ascii;
    }
    if (operation.patch.set_confidence) parts.confidence = operation.patch.confidence;
    Segment& segment = *plan.segment;
    StoreRelaxed(segment.created_at(operation.slot), std::bit_cast<uint64_t>(parts.created_at));
    StoreRelaxed(segment.confidence(operation.slot), std::bit_cast<uint64_t>(parts.confidence));
    const format::Statistics& from = operation.previous_segment->statistics(operation.previous_slot);
    format::Statistics& to = segment.statistics(operation.slot);
    StoreRelaxed(to.activation, LoadRelaxed(from.activation));
    StoreRelaxed(to.last_access, LoadRelaxed(from.last_access));
    if (!IsPlanted(Fault::kStatisticsLost)) StoreRelaxed(to.recall_count, LoadRelaxed(from.recall_count));
  }
  operation.effective = true;
  operation.sequence = plan.first_sequence + plan.records;
  operation.inserts = earlier == nullptr && operation.cell == nullptr;
  operation.position = Position(plan.segment->number(), plan.offset + sizeof(format::FrameHeader) + plan.record_bytes);
  plan.record_bytes += format::RecordBytes(parts);
  plan.records += 1;
  plan.inserts += operation.inserts ? 1 : 0;
  if (operation.kind == format::RecordKind::kDelete) {
    plan.memories -= present ? 1 : 0;
    return Status::Ok();
  }
  plan.image_bytes += format::ImageBytes(parts.has_embedding ? plan.segment->layout().embedding_stride : 0);
  plan.images += 1;
  if (!present) plan.memories += 1;
  return Status::Ok();
}

}  // namespace thermocline::store
