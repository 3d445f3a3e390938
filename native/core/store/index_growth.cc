// Index generations (R16): a larger table is filled beside the present one while writers go on, follows the log, and is
// published by one store.

#include <algorithm>

#include "core/base/limits.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// A new index generation follows the writers outside the lock until so few frames are left, or so many times.
constexpr int kCatchUpRounds = 8;
constexpr size_t kCatchUpFrames = 8;

}  // namespace

Status Store::EnsureIndex(uint64_t more, uint64_t timeout_us) {
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
  const LockGuard guard(*growth_lock_);
  const uint64_t wanted = LoadRelaxed(boot_->index_used) + more;
  if (wanted <= UsableCells(Table().cells())) return Status::Ok();
  return GrowIndexLocked(wanted, timeout_us);
}

Status Store::GrowIndex(uint64_t entries_min) {
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(UINT64_MAX / 2));
  const LockGuard guard(*growth_lock_);
  return GrowIndexLocked(entries_min, UINT64_MAX / 2);
}

/// Size and place of the generation after `old`. Tombstones are left behind, so a store whose ids come and go does not
/// grow for ever: what counts is what lives, and what is to come. Some room is left, or the next one would be due at
/// once. In front of the old one when there is room: a reader that is two generations late and finds its id among the
/// new cells found a record of it that is at least as new as the one it looked for, and one that finds nothing looks at
/// the word again, as after any miss.
IndexWord Store::NextGeneration(IndexWord old, uint64_t entries_min) const {
  const IndexTable table = TableOf(old);
  uint64_t live = 0;
  for (uint64_t at = 0; at < table.cells(); ++at) live += LoadRelaxed(table.cell(at).position) > format::kTombstone;
  const uint64_t used = LoadRelaxed(boot_->index_used);
  const uint64_t more = entries_min > used ? entries_min - used : 0;
  const uint32_t log2 = CellsLog2For(live + live / 8 + more);
  const uint64_t bytes = IndexWord::Make(0, log2, 0).bytes();
  const bool fits_before = format::kIndexOffset + bytes <= old.offset();
  const uint64_t offset =
      fits_before ? format::kIndexOffset : format::RoundUp(old.offset() + old.bytes(), format::kSectionBytes);
  return IndexWord::Make(offset, log2, old.generation() + 1);
}

/// Growth lock held: nobody else makes a generation. Fills the new one beside the old, catches up from the log, the
/// last stretch under the write lock, publishes by one store.
Status Store::GrowIndexLocked(uint64_t entries_min, uint64_t timeout_us) {
  // The lock may come from a compaction that died with the index half swung. What was copied of that index before its
  // cells are led to the copies would lead into segments that are gone; from here on nobody can leave one like it.
  const Result<std::shared_ptr<const format::Meta>> list = NewestList();
  if (!list.ok()) return list.status();
  const IndexWord old{LoadAcquire(boot_->index)};
  const IndexWord fresh = NextGeneration(old, entries_min);
  if (fresh.offset() + fresh.bytes() > cache_map_.length()) return Status::Error(ErrorCode::kTooLarge);
  // What an interrupted growth, or a generation before the last one, left here is given back first, so that the cells
  // are empty.
  Result<uint64_t> size = cache_file_.Size();
  if (!size.ok()) return size.status();
  // Cut short by somebody: made longer again, it would read as an index that holds nothing.
  if (*size < old.offset() + old.bytes()) return Status::Corrupt(FileRole::kCache, 0, *size);
  const uint64_t end = fresh.offset() < old.offset() ? fresh.offset() + fresh.bytes() : *size;
  if (end > fresh.offset()) THERMOCLINE_RETURN_IF_ERROR(cache_file_.PunchHole(fresh.offset(), end - fresh.offset()));
  THERMOCLINE_RETURN_IF_ERROR(cache_file_.Allocate(fresh.offset(), fresh.bytes()));
  cache_map_.Populate(fresh.offset(), fresh.bytes());
  const IndexTable from = TableOf(old);
  const IndexTable to = TableOf(fresh);

  // A frame that is applied while the cells are copied may be missed by the copy, so all frames after this one are
  // applied to the new table as well, in order. Read before the copy begins.
  Position caught_up(LoadAcquire(boot_->last_frame));
  uint64_t used = 0;  // counted on the way: a scan of all cells does not belong under the write lock
  for (uint64_t at = 0; at < from.cells(); ++at) {
    const uint64_t position = LoadAcquire(from.cell(at).position);
    if (position == 0 || position == format::kTombstone) continue;
    const uint64_t hash = LoadRelaxed(from.cell(at).hash);
    if (used >= UsableCells(to.cells())) return Status::Ok();  // as below
    IndexTable::Fill(*to.EmptyCell(hash), hash, Position(position));
    ++used;
  }
  size_t frames = SIZE_MAX;
  for (int round = 0; round < kCatchUpRounds && frames > kCatchUpFrames; ++round) {
    Result<size_t> result = CatchUpIndex(to, &caught_up, &used);
    if (!result.ok()) return result.status();
    frames = *result;
    // A generation that is smaller than the old one, and writers who used its room up: the old one stays.
    if (used >= UsableCells(to.cells())) return Status::Ok();
  }
  // Bounded: the lock's owner may be a process that was stopped.
  THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
  const Result<size_t> last_stretch = CatchUpIndex(to, &caught_up, &used);
  const Status done = last_stretch.ok() ? CheckFiles() : last_stretch.status();
  const bool has_room = used <= UsableCells(to.cells());
  if (done.ok() && has_room) {
    StoreRelaxed(boot_->index_used, used);
    StoreRelease(boot_->index, fresh.raw);  // pairs with the acquire in Table
  }
  write_lock_->Release();
  THERMOCLINE_RETURN_IF_ERROR(done);
  if (!has_room) return Status::Ok();
  // Readers of the old generation may still be in it: they see zeros, miss, look at the word again and start over.
  return cache_file_.PunchHole(old.offset(), old.bytes());
}

/// Assigns the records of the frames after `*caught_up` to an unpublished table. Walks back along the chain of frames,
/// which leads past orphans that a killed writer left at the end of a log, then applies forwards. Returns the frames.
Result<size_t> Store::CatchUpIndex(const IndexTable& to, Position* caught_up, uint64_t* used) {
  const Position last(LoadAcquire(boot_->last_frame));
  std::vector<Position> frames;
  for (Position at = last; !at.none() && !(at == *caught_up);) {
    Result<Segment*> segment = GetSegment(at.segment());
    if (!segment.ok()) return segment.status();
    const auto frame = ReadFrame(**segment, salt_, at.offset(), false);
    if (!frame) return Status::Corrupt(FileRole::kLog, Raw(at.segment()), at.offset());
    frames.push_back(at);
    at = Position(frame->previous_frame);
  }
  for (size_t i = frames.size(); i-- > 0;) {
    Segment& segment = *table_.Get(frames[i].segment());
    const auto frame = ReadFrame(segment, salt_, frames[i].offset(), true);
    if (!frame) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), frames[i].offset());
    uint64_t at = frames[i].offset() + sizeof *frame;
    for (uint32_t record_index = 0; record_index < frame->record_count; ++record_index) {
      const auto record = ReadRecord(segment, at);
      if (!record) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
      const uint64_t hash = SipHash13(hash_key_, record->id.data(), record->id.size());
      // Full: the caller sees by the count that it has room for no more.
      if (*used >= to.cells() - 1) return frames.size();
      *used += to.Assign(hash, record->id, Position(segment.number(), at), *this) ? 1 : 0;
      at += record->header.length;
    }
  }
  *caught_up = last;
  return frames.size();
}

}  // namespace thermocline::store
