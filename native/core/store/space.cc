// Room to write into: claims, rotation, new segments, backing by the disk, and the helper thread that makes all of it
// ahead of need; in one file, because who asks for room and who makes it have to reckon alike. What is made here is
// made outside the write lock (R9, R17).

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/limits.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"
#include "core/store/turn.h"

namespace thermocline::store {
namespace {

// How much is backed beyond what is used. Little in the log, which every flush syncs, because pages made ahead are
// dirty; more in the blocks. A writer that meets the end backs the first figure, the helper keeps the second.
constexpr uint64_t kLogStepBytes = 64 * 1024;
constexpr uint64_t kLogAheadBytes = 256 * 1024;
// The log of small frames is made of small folios, because each flush writes whole ones; of large ones faster.
constexpr uint64_t kSmallFoliosBytes = 16 * 1024;
// Writers of large frames need more, or they wait for the disk at every frame.
constexpr uint64_t kLogAheadFrames = 4;
constexpr uint64_t kLogAheadPartOfUnsynced = 2;
constexpr uint64_t kLogAheadBytesMax = 4 * 1024 * 1024;
constexpr uint64_t kBlocksStepBytes = 64 * 1024;
// Two writers use up a megabyte in a millisecond; where they keep every core busy the helper waits for its turn.
constexpr uint64_t kBlocksAheadBytes = 4 * 1024 * 1024;
constexpr uint64_t kBlocksAheadBytesMax = 16 * 1024 * 1024;
// The helper lets go of the space lock after each of these, so that a writer waits a fraction of a millisecond.
constexpr uint64_t kHelperStepBytes = 256 * 1024;
// Of a segment of so many slots the next is made when a quarter is claimed: its syncs take as long as thousands of
// puts.
constexpr uint32_t kEarlySegmentSlots = 4096;

// Far above the slots of any segment, far below where adding to the slot would change the segment.
constexpr uint32_t kClaimSlotMax = 1u << 30;

// The helper gives up rather than hold back a close.
constexpr uint64_t kHelperTimeoutMicroseconds = 1000000;

// How often the helper looks whether the list changed, so that what left it goes within 100 ms (R15).
constexpr auto kFollowEvery = std::chrono::milliseconds(60);

uint64_t MakeReady(SegmentNumber segment, uint64_t value) { return (uint64_t{Raw(segment)} << 32) | value; }

// How long a writer waits for the lock before it looks whether the helper made meanwhile what it waits for.
constexpr uint64_t kSpaceSliceMicroseconds = 500;

/// In proportion to what is claimed, so that a small store stays small. Who asks for more does so at half of it: by one
/// figure, or every put asks the helper for one more slot, and each of those is a change that the next sync commits.
uint64_t SlotsAhead(uint64_t claimed, uint64_t stride, uint64_t log_ahead) {
  const uint64_t bytes = std::clamp(4 * log_ahead, kBlocksAheadBytes, kBlocksAheadBytesMax);
  return std::min(bytes / stride, std::max<uint64_t>(claimed / 2, 16));
}

/// Claimed slots above which the next segment is made.
constexpr uint64_t NextSegmentDueAt(uint32_t slots) { return slots >= kEarlySegmentSlots ? slots / 4 : slots / 2; }

}  // namespace

Status Store::LockGrowth(uint64_t timeout_us) {
  // From a dead owner: what it left is either published whole or not at all, except for files that no list names;
  // the next creation replaces those.
  if (growth_lock_->Acquire(timeout_us) == SharedLock::Outcome::kBusy) return Status::Error(ErrorCode::kBusy);
  return ReleaseIfLost(*growth_lock_);
}

Status Store::LockSpace(uint64_t timeout_us) {
  // From a dead owner: the words of what is backed are published last, so what it left is backed again.
  if (space_lock_->Acquire(timeout_us) == SharedLock::Outcome::kBusy) return Status::Error(ErrorCode::kBusy);
  return ReleaseIfLost(*space_lock_);
}

/// Waits for the lock or for `ready`; false: the latter, the lock is not held. The helper gives it back after each step
/// but takes it again before one who slept has woken, who would sit out all its steps though the first was enough.
template <typename Ready>
Result<bool> Store::LockSpaceUnless(uint64_t timeout_us, Ready ready) {
  const uint64_t begin = io::NowMonotonicMicroseconds();
  for (;;) {
    if (ready()) return false;
    const uint64_t left = timeout_us - std::min(timeout_us, io::NowMonotonicMicroseconds() - begin);
    const Status locked = LockSpace(std::min(left, kSpaceSliceMicroseconds));
    if (locked.ok()) return true;
    if (locked.code() != ErrorCode::kBusy || left == 0) return locked;
  }
}

/// After a lock was taken: on a page of this process's own its word keeps nobody out.
Status Store::ReleaseIfLost(SharedLock& lock) const {
  const Status files = CheckFiles();
  if (!files.ok()) lock.Release();
  return files;
}

Result<Store::ClaimedSlots> Store::Claim(uint32_t count, uint64_t log_bytes_min, Filling filling, uint64_t timeout_us) {
  for (;;) {
    // A writer that cannot get a new segment (a full disk) and tries for ever must not carry into the segment's half.
    if (const uint64_t seen = LoadRelaxed(boot_->claim); ClaimSlot(seen) > kClaimSlotMax) {
      THERMOCLINE_RETURN_IF_ERROR(Rotate(ClaimSegment(seen), count, log_bytes_min, timeout_us));
      continue;
    }
    const uint64_t claim = ClaimSlots(boot_->claim, count);
    const auto number = static_cast<SegmentNumber>(ClaimSegment(claim));
    const uint32_t first = ClaimSlot(claim);
    Result<Segment*> segment = GetSegment(number);
    if (!segment.ok() && IsGone(segment.status())) continue;  // closed and rewritten since the claim
    if (!segment.ok()) return segment.status();
    ClaimedSlots claimed{*segment, first};
    if (uint64_t{first} + count > (*segment)->slots()) {
      claimed.segment = nullptr;
      THERMOCLINE_RETURN_IF_ERROR(
          Rotate(Raw(number), count, log_bytes_min, timeout_us, HasTurn() ? &claimed : nullptr));
      if (claimed.segment == nullptr) continue;
    }
    Result<bool> backed = BackClaimed(claimed, count, filling, timeout_us);
    if (!backed.ok()) return backed.status();
    if (*backed) return claimed;
  }
}

/// False when the segment was closed meanwhile: the slots may not be backed and could not be used anyway.
Result<bool> Store::BackClaimed(const ClaimedSlots& claimed, uint32_t count, Filling filling, uint64_t timeout_us) {
  Segment& segment = *claimed.segment;
  const SegmentNumber number = segment.number();
  const uint64_t end = uint64_t{claimed.first} + count;
  const uint64_t ready = ReadyOf(LoadAcquire(boot_->slots_ready[Raw(number) % format::kSpaceWords]), Raw(number));
  const bool by_file = filling == Filling::kByFile;
  if (filling_.load(std::memory_order_relaxed) != filling) filling_.store(filling, std::memory_order_relaxed);
  if (end > ready) {
    THERMOCLINE_RETURN_IF_ERROR(by_file ? ReserveRows(segment, claimed.first, static_cast<uint32_t>(end), timeout_us)
                                        : EnsureSlots(segment, static_cast<uint32_t>(end), timeout_us));
    if (ClaimSegment(LoadAcquire(boot_->claim)) != Raw(number)) return false;
  }
  const uint64_t ahead = SlotsAhead(end, segment.layout().embedding_stride, LogAhead());
  const bool blocks_due = !by_file && ready < segment.slots() && end + ahead / 2 > ready;
  const bool segment_due =
      end > NextSegmentDueAt(segment.slots()) && newest_listed_.load(std::memory_order_relaxed) == Raw(number);
  if (blocks_due || segment_due) WakeHelper();
  return true;
}

Status Store::EnsureSlots(Segment& segment, uint32_t slots, uint64_t timeout_us) {
  const uint64_t& word = boot_->slots_ready[Raw(segment.number()) % format::kSpaceWords];
  const Result<bool> locked =
      LockSpaceUnless(timeout_us, [&] { return ReadyOf(LoadAcquire(word), Raw(segment.number())) >= slots; });
  if (!locked.ok()) return locked.status();
  if (*locked) {
    const LockGuard guard(*space_lock_);
    THERMOCLINE_RETURN_IF_ERROR(BackSlotsUpTo(segment, slots, false));
  }
  return LeaveIfOvertaken(segment, boot_->slots_ready, slots, 0, timeout_us);
}

/// For a writer of many rows, who puts them into the file by one write: that backs them itself, so zeros before would
/// be written twice. Slots below, claimed by others who have not asked for them yet, are backed as usual.
Status Store::ReserveRows(Segment& segment, uint32_t first, uint32_t end, uint64_t timeout_us) {
  {
    THERMOCLINE_RETURN_IF_ERROR(LockSpace(timeout_us));
    const LockGuard guard(*space_lock_);
    THERMOCLINE_RETURN_IF_ERROR(segment.CoverAllSlots());
    uint64_t& word = boot_->slots_ready[Raw(segment.number()) % format::kSpaceWords];
    if (LoadAcquire(word) >> 32 <= Raw(segment.number())) {
      const uint64_t ready = ReadyOf(LoadAcquire(word), Raw(segment.number()));
      if (ready == 0) THERMOCLINE_RETURN_IF_ERROR(segment.BackColumns());
      if (ready < first) {
        THERMOCLINE_RETURN_IF_ERROR(segment.BackSlots(static_cast<uint32_t>(ready), first));
      }
      if (ready < end) StoreRelease(word, MakeReady(segment.number(), end));
    }
  }
  return LeaveIfOvertaken(segment, boot_->slots_ready, end, 0, timeout_us);
}

Status Store::EnsureLog(Segment& segment, uint64_t bytes, uint64_t timeout_us) {
  const uint64_t& word = boot_->log_ready[Raw(segment.number()) % format::kSpaceWords];
  const Result<bool> locked =
      LockSpaceUnless(timeout_us, [&] { return ReadyOf(LoadAcquire(word), Raw(segment.number())) * 8 >= bytes; });
  if (!locked.ok()) return locked.status();
  if (*locked) {
    const LockGuard guard(*space_lock_);
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

/// Space lock held. Never beyond the segment; `ahead`: a large step.
Status Store::BackSlotsUpTo(Segment& segment, uint32_t slots, bool ahead) {
  uint64_t& word = boot_->slots_ready[Raw(segment.number()) % format::kSpaceWords];
  // A younger segment took the word over: this one is closed, and what is backed of it is no longer known. Writing
  // zeros there would wipe committed blocks.
  if (LoadAcquire(word) >> 32 > Raw(segment.number())) return Status::Ok();
  const auto from = static_cast<uint32_t>(ReadyOf(LoadAcquire(word), Raw(segment.number())));
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
  const uint64_t from = std::max(ReadyOf(LoadAcquire(word), Raw(segment.number())) * 8, format::kHeaderBytes);
  if (bytes <= from) return Status::Ok();
  const uint64_t to =
      std::min(format::RoundUp(bytes + (ahead ? 0 : kLogStepBytes), kLogStepBytes), segment.log_capacity());
  const bool small = frame_bytes_.load(std::memory_order_relaxed) <= kSmallFoliosBytes;
  THERMOCLINE_RETURN_IF_ERROR(segment.BackLog(from, to, small ? kSmallFoliosBytes : io::kZeroChunkBytes));
  StoreRelease(word, MakeReady(segment.number(), to / 8));
  return Status::Ok();
}

/// Makes the claim word name a segment after `from_segment` that has room for what is asked. With `claimed` the slots
/// are claimed in the same step, so that nobody else takes them first; left as it is when somebody else rotated.
Status Store::Rotate(uint32_t from_segment, uint32_t slots_min, uint64_t log_bytes_min, uint64_t timeout_us,
                     ClaimedSlots* claimed) {
  Turn turn(*this);
  THERMOCLINE_RETURN_IF_ERROR(turn.Take(timeout_us));
  THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
  const LockGuard guard(*growth_lock_);
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
  {
    THERMOCLINE_RETURN_IF_ERROR(LockSpace(timeout_us));
    const LockGuard space_guard(*space_lock_);
    THERMOCLINE_RETURN_IF_ERROR((*segment)->CoverAllSlots());
    if (claimed != nullptr) THERMOCLINE_RETURN_IF_ERROR(BackSlotsUpTo(**segment, std::max(slots_min, 1u), false));
    THERMOCLINE_RETURN_IF_ERROR(BackLogUpTo(**segment, format::kHeaderBytes + log_bytes_min + 1, false));
  }
  // Whoever keeps the turn beyond this call has its frame still to come: the others leave room for it.
  if (!turn.taken()) StoreRelaxed(session_->turn_reserved, (uint64_t{next} << 32) | (log_bytes_min / 8));
  // Only growth owners change the segment in this word; writers only add to the slot.
  while (!CompareExchange(boot_->claim, claim, MakeClaim(next, claimed == nullptr ? 0 : slots_min))) {
  }
  if (claimed != nullptr) *claimed = {*segment, 0};
  WakeHelper();
  return Status::Ok();
}

/// Growth lock held. Creates, syncs and lists one more segment.
Result<uint32_t> Store::CreateNextSegment(uint32_t slots_min, uint64_t log_bytes_min) {
  Result<std::shared_ptr<const format::Meta>> list = NewestList();
  if (!list.ok()) return list.status();
  format::Meta meta = **list;
  FillLogEnds(meta, Position(LoadAcquire(boot_->tail)));
  const uint32_t usual = std::clamp(meta.segments.back().slots * 2, kSegmentSlotsMin, kSegmentSlotsMax);
  const uint32_t number = NextNumber(meta);
  THERMOCLINE_RETURN_IF_ERROR(AppendSegment(std::move(meta), std::max(usual, slots_min), log_bytes_min));
  return number;
}

/// Growth lock held. Creates one more segment and puts the list in place that has it last.
Status Store::AppendSegment(format::Meta meta, uint32_t slots, uint64_t log_bytes_min) {
  format::SegmentEntry entry{};
  entry.number = NextNumber(meta);
  if (entry.number > kSegmentNumberMax) return Status::Error(ErrorCode::kTooLarge);
  entry.slots = static_cast<uint32_t>(format::RoundUp(slots, 64));
  const uint64_t log_bytes =
      std::max(std::min(slots, kSegmentSlotsMax) * kLogBytesPerSlot, log_bytes_min + format::kHeaderBytes);
  entry.log_capacity = format::RoundUp(log_bytes, format::kSectionBytes);
  const auto number = static_cast<SegmentNumber>(entry.number);
  const bool sync = MustSyncList();
  THERMOCLINE_RETURN_IF_ERROR(Segment::CreateFiles(directory_, store_id_, number, entry.slots, dimensions_,
                                                   entry.log_capacity, sync, LearnCentre(meta)));
  meta.segments.push_back(entry);
  meta.next_segment = entry.number + 1;
  meta.list_generation += 1;
  return WriteMeta(std::move(meta), sync);
}

/// A number for a segment to write into. Compaction takes numbers in between, so the next one may share its place among
/// the words of what is backed with one that is being written to: then a later one.
uint32_t Store::NextNumber(const format::Meta& meta) const {
  const int open = meta.IndexOf(static_cast<SegmentNumber>(ClaimSegment(LoadAcquire(boot_->claim))));
  for (uint32_t number = meta.next_segment; number < meta.next_segment + format::kSpaceWords; ++number) {
    bool taken = false;
    for (size_t i = static_cast<size_t>(std::max(open, 0)); i < meta.segments.size(); ++i) {
      taken = taken || meta.segments[i].number % format::kSpaceWords == number % format::kSpaceWords;
    }
    if (!taken) return number;
  }
  return meta.next_segment;
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
    bool asked = false;
    {
      std::unique_lock<std::mutex> guard(helper_mutex_);
      helper_wake_.wait_for(guard, kFollowEvery, [this] { return helper_asked_ || helper_stop_; });
      if (helper_stop_) return;
      asked = std::exchange(helper_asked_, false);
    }
    if (asked) {
      const Pin pin;
      helper_pending_.store(false, std::memory_order_release);
      MakeSpaceAhead();
    } else {
      // Takes milliseconds once, in which nobody could be asked for space or to stop: not in the first moments of a
      // process, of which there may be no others.
      PreparePins();
    }
    CompactWhenDue();
    FollowList();
    TendCompanion();
  }
}

void Store::TendCompanion() {
  Companion* companion = nullptr;
  {
    const std::lock_guard<std::mutex> guard(companion_mutex_);
    companion = companion_.get();
  }
  if (companion != nullptr) companion->Tend(*this, helper_stop_);
}

void Store::StopHelper() {
  if (!helper_.joinable()) return;
  {
    const std::lock_guard<std::mutex> guard(helper_mutex_);
    helper_stop_ = true;
    helper_leaves_.store(true);
  }
  helper_wake_.notify_one();
  helper_.Join();
}

/// Backs blocks and log some way beyond what is used. In steps, because writers who come to the end wait for the lock.
Status Store::BackAhead(Segment& segment) {
  const SegmentNumber number = segment.number();
  const uint64_t place = Raw(number) % format::kSpaceWords;
  const uint64_t stride = segment.layout().embedding_stride;
  const uint64_t step_slots = std::max<uint64_t>(1, kHelperStepBytes / stride);
  for (bool more = true; more;) {
    THERMOCLINE_RETURN_IF_ERROR(LockSpace(kHelperTimeoutMicroseconds));
    const LockGuard guard(*space_lock_);
    const uint64_t claim = LoadAcquire(boot_->claim);
    const bool open = ClaimSegment(claim) == Raw(number);
    if (ClaimSegment(claim) > Raw(number)) return Status::Ok();  // closed
    more = false;
    if (filling_.load(std::memory_order_relaxed) == Filling::kByMapping) {
      const uint64_t claimed = open ? std::min<uint64_t>(ClaimSlot(claim), segment.slots()) : 0;
      const uint64_t wanted = std::min<uint64_t>(claimed + SlotsAhead(claimed, stride, LogAhead()), segment.slots());
      const uint64_t ready = ReadyOf(LoadAcquire(boot_->slots_ready[place]), Raw(number));
      const uint64_t to = std::min(wanted, ready + step_slots);
      THERMOCLINE_RETURN_IF_ERROR(BackSlotsUpTo(segment, static_cast<uint32_t>(to), true));
      more = to < wanted;
    }
    const Position tail(LoadAcquire(boot_->tail));
    const uint64_t used = tail.segment() == number ? tail.offset() : format::kHeaderBytes;
    const uint64_t wanted = std::min(used + LogAhead(used), segment.log_capacity());
    const uint64_t ready = ReadyOf(LoadAcquire(boot_->log_ready[place]), Raw(number)) * 8;
    const uint64_t to = std::min(wanted, std::max(ready, format::kHeaderBytes) + kHelperStepBytes);
    THERMOCLINE_RETURN_IF_ERROR(BackLogUpTo(segment, to, true));
    more = more || to < wanted;
  }
  return Status::Ok();
}

uint64_t Store::LogAhead(uint64_t used) const { return std::min(LogAhead(), used); }

uint64_t Store::LogAhead() const {
  // The next flush writes what is made ahead too, which does not matter where it has much to write anyway.
  const Position durable(LoadAcquire(boot_->watermark));  // before the tail, which is never below it
  const Position tail(LoadRelaxed(boot_->tail));
  const uint64_t unsynced = tail.offset() - (durable.segment() == tail.segment() ? durable.offset() : 0);
  const uint64_t frames = frame_bytes_.load(std::memory_order_relaxed) * kLogAheadFrames;
  return std::clamp(std::max(frames, unsynced / kLogAheadPartOfUnsynced), kLogAheadBytes, kLogAheadBytesMax);
}

// Failures are not reported here: the writer that meets the end of the space makes it itself and gets the error.
void Store::MakeSpaceAhead() {
  const auto number = static_cast<SegmentNumber>(ClaimSegment(LoadAcquire(boot_->claim)));
  Result<Segment*> segment = GetSegment(number);
  if (!segment.ok() || !BackAhead(**segment).ok()) return;
  if (NextSegmentIsDue(**segment) && !MakeNextSegment(number).ok()) return;
  if (LoadRelaxed(boot_->index_used) <= GrowAtCells(Table().cells())) return;
  if (!LockGrowth(kHelperTimeoutMicroseconds).ok()) return;
  const LockGuard guard(*growth_lock_);
  const uint64_t used = LoadRelaxed(boot_->index_used);
  if (used <= GrowAtCells(Table().cells())) return;
  const Status grown = GrowIndexLocked(used, kHelperTimeoutMicroseconds);
  static_cast<void>(grown);
}

bool Store::NextSegmentIsDue(const Segment& segment) const {
  const uint64_t claim = LoadAcquire(boot_->claim);
  if (ClaimSegment(claim) != Raw(segment.number())) return false;
  const Position tail(LoadAcquire(boot_->tail));
  return ClaimSlot(claim) > NextSegmentDueAt(segment.slots()) ||
         (tail.segment() == segment.number() && tail.offset() > segment.log_capacity() / 2);
}

/// The segment after `number`, and its first space.
Status Store::MakeNextSegment(SegmentNumber number) {
  uint32_t next = 0;
  {
    THERMOCLINE_RETURN_IF_ERROR(LockGrowth(kHelperTimeoutMicroseconds));
    const LockGuard guard(*growth_lock_);
    const Result<std::shared_ptr<const format::Meta>> list = CurrentList();
    if (!list.ok()) return list.status();
    if ((*list)->segments.back().number != Raw(number)) return Status::Ok();
    Result<uint32_t> created = CreateNextSegment(0, 0);
    if (!created.ok()) return created.status();
    next = *created;
  }
  Result<Segment*> segment = GetSegment(static_cast<SegmentNumber>(next));
  return segment.ok() ? BackAhead(**segment) : segment.status();
}

}  // namespace thermocline::store
