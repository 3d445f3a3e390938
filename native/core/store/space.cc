// Room to write into: claims, rotation, new segments, backing by the disk, index generations, and the helper thread
// that makes all of it ahead of need. What is made here is made outside the write lock (R9, R16, R17).

#include <algorithm>

#include "core/base/limits.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// How much is backed beyond what is used. Little in the log, which every flush syncs, because pages made ahead are
// dirty; more in the blocks. A writer that meets the end backs the first figure, the helper keeps the second.
constexpr uint64_t kLogStepBytes = 64 * 1024;
constexpr uint64_t kLogAheadBytes = 256 * 1024;
constexpr uint64_t kBlocksStepBytes = 64 * 1024;
constexpr uint64_t kBlocksAheadBytes = 4 * 1024 * 1024;

// Far above the slots of any segment, far below where adding to the slot would change the segment.
constexpr uint32_t kClaimSlotMax = 1u << 30;

// A new index generation follows the writers outside the lock until so few frames are left, or so many times.
constexpr int kCatchUpRounds = 8;
constexpr size_t kCatchUpFrames = 8;

// The helper gives up rather than hold back a close.
constexpr uint64_t kHelperTimeoutMicroseconds = 1000000;

uint64_t ReadyOf(uint64_t word, SegmentNumber segment) { return word >> 32 == Raw(segment) ? word & 0xFFFFFFFFu : 0; }

uint64_t MakeReady(SegmentNumber segment, uint64_t value) { return (uint64_t{Raw(segment)} << 32) | value; }

/// Releases on every way out.
class GrowthGuard {
 public:
  explicit GrowthGuard(SharedLock& lock) : lock_(lock) {}
  ~GrowthGuard() { lock_.Release(); }
  GrowthGuard(const GrowthGuard&) = delete;
  GrowthGuard& operator=(const GrowthGuard&) = delete;

 private:
  SharedLock& lock_;
};

}  // namespace

Status Store::LockGrowth(uint64_t timeout_us) {
  // From a dead owner: what it left is either published whole or not at all, except for files that no list names;
  // the next creation replaces those.
  if (growth_lock_->Acquire(timeout_us) == SharedLock::Outcome::kBusy) return Status::Error(ErrorCode::kBusy);
  return Status::Ok();
}

Result<Store::ClaimedSlots> Store::Claim(uint32_t count, uint64_t timeout_us) {
  for (;;) {
    // A writer that cannot get a new segment (a full disk) and tries for ever must not carry into the segment's half.
    if (const uint64_t seen = LoadRelaxed(boot_->claim); ClaimSlot(seen) > kClaimSlotMax) {
      THERMOCLINE_RETURN_IF_ERROR(Rotate(ClaimSegment(seen), count, 0, timeout_us));
      continue;
    }
    const uint64_t claim = ClaimSlots(boot_->claim, count);
    const auto number = static_cast<SegmentNumber>(ClaimSegment(claim));
    const uint32_t first = ClaimSlot(claim);
    Result<Segment*> segment = GetSegment(number);
    if (!segment.ok()) return segment.status();
    const uint64_t end = uint64_t{first} + count;
    if (end > (*segment)->slots()) {
      THERMOCLINE_RETURN_IF_ERROR(Rotate(Raw(number), count, 0, timeout_us));
      continue;
    }
    const uint64_t ready = ReadyOf(LoadAcquire(boot_->slots_ready[Raw(number) % format::kSpaceWords]), number);
    if (end > ready) {
      THERMOCLINE_RETURN_IF_ERROR(EnsureSlots(**segment, static_cast<uint32_t>(end), timeout_us));
      // Closed while this thread slept: the slots may not be backed and could not be used anyway.
      if (ClaimSegment(LoadAcquire(boot_->claim)) != Raw(number)) continue;
    }
    const uint64_t ahead = kBlocksAheadBytes / 2 / (*segment)->layout().embedding_stride;
    const bool blocks_due = ready < (*segment)->slots() && end + ahead > ready;
    const bool segment_due =
        end > (*segment)->slots() / 2 && newest_listed_.load(std::memory_order_relaxed) == Raw(number);
    if (blocks_due || segment_due) WakeHelper();
    return ClaimedSlots{*segment, first};
  }
}

Status Store::EnsureSlots(Segment& segment, uint32_t slots, uint64_t timeout_us) {
  {
    THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
    const GrowthGuard guard(*growth_lock_);
    THERMOCLINE_RETURN_IF_ERROR(BackSlotsUpTo(segment, slots, false));
  }
  return LeaveIfOvertaken(segment, boot_->slots_ready, slots, 0, timeout_us);
}

Status Store::EnsureLog(Segment& segment, uint64_t bytes, uint64_t timeout_us) {
  {
    THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
    const GrowthGuard guard(*growth_lock_);
    THERMOCLINE_RETURN_IF_ERROR(BackLogUpTo(segment, bytes, false));
  }
  return LeaveIfOvertaken(segment, boot_->log_ready, 0, bytes, timeout_us);
}

/// A segment whose place in the words was taken by one made kSpaceWords later, after rotations that failed half way,
/// cannot be backed any further: if it is open still, writing goes on in another.
Status Store::LeaveIfOvertaken(const Segment& segment, const uint64_t* words, uint32_t slots, uint64_t log_bytes,
                               uint64_t timeout_us) {
  const uint32_t number = Raw(segment.number());
  if (LoadAcquire(words[number % format::kSpaceWords]) >> 32 <= number) return Status::Ok();
  return Rotate(number, slots, log_bytes, timeout_us);  // nothing, when it is closed already
}

/// Growth lock held. Never beyond the segment; `ahead`: a large step.
Status Store::BackSlotsUpTo(Segment& segment, uint32_t slots, bool ahead) {
  uint64_t& word = boot_->slots_ready[Raw(segment.number()) % format::kSpaceWords];
  // A younger segment took the word over: this one is closed, and what is backed of it is no longer known. Writing
  // zeros there would wipe committed blocks.
  if (LoadAcquire(word) >> 32 > Raw(segment.number())) return Status::Ok();
  const auto from = static_cast<uint32_t>(ReadyOf(LoadAcquire(word), segment.number()));
  if (slots <= from) return Status::Ok();
  const uint64_t stride = segment.layout().embedding_stride;
  const uint64_t step = ahead ? 0 : std::max<uint64_t>(1, kBlocksStepBytes / stride);
  const auto to = static_cast<uint32_t>(std::min<uint64_t>(slots + step, segment.slots()));
  THERMOCLINE_RETURN_IF_ERROR(segment.BackSlots(from, to));
  StoreRelease(word, MakeReady(segment.number(), to));  // published last (R9)
  return Status::Ok();
}

Status Store::BackLogUpTo(Segment& segment, uint64_t bytes, bool ahead) {
  uint64_t& word = boot_->log_ready[Raw(segment.number()) % format::kSpaceWords];
  if (LoadAcquire(word) >> 32 > Raw(segment.number())) return Status::Ok();  // as above
  const uint64_t from = std::max(ReadyOf(LoadAcquire(word), segment.number()) * 8, format::kHeaderBytes);
  if (bytes <= from) return Status::Ok();
  const uint64_t to =
      std::min(format::RoundUp(bytes + (ahead ? 0 : kLogStepBytes), kLogStepBytes), segment.log_capacity());
  THERMOCLINE_RETURN_IF_ERROR(segment.BackLog(from, to));
  StoreRelease(word, MakeReady(segment.number(), to / 8));
  return Status::Ok();
}

/// Makes the claim word name a segment after `from_segment` that has room for what is asked.
Status Store::Rotate(uint32_t from_segment, uint32_t slots_min, uint64_t log_bytes_min, uint64_t timeout_us) {
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
  const GrowthGuard guard(*growth_lock_);
  uint64_t claim = LoadAcquire(boot_->claim);
  if (ClaimSegment(claim) != from_segment) return Status::Ok();  // somebody else did
  Result<std::shared_ptr<const format::Meta>> list = NewestList();
  if (!list.ok()) return list.status();
  const int open = (*list)->IndexOf(static_cast<SegmentNumber>(from_segment));
  if (open < 0) return Status::Corrupt(FileRole::kMeta, from_segment, 0);
  uint32_t next = 0;
  for (size_t i = static_cast<size_t>(open) + 1; i < (*list)->segments.size() && next == 0; ++i) {
    const format::SegmentEntry& entry = (*list)->segments[i];
    if (entry.slots >= slots_min && entry.log_capacity >= log_bytes_min + format::kHeaderBytes) next = entry.number;
  }
  if (next == 0) {
    Result<uint32_t> created = CreateNextSegment(slots_min, log_bytes_min);
    if (!created.ok()) return created.status();
    next = *created;
  }
  Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(next));
  if (!segment.ok()) return segment.status();
  // The words of segments next and next - kSpaceWords share a place; the older one is closed long since.
  THERMOCLINE_RETURN_IF_ERROR(BackSlotsUpTo(**segment, std::max(slots_min, 1u), false));
  THERMOCLINE_RETURN_IF_ERROR(BackLogUpTo(**segment, format::kHeaderBytes + log_bytes_min + 1, false));
  // Only growth owners change the segment in this word; writers only add to the slot.
  while (!CompareExchange(boot_->claim, claim, MakeClaim(next, 0))) {
  }
  WakeHelper();
  return Status::Ok();
}

/// Growth lock held. Creates, syncs and lists one more segment.
Result<uint32_t> Store::CreateNextSegment(uint32_t slots_min, uint64_t log_bytes_min) {
  Result<std::shared_ptr<const format::Meta>> list = NewestList();
  if (!list.ok()) return list.status();
  format::Meta meta = **list;
  FillLogEnds(meta, Position(LoadAcquire(boot_->tail)));
  const uint32_t doubled = meta.segments.empty() ? kSegmentSlotsMin : meta.segments.back().slots * 2;
  const uint32_t usual = std::clamp(doubled, kSegmentSlotsMin, kSegmentSlotsMax);
  format::SegmentEntry entry{};
  entry.number = meta.next_segment;
  entry.slots = static_cast<uint32_t>(format::RoundUp(std::max(usual, slots_min), 64));
  entry.log_capacity =
      format::RoundUp(std::max(usual * kLogBytesPerSlot, log_bytes_min + format::kHeaderBytes), format::kSectionBytes);
  const auto number = static_cast<SegmentNumber>(entry.number);
  THERMOCLINE_RETURN_IF_ERROR(
      Segment::CreateFiles(directory_, store_id_, number, entry.slots, dimensions_, entry.log_capacity, Syncs()));
  meta.segments.push_back(entry);
  meta.next_segment += 1;
  meta.list_generation += 1;
  THERMOCLINE_RETURN_IF_ERROR(WriteMeta(std::move(meta), Syncs()));
  return entry.number;
}

// Index generations (R16) --------------------------------------------------------------------------------------------

Status Store::EnsureIndex(uint64_t more, uint64_t timeout_us) {
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
  const GrowthGuard guard(*growth_lock_);
  const uint64_t wanted = LoadRelaxed(boot_->index_used) + more;
  if (wanted <= UsableCells(Table().cells())) return Status::Ok();
  return GrowIndexLocked(wanted, timeout_us);
}

Status Store::GrowIndex(uint64_t entries_min) {
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(UINT64_MAX / 2));
  const GrowthGuard guard(*growth_lock_);
  return GrowIndexLocked(entries_min, UINT64_MAX / 2);
}

/// Growth lock held: nobody else makes a generation. Fills the new one beside the old, catches up from the log, the
/// last stretch under the write lock, publishes by one store.
Status Store::GrowIndexLocked(uint64_t entries_min, uint64_t timeout_us) {
  const IndexWord old{LoadAcquire(boot_->index)};
  const uint32_t log2 = std::max(CellsLog2For(entries_min), old.cells_log2() + 1);
  const IndexWord fresh =
      IndexWord::Make(format::RoundUp(old.offset() + old.bytes(), format::kSectionBytes), log2, old.generation() + 1);
  if (fresh.offset() + fresh.bytes() > cache_map_.length()) return Status::Error(ErrorCode::kTooLarge);
  // What an interrupted growth left here is given back first, so that the cells are empty.
  Result<uint64_t> size = cache_file_.Size();
  if (!size.ok()) return size.status();
  if (*size > fresh.offset())
    THERMOCLINE_RETURN_IF_ERROR(cache_file_.PunchHole(fresh.offset(), *size - fresh.offset()));
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
    IndexTable::Fill(*to.EmptyCell(hash), hash, Position(position));
    ++used;
  }
  size_t frames = SIZE_MAX;
  for (int round = 0; round < kCatchUpRounds && frames > kCatchUpFrames; ++round) {
    Result<size_t> result = CatchUpIndex(to, &caught_up, &used);
    if (!result.ok()) return result.status();
    frames = *result;
  }
  // Bounded: the lock's owner may be a process that was stopped.
  THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
  const Result<size_t> last_stretch = CatchUpIndex(to, &caught_up, &used);
  const Status done = last_stretch.ok() ? Status::Ok() : last_stretch.status();
  if (done.ok()) {
    StoreRelaxed(boot_->index_used, used);
    StoreRelease(boot_->index, fresh.raw);  // pairs with the acquire in Table
  }
  write_lock_->Release();
  THERMOCLINE_RETURN_IF_ERROR(done);
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
    const auto frame = ReadFrame(segment, salt_, frames[i].offset(), false);
    if (!frame) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), frames[i].offset());
    uint64_t at = frames[i].offset() + sizeof *frame;
    for (uint32_t record_index = 0; record_index < frame->record_count; ++record_index) {
      const auto record = ReadRecord(segment, at);
      if (!record) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), at);
      const uint64_t hash = SipHash13(hash_key_, record->id.data(), record->id.size());
      *used += to.Assign(hash, record->id, Position(segment.number(), at), *this) ? 1 : 0;
      at += record->header.length;
    }
  }
  *caught_up = last;
  return frames.size();
}

// Helper thread ------------------------------------------------------------------------------------------------------

void Store::WakeHelper() {
  if (helper_pending_.exchange(true, std::memory_order_acq_rel)) return;
  {
    const std::lock_guard<std::mutex> guard(helper_mutex_);
    helper_asked_ = true;
  }
  helper_wake_.notify_one();
}

void Store::RunHelper() {
  for (;;) {
    {
      std::unique_lock<std::mutex> guard(helper_mutex_);
      helper_wake_.wait(guard, [this] { return helper_asked_ || helper_stop_; });
      if (helper_stop_) return;
      helper_asked_ = false;
    }
    helper_pending_.store(false, std::memory_order_release);
    MakeSpaceAhead();
  }
}

void Store::StopHelper() {
  if (!helper_.joinable()) return;
  {
    const std::lock_guard<std::mutex> guard(helper_mutex_);
    helper_stop_ = true;
  }
  helper_wake_.notify_one();
  helper_.join();
}

// Failures are not reported here: the writer that meets the end of the space makes it itself and gets the error.
void Store::MakeSpaceAhead() {
  if (!LockGrowth(kHelperTimeoutMicroseconds).ok()) return;
  const GrowthGuard guard(*growth_lock_);
  const uint64_t claim = LoadAcquire(boot_->claim);
  const auto number = static_cast<SegmentNumber>(ClaimSegment(claim));
  Result<Segment*> found = GetSegment(number);
  if (!found.ok()) return;
  Segment& segment = **found;
  const uint64_t claimed = std::min<uint64_t>(ClaimSlot(claim), segment.slots());
  // In proportion to what is used, so that a small store stays small.
  const uint64_t stride = segment.layout().embedding_stride;
  const uint64_t slots_ahead = std::min(kBlocksAheadBytes / stride, std::max<uint64_t>(claimed / 2, 16));
  const Status slots_backed =
      BackSlotsUpTo(segment, static_cast<uint32_t>(std::min<uint64_t>(claimed + slots_ahead, segment.slots())), true);
  const Position tail(LoadAcquire(boot_->tail));
  Status log_backed = Status::Ok();
  if (tail.segment() == number) {
    const uint64_t ahead = std::min(kLogAheadBytes, tail.offset());
    log_backed = BackLogUpTo(segment, std::min(tail.offset() + ahead, segment.log_capacity()), true);
  }
  if (!slots_backed.ok() || !log_backed.ok()) return;
  const bool half_full =
      claimed > segment.slots() / 2 || (tail.segment() == number && tail.offset() > segment.log_capacity() / 2);
  const Result<std::shared_ptr<const format::Meta>> list = CurrentList();
  if (!list.ok()) return;
  if (half_full && (*list)->segments.back().number == Raw(number)) {
    Result<uint32_t> next = CreateNextSegment(0, 0);
    if (!next.ok()) return;
    if (Result<Segment*> mapped = GetSegment(static_cast<SegmentNumber>(*next)); mapped.ok()) {
      const uint64_t first = std::min<uint64_t>(kBlocksAheadBytes / stride, (*mapped)->slots());
      if (!BackSlotsUpTo(**mapped, static_cast<uint32_t>(first), true).ok()) return;
      if (!BackLogUpTo(**mapped, format::kHeaderBytes + kLogStepBytes, true).ok()) return;
    }
  }
  const uint64_t used = LoadRelaxed(boot_->index_used);
  if (used > GrowAtCells(Table().cells())) {
    if (!GrowIndexLocked(used, kHelperTimeoutMicroseconds).ok()) return;
  }
}

}  // namespace thermocline::store
