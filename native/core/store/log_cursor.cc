#include "core/store/log_cursor.h"

#include "core/store/log_reader.h"

namespace thermocline::store {

LogCursor::LogCursor(Store& store, Snapshot snapshot, Sequence since)
    : store_(&store), snapshot_(std::move(snapshot)), since_(since) {
  // The last begun segment whose first frame is at or below since + 1 is where the search starts.
  for (size_t i = 1; i < snapshot_.parts.size(); ++i) {
    // Looked at only when it is committed: a writer may be in the middle of the frame that comes next.
    if (!Reached(i, format::kHeaderBytes)) break;
    const auto first = ReadFrame(*snapshot_.parts[i].segment, store_->salt(), format::kHeaderBytes, false);
    if (!first || first->first_sequence == 0 || first->first_sequence > since + 1) break;
    part_ = i;
  }
}

/// Whether a frame at the place lies before the snapshot's tail.
bool LogCursor::Reached(size_t part, uint64_t offset) const {
  if (part > tail_part()) return false;
  return part < tail_part() || offset < snapshot_.tail.offset();
}

size_t LogCursor::tail_part() const {
  if (tail_part_ == SIZE_MAX) {
    tail_part_ = 0;
    for (size_t i = 0; i < snapshot_.parts.size(); ++i) {
      if (snapshot_.parts[i].segment->number() == snapshot_.tail.segment()) tail_part_ = i;
    }
  }
  return tail_part_;
}

Result<std::optional<LogCursor::Item>> LogCursor::Next() {
  if (snapshot_.tail.none()) return std::optional<Item>();
  for (;;) {
    if (records_left_ == 0) {
      Result<bool> more = NextFrame();
      if (!more.ok()) return more.status();
      if (!*more) return std::optional<Item>();
      continue;
    }
    Segment& segment = *snapshot_.parts[part_].segment;
    const auto record = ReadRecord(segment, record_at_);
    const Position position(segment.number(), record_at_);
    const uint64_t at = record_at_;
    if (!record || at + record->header.length > offset_) {
      records_left_ = 0;  // where the next one begins is not known: the next call goes on with the next frame
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
    }
    record_at_ += record->header.length;
    --records_left_;
    if (!CheckRecordAt(*record, store_->salt(), position)) {
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
    }
    if (record->header.sequence <= since_) continue;
    if (record->header.sequence > snapshot_.sequence) return std::optional<Item>();
    return std::optional<Item>(Item{MemoryRef{&segment, at, *record}});
  }
}

Result<std::optional<MemoryRef>> LogCursor::NextMemory(bool sure) {
  for (;;) {
    Result<std::optional<Item>> item = Next();
    if (!item.ok()) return item.status();
    if (!item->has_value()) return std::optional<MemoryRef>();
    const MemoryRef& memory = (*item)->memory;
    if (memory.record.kind() == format::RecordKind::kDelete) {
      last_deletion_ = memory;
      continue;
    }
    Segment& segment = *memory.segment;
    const Slot slot = memory.record.slot();
    if (!Store::OwnsBlock(memory) || LoadAcquire(segment.born(slot)) != memory.record.header.sequence) {
      return Status::Corrupt(FileRole::kBlocks, Raw(segment.number()), segment.BlocksBytesFor(Raw(slot)));
    }
    if (snapshot_.Holds(segment, slot)) return std::optional<MemoryRef>(memory);
    // A writer stores the index before the mark, so whoever saw the mark finds the newer record there.
    const Position here(segment.number(), memory.log_offset);
    const Pin pin;  // the index may lead to segments that the snapshot does not hold
    if (sure && store_->PositionInIndex(memory.record.id) == here) {
      return Status::Corrupt(FileRole::kBlocks, Raw(segment.number()), segment.layout().died_offset + 8 * Raw(slot));
    }
  }
}

// Frames after the snapshot's are never looked at, and neither are frames that no later frame vouches for: an orphan
// at the end of a closed log carries sequences that were given out again in the next segment.
Result<bool> LogCursor::NextFrame() {
  while (part_ < snapshot_.parts.size()) {
    Segment& segment = *snapshot_.parts[part_].segment;
    if (!Reached(part_, offset_) || offset_ >= EndOf(part_)) {
      ++part_;
      offset_ = format::kHeaderBytes;
      continue;
    }
    // Before the end every frame was committed, so one that cannot be read is damage, never an end.
    const auto frame = ReadFrame(segment, store_->salt(), offset_, false);
    if (!frame || (frame->record_count > 0 && frame->first_sequence <= last_sequence_)) {
      const uint64_t at = offset_;
      // Told once: where the next frame begins is not known, so the next call goes on with the next segment.
      ++part_;
      offset_ = format::kHeaderBytes;
      return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
    }
    const uint64_t at = offset_;
    offset_ += FrameBytes(*frame);
    if (frame->record_count == 0) continue;
    // Of a rewritten frame the least that it can be: its sequences have gaps.
    const Sequence last = frame->first_sequence + frame->record_count - 1;
    last_sequence_ = last;
    if (last <= since_ && (frame->flags & format::kFrameRewritten) == 0) continue;
    if (frame->first_sequence > snapshot_.sequence) return false;
    frame_at_ = at;
    record_at_ = at + sizeof *frame;
    records_left_ = frame->record_count;
    return true;
  }
  return false;
}

/// Where the log of a part ends: the tail, or its end in the list, as all rewritten segments have one, or what the
/// first frame of the next begun part names as before it.
uint64_t LogCursor::EndOf(size_t part) {
  if (part == tail_part()) return snapshot_.tail.offset();
  if (snapshot_.parts[part].log_end != 0) return snapshot_.parts[part].log_end;
  if (end_part_ == part) return end_;
  end_part_ = part;
  end_ = format::kHeaderBytes;
  for (size_t next = part + 1; next <= tail_part(); ++next) {
    const auto first = ReadFrame(*snapshot_.parts[next].segment, store_->salt(), format::kHeaderBytes, false);
    if (!first) continue;
    const Position previous(first->previous_frame);
    if (previous.segment() != snapshot_.parts[part].segment->number()) break;
    const auto last = ReadFrame(*snapshot_.parts[part].segment, store_->salt(), previous.offset(), false);
    if (last) end_ = previous.offset() + FrameBytes(*last);
    break;
  }
  return end_;
}

}  // namespace thermocline::store
