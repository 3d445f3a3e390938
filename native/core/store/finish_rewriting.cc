// What was left by an owner that died between the rename of a list and its publication, a compaction in (c) above all:
// finished by whoever takes the write lock over, meets the list under the growth lock, or opens the store first.
//
// Thread rule: write lock held, or alone.

#include <algorithm>

#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {

/// Write lock held, or alone. Somebody renamed this list in and died before it was published, perhaps in the middle of
/// swinging the index: what still leads into segments that the list replaced is led to their copies; what they have no
/// copy of are deletions that were dropped. `died` was copied before the rename.
Status Store::FinishRewriting(const format::Meta& list) {
  if (LoadAcquire(boot_->list_generation) >= list.list_generation) return Status::Ok();
  const Pin pin;
  const IndexTable table = Table();
  std::vector<format::IndexCell*> cells;
  std::vector<SegmentNumber> copies;
  for (uint64_t at = 0; at < table.cells() && !list.replaced.empty(); ++at) {
    const Position position(LoadRelaxed(table.cell(at).position));
    if (position.raw() <= format::kTombstone) continue;
    const SegmentNumber copy = list.ReplacedBy(position.segment());
    if (copy == SegmentNumber::kNone) continue;
    cells.push_back(&table.cell(at));
    if (std::find(copies.begin(), copies.end(), copy) == copies.end()) copies.push_back(copy);
  }
  for (const SegmentNumber copy : copies) {
    const int entry = list.IndexOf(copy);
    if (entry < 0) return Status::Corrupt(FileRole::kMeta, Raw(copy), 0);
    THERMOCLINE_RETURN_IF_ERROR(SwingToCopy(list, copy, list.segments[static_cast<size_t>(entry)].log_end));
  }
  for (format::IndexCell* cell : cells) {
    if (list.ReplacedBy(Position(LoadRelaxed(cell->position)).segment()) != SegmentNumber::kNone) {
      StoreRelease(cell->position, format::kTombstone);
    }
  }
  // Nor is it known that its owner came to sync the directory: the next flush does.
  StoreRelease(boot_->structure_unsynced, uint64_t{1});
  PublishList(list);
  return Status::Ok();
}

Status Store::SwingToCopy(const format::Meta& list, SegmentNumber copy, uint64_t end) {
  Result<Segment*> found = GetSegment(copy);
  if (!found.ok()) return found.status();
  Segment& segment = **found;
  const IndexTable table = Table();
  for (uint64_t at = format::kHeaderBytes; at < end;) {
    const auto frame = ReadFrame(segment, salt_, at, true);
    if (!frame) return Status::Corrupt(FileRole::kLog, Raw(copy), at);
    uint64_t record_at = at + sizeof *frame;
    at += FrameBytes(*frame);
    for (uint32_t i = 0; i < frame->record_count; ++i) {
      const auto record = ReadRecord(segment, record_at);
      if (!record) return Status::Corrupt(FileRole::kLog, Raw(copy), record_at);
      format::IndexCell* cell = table.FindCell(HashOf(record->id), record->id, *this);
      if (cell != nullptr && list.ReplacedBy(Position(LoadRelaxed(cell->position)).segment()) == copy) {
        StoreRelease(cell->position, Position(copy, record_at).raw());
      }
      record_at += record->header.length;
    }
  }
  return Status::Ok();
}

/// Write lock taken over from a dead owner.
Status Store::FinishDeadRewriting() {
  Result<std::shared_ptr<const format::Meta>> list = ReadMeta();
  return list.ok() ? FinishRewriting(**list) : list.status();
}

}  // namespace thermocline::store
