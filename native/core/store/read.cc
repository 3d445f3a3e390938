// Reading without any lock (design section 4.3).

#include <algorithm>

#include "core/base/planted.h"
#include "core/io/kernel_lock.h"
#include "core/store/claim.h"
#include "core/store/log_cursor.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// More rewrites than this during one look-up are not believed.
constexpr int kRestartsMax = 100;

}  // namespace

bool Store::Matches(Position position, std::string_view id) const {
  // const: an unmapped segment is mapped here, which no reader of this store can tell from the outside.
  Result<Segment*> segment = const_cast<Store*>(this)->GetSegment(position.segment());
  if (!segment.ok()) return true;
  const auto record = ReadRecord(**segment, position.offset());
  // Another id of the same hash is less likely than a damaged one.
  return !record || record->id == id || !CheckRecordAt(*record, salt_, position);
}

Result<MemoryRef> Store::ReadAt(Position position) {
  Result<Segment*> segment = GetSegment(position.segment());
  if (!segment.ok()) return segment.status();
  const auto record = ReadRecord(**segment, position.offset());
  if (!record) return Status::Corrupt(FileRole::kLog, Raw(position.segment()), position.offset());
  return MemoryRef{*segment, position.offset(), *record};
}

Status Store::CheckRecord(const MemoryRef& memory) const {
  const Position position(memory.segment->number(), memory.log_offset);
  if (CheckRecordAt(memory.record, salt_, position)) return Status::Ok();
  return Status::Corrupt(FileRole::kLog, Raw(position.segment()), position.offset());
}

/// The matcher of a look-up. It keeps the record that it compared last, which is nearly always the one that is found.
class Store::LookUp final : public IdMatcher {
 public:
  LookUp(Store& store, Fetch fetch) : store_(store), fetch_(fetch) {}

  bool Matches(Position position, std::string_view id) const override {
    last_ = Position();
    Result<Segment*> segment = store_.GetSegment(position.segment());
    if (!segment.ok()) return true;
    if (fetch_ != Fetch::kNothing) (*segment)->PrefetchLog(position.offset(), fetch_ == Fetch::kMemory);
    const auto record = ReadRecord(**segment, position.offset());
    if (!record) return true;
    if (record->id != id) return !CheckRecordAt(*record, store_.salt_, position);
    if (fetch_ != Fetch::kNothing) (*segment)->PrefetchBlock(record->slot(), fetch_ == Fetch::kMemory);
    memory_ = {*segment, position.offset(), *record};
    last_ = position;
    return true;
  }

  Fetch fetch() const { return fetch_; }
  Result<MemoryRef> ReadAt(Position position) const {
    return position == last_ ? Result<MemoryRef>(memory_) : store_.ReadAt(position);
  }

 private:
  Store& store_;
  Fetch fetch_;
  mutable Position last_;  // none: nothing is kept
  mutable MemoryRef memory_;
};

Result<std::optional<MemoryRef>> Store::Find(std::string_view id, Fetch fetch) {
  const uint64_t hash = HashOf(id);
  const LookUp look_up(*this, fetch);
  // A segment that left the list between the index and the look at it (rewriting): the index knows better by now (R15).
  for (int restarts = 0;; ++restarts) {
    Result<std::optional<MemoryRef>> found = FindOnce(hash, id, look_up);
    if (found.ok() || !IsGone(found.status()) || restarts == kRestartsMax) return found;
  }
}

Position Store::PositionInIndex(uint64_t hash, std::string_view id, const IdMatcher& matcher) const {
  for (;;) {
    const uint64_t word = LoadAcquire(boot_->index);
    const Position position = TableOf(IndexWord{word}).Find(hash, id, matcher);
    // A miss in a generation that was replaced meanwhile proves nothing: its cells may have been given back.
    if (!position.none() || LoadAcquire(boot_->index) == word) return position;
  }
}

Result<std::optional<MemoryRef>> Store::FindOnce(uint64_t hash, std::string_view id, const LookUp& look_up) {
  // Once, before the index: looked at anew for each record, a reader could stop at a record in the middle of a frame
  // that became visible meanwhile. Whatever was visible at this moment is in the index word loaded next, or newer.
  const Sequence applied = LoadAcquire(boot_->applied);
  Position position = PositionInIndex(hash, id, look_up);
  Sequence above = UINT64_MAX;
  SegmentNumber before = SegmentNumber::kNone;
  while (!position.none()) {
    Result<MemoryRef> memory = look_up.ReadAt(position);
    if (!memory.ok()) return memory.status();
    if (memory->record.header.sequence <= applied) {
      if (memory->record.id != id) return Status::Corrupt(FileRole::kLog, Raw(position.segment()), position.offset());
      if (memory->record.kind() == format::RecordKind::kDelete) {
        THERMOCLINE_RETURN_IF_ERROR(CheckRecord(*memory));  // one flipped bit must not delete a memory
        return std::optional<MemoryRef>();
      }
      if (look_up.fetch() == Fetch::kMemory) THERMOCLINE_RETURN_IF_ERROR(CheckRecord(*memory));
      // A record that was checked names its own slot. Others are vouched for by the slot, at the price of one more
      // page.
      if (look_up.fetch() == Fetch::kMemory ? !HasBlock(*memory) : !OwnsBlock(*memory)) {
        return Status::Corrupt(FileRole::kLog, Raw(position.segment()), position.offset());
      }
      return std::optional<MemoryRef>(*memory);
    }
    THERMOCLINE_RETURN_IF_ERROR(CheckRecord(*memory));  // nor may one lead back to an older version
    // Sequences fall along the way back, or a damaged file would lead round for ever.
    if (memory->record.header.sequence >= above) {
      return Status::Corrupt(FileRole::kLog, Raw(position.segment()), position.offset());
    }
    above = memory->record.header.sequence;
    before = position.segment();
    position = Position(memory->record.header.previous);
  }
  // A copy that rewriting made leads back to nothing. It was visible before it was made, so it is to whoever looks
  // again; what is not visible yet was no copy, and nothing came before it.
  if (above <= LoadAcquire(boot_->applied) && !IsPlanted(Fault::kNoSecondLook)) return Gone(before);
  return std::optional<MemoryRef>();
}

const format::Statistics* Store::StatisticsAt(const Moment& moment, SegmentNumber number, Slot slot) {
  if (!(Now() == moment)) return nullptr;
  Result<Segment*> segment = GetSegment(number);
  return segment.ok() && (*segment)->Covers(slot) ? &(*segment)->statistics(slot) : nullptr;
}

Result<bool> Store::Touch(std::string_view id, std::optional<double> activation, double now) {
  const Pin pin;
  Result<std::optional<MemoryRef>> found = Find(id);
  if (!found.ok()) return found.status();
  if (!found->has_value()) return false;
  format::Statistics& statistics = (*found)->segment->statistics((*found)->record.slot());
  FetchAdd(statistics.recall_count, uint64_t{1});
  StoreRelaxed(statistics.last_access, now);
  if (activation) StoreRelaxed(statistics.activation, *activation);
  return true;
}

Result<Snapshot> Store::TakeSnapshot() {
  const Pin pin;
  for (;;) {
    const uint64_t generation = LoadAcquire(boot_->list_generation);
    Result<std::shared_ptr<const format::Meta>> list = CurrentList();
    if (!list.ok()) return list.status();
    Snapshot snapshot;
    bool gone = false;
    for (const format::SegmentEntry& entry : (*list)->segments) {
      Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(entry.number));
      gone = !segment.ok() && IsGone(segment.status());
      if (gone) break;
      if (!segment.ok()) return segment.status();
      snapshot.parts.push_back({*segment, (*segment)->slots(), entry.log_end});
      snapshot.holds.push_back((*segment)->shared_from_this());
    }
    if (gone) continue;
    snapshot.sequence = LoadAcquire(boot_->applied);
    // After `applied`: every frame of the snapshot lies before this.
    snapshot.tail = Position(LoadAcquire(boot_->tail));
    const uint64_t claim = LoadAcquire(boot_->claim);
    // Changed: a segment may have been listed and written to in between. A list newer than the generation is right.
    if (LoadAcquire(boot_->list_generation) != generation) continue;
    bool begun = true;
    for (Snapshot::Part& part : snapshot.parts) {
      if (!begun) part.slots = 0;
      if (Raw(part.segment->number()) == ClaimSegment(claim)) {
        part.slots = std::min(part.slots, ClaimSlot(claim));
        // Slots that were claimed and never backed, on a full disk: not even their columns may be there. A younger
        // segment that took the word over says nothing.
        const uint64_t ready = LoadAcquire(boot_->slots_ready[ClaimSegment(claim) % format::kSpaceWords]);
        if (ready >> 32 <= ClaimSegment(claim) && ReadyOf(ready, ClaimSegment(claim)) == 0) part.slots = 0;
        begun = false;  // what is listed after the open segment was never claimed in
      }
    }
    return snapshot;
  }
}

Result<std::vector<LogRecord>> Store::Changes(Sequence since, size_t max) {
  const Pin pin;
  Result<Snapshot> snapshot = TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  if (since > snapshot->sequence || since < List()->changes_floor) {
    return Status::Error(ErrorCode::kChangesGone).set_value(static_cast<int64_t>(snapshot->sequence));
  }
  std::vector<LogRecord> records;
  LogCursor cursor(*this, *snapshot, since);
  while (records.size() < max) {
    Result<std::optional<LogCursor::Item>> item = cursor.Next();
    if (!item.ok()) return item.status();
    if (!item->has_value()) break;
    const LogCursor::Item& at = **item;
    records.push_back({at.memory.record.header.sequence, at.memory.record.kind(), std::string(at.memory.record.id),
                       Position(at.memory.segment->number(), at.memory.log_offset), at.memory.record.header.length});
  }
  return records;
}

Result<StoreStats> Store::Stats() {
  StoreStats stats;
  Result<Snapshot> snapshot = TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  stats.memories = size();
  stats.sequence = snapshot->sequence;
  stats.durable_sequence = LoadAcquire(boot_->watermark_sequence);
  stats.epoch = LoadAcquire(boot_->epoch);
  stats.segments = snapshot->parts.size();
  stats.batches = LoadRelaxed(boot_->batches);
  stats.bytes_dead = LoadRelaxed(boot_->dead_bytes);
  stats.open_ms = open_ms_;
  stats.recovered = recovered_;
  // By a read, because lines that nobody used are holes.
  std::vector<format::ParticipantLine> lines(format::kParticipantsMax + 1);
  THERMOCLINE_RETURN_IF_ERROR(lock_file_.ReadAt(
      format::kParticipantsOffset, {reinterpret_cast<char*>(lines.data()), lines.size() * sizeof lines[0]}));
  for (uint32_t number = 1; number <= format::kParticipantsMax; ++number) {
    if (number == self_.number) {
      ++stats.participants;
    } else if (lines[number].incarnation != 0) {
      Result<bool> locked = io::AnyByteLocked(lock_file_, format::kParticipantByte + number, 1);
      if (locked.ok() && *locked) ++stats.participants;
    }
  }
  uint64_t used = 0;
  for (const Snapshot::Part& part : snapshot->parts) {
    Result<uint64_t> log = part.segment->log_file().AllocatedBytes();
    Result<uint64_t> blocks = part.segment->blocks_file().AllocatedBytes();
    if (!log.ok()) return log.status();
    if (!blocks.ok()) return blocks.status();
    stats.bytes_log += *log;
    stats.bytes_blocks += *blocks;
    used += part.segment->layout().embedding_offset + uint64_t{part.slots} * part.segment->layout().embedding_stride;
    // A sealed log ends where the list says, or soon will; the open one at the tail; one that was made ahead holds
    // nothing.
    if (part.log_end != 0) {
      used += part.log_end;
    } else if (part.segment->number() == snapshot->tail.segment()) {
      used += snapshot->tail.offset();
    } else if (part.slots > 0) {
      used += *log;
    }
  }
  Result<uint64_t> cache = cache_file_.AllocatedBytes();
  if (!cache.ok()) return cache.status();
  stats.bytes_index = *cache;
  stats.bytes_total = stats.bytes_log + stats.bytes_blocks + stats.bytes_index;
  const uint64_t held = stats.bytes_log + stats.bytes_blocks;
  stats.bytes_reserved = held > used ? held - used : 0;
  return stats;
}

IndexInfo Store::Index() const {
  const IndexWord word{LoadAcquire(boot_->index)};
  return {word.cells(), LoadRelaxed(boot_->index_used), word.generation()};
}

}  // namespace thermocline::store
