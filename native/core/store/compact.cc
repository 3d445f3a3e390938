// Which segments are rewritten, and in which order. How: rewriting.h.
//
// Adjacent segments that are worth it become one run, as long as what lives of them fits into one usual segment: that
// bounds how long the write lock is held, and puts segments together that have become small. A segment is worth it when
// something in it is dead: a replaced record, or a deletion in the run that heads the list, or an image.
//
// One compaction at a time, in all processes: the compact lock, which comes after the gate and before all others.
// Thread rule: any thread.

#include <algorithm>
#include <bit>

#include "core/base/limits.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "core/store/commit_plan.h"
#include "core/store/file_names.h"
#include "core/store/log_reader.h"
#include "core/store/rewriting.h"
#include "core/store/turn.h"

namespace thermocline::store {
namespace {

// What one copy may hold.
constexpr uint64_t kCopyLogBytesMax = uint64_t{kSegmentSlotsMax} * kLogBytesPerSlot;
// Two segments that fill less than this of one become one.
constexpr double kSmall = 0.5;
// How long a wait for another compaction goes without a look at `cancel`.
constexpr uint64_t kWaitSliceMicroseconds = 20000;
// Index cells that are looked at to learn how large memories are.
constexpr uint64_t kLiveSamples = 1024;
// How long the helper waits for a lock.
constexpr uint64_t kHelperMicroseconds = 1000000;

/// What a segment holds.
struct Usage {
  uint64_t frames = 0;
  uint64_t slots = 0;       // of records that are the newest of their id
  uint64_t bytes = 0;       // their log bytes, deletions too
  uint64_t deletions = 0;   // of these
  uint64_t dead_bytes = 0;  // log and blocks of all other records, and images
  uint64_t all_bytes = 0;   // log and blocks

  /// Part of a usual segment that its copy fills.
  double fill() const {
    return std::max(static_cast<double>(slots) / kSegmentSlotsMax, static_cast<double>(bytes) / kCopyLogBytesMax);
  }
};

}  // namespace

class Store::Compaction {
 public:
  Compaction(Store& store, uint64_t timeout_us, const std::atomic<bool>& cancel, const CompactPolicy& policy)
      : store_(store), timeout_us_(timeout_us), cancel_(cancel), policy_(policy) {}

  Status Run(CompactResult* result);

 private:
  Status Wait() const;
  Result<format::Meta> SealedList(size_t* sealed);
  Usage Look(const Segment& segment, uint64_t end) const;
  bool IsDue(size_t index) const;
  SegmentRun NextRun(size_t from) const;
  Status Rewrite(const format::Meta& list, SegmentRun run);
  Status RewriteAll();
  Status DropTombstones();

  Store& store_;
  const uint64_t timeout_us_;
  const std::atomic<bool>& cancel_;
  const CompactPolicy policy_;
  CompactResult* result_ = nullptr;
  std::vector<Usage> usages_;  // of the sealed segments, in list order
};

Result<CompactResult> Store::Compact(uint64_t lock_timeout_us, const std::atomic<bool>& cancel,
                                     const CompactPolicy& policy) {
  THERMOCLINE_RETURN_IF_ERROR(CheckPoison());
  THERMOCLINE_RETURN_IF_ERROR(SessionWritable(lock_timeout_us));
  CompactResult result;
  THERMOCLINE_RETURN_IF_ERROR(Compaction(*this, lock_timeout_us, cancel, policy).Run(&result));
  return result;
}

Result<Sequence> Store::ChangesFloor() {
  Result<std::shared_ptr<const format::Meta>> list = CurrentList();
  if (!list.ok()) return list.status();
  return (*list)->changes_floor;
}

/// Takes the compact lock. A dead owner leaves nothing that matters here: files that no list names, or a list whose
/// publication is finished by whoever takes its other locks.
Status Store::Compaction::Wait() const {
  const uint64_t begin = io::NowMonotonicMicroseconds();
  const uint64_t timeout_us = policy_.seals_open_segment ? timeout_us_ : 0;  // the helper has other work
  for (;;) {
    const uint64_t waited = io::NowMonotonicMicroseconds() - begin;
    const uint64_t slice = waited >= timeout_us ? 0 : std::min(kWaitSliceMicroseconds, timeout_us - waited);
    if (store_.compact_lock_->Acquire(slice) != SharedLock::Outcome::kBusy) return Status::Ok();
    if (cancel_.load(std::memory_order_relaxed)) return Status::Error(ErrorCode::kAborted);
    if (slice == 0) return Status::Error(ErrorCode::kBusy);
  }
}

Status Store::Compaction::Run(CompactResult* result) {
  result_ = result;
  THERMOCLINE_RETURN_IF_ERROR(Wait());
  const LockGuard guard(*store_.compact_lock_);
  store_.RemoveLeftBehind(timeout_us_);
  Result<StoreStats> before = store_.Stats();
  if (!before.ok()) return before.status();
  result_->bytes_before = before->bytes_total;
  Status status = RewriteAll();
  if (status.ok()) status = DropTombstones();
  Result<StoreStats> after = store_.Stats();
  if (!after.ok()) return after.status();
  result_->bytes_after = after->bytes_total;
  return status;
}

/// The list with the ends of its first `sealed` segments, to which nobody writes any more.
Result<format::Meta> Store::Compaction::SealedList(size_t* sealed) {
  THERMOCLINE_RETURN_IF_ERROR(store_.LockGrowth(timeout_us_));
  Result<std::shared_ptr<const format::Meta>> list = store_.NewestList();
  store_.growth_lock_->Release();
  if (!list.ok()) return list.status();
  const Pin pin;
  format::Meta meta = **list;
  const Position tail(LoadAcquire(store_.boot_->tail));
  store_.FillLogEnds(meta, tail);
  *sealed = static_cast<size_t>(std::max(0, tail.none() ? 0 : meta.IndexOf(tail.segment())));
  for (size_t i = 0; i < *sealed; ++i) {
    if (meta.segments[i].log_end == 0) return Status::Corrupt(FileRole::kLog, meta.segments[i].number, 0);
  }
  return meta;
}

/// Records that cannot be read make a segment due: the rewriting then says what is damaged.
Usage Store::Compaction::Look(const Segment& segment, uint64_t end) const {
  Usage usage;
  for (uint64_t at = format::kHeaderBytes; at < end;) {
    const Pin pin;
    const auto frame = ReadFrame(segment, store_.salt_, at, false);
    if (!frame) {
      usage.dead_bytes += end - at;
      break;
    }
    uint64_t record_at = at + sizeof *frame;
    at += FrameBytes(*frame);
    usage.frames += 1;
    usage.dead_bytes += frame->body_bytes - frame->record_bytes;
    for (uint32_t i = 0; i < frame->record_count; ++i) {
      const auto record = ReadRecord(segment, record_at);
      if (!record) {
        usage.dead_bytes += at - record_at;
        break;
      }
      const bool deletion = record->kind() == format::RecordKind::kDelete;
      const uint64_t bytes = record->header.length + (deletion ? 0 : segment.layout().embedding_stride);
      usage.all_bytes += bytes;
      if (store_.PositionInIndex(record->id) == Position(segment.number(), record_at)) {
        usage.bytes += record->header.length;
        usage.slots += deletion ? 0 : 1;
        usage.deletions += deletion ? 1 : 0;
      } else {
        usage.dead_bytes += bytes;
      }
      record_at += record->header.length;
    }
  }
  return usage;
}

bool Store::Compaction::IsDue(size_t index) const {
  const Usage& usage = usages_[index];
  const uint64_t dead = usage.dead_bytes + (index == 0 ? usage.deletions : 0);
  return static_cast<double>(dead) > policy_.dead_share * static_cast<double>(usage.all_bytes);
}

/// The next run at or after `from`; none: count 0.
SegmentRun Store::Compaction::NextRun(size_t from) const {
  for (size_t first = from; first < usages_.size(); ++first) {
    double fill = usages_[first].fill();
    size_t due = IsDue(first) ? 1 : 0;
    size_t small = fill <= kSmall ? 1 : 0;
    uint64_t frames = usages_[first].frames;
    if (due + small == 0) continue;
    size_t end = first + 1;
    for (; end < usages_.size() && fill + usages_[end].fill() <= 1; ++end) {
      if (!IsDue(end) && usages_[end].fill() > kSmall) break;
      fill += usages_[end].fill();
      due += IsDue(end) ? 1 : 0;
      small += usages_[end].fill() <= kSmall ? 1 : 0;
      frames += usages_[end].frames;
    }
    if (frames > 0 && (due > 0 || (small > 1 && end - first > 1))) return {first, end - first};
  }
  return {};
}

Status Store::Compaction::Rewrite(const format::Meta& list, SegmentRun run) {
  Rewriting rewriting(store_, timeout_us_, cancel_, policy_.between);
  const Status status = rewriting.Run(list, run);
  result_->longest_hold_us = std::max(result_->longest_hold_us, rewriting.longest_hold_us());
  if (!status.ok()) return status;
  result_->moved += rewriting.moved();
  result_->segments += run.count;
  return status;
}

Status Store::Compaction::RewriteAll() {
  size_t sealed = 0;
  Result<format::Meta> list = SealedList(&sealed);
  if (!list.ok()) return list.status();
  const Position tail(LoadAcquire(store_.boot_->tail));
  if (tail.none()) return Status::Ok();
  if (policy_.seals_open_segment) {
    Result<std::shared_ptr<Segment>> open = store_.ShareSegment(tail.segment());
    if (!open.ok() && !IsGone(open.status())) return open.status();
    // Sealed meanwhile by others: it is among the sealed ones of the next look.
    if (open.ok()) {
      const Usage usage = Look(**open, tail.offset());
      if (usage.dead_bytes + usage.deletions > 0) THERMOCLINE_RETURN_IF_ERROR(store_.SealOpenSegment(timeout_us_));
    }
    list = SealedList(&sealed);
    if (!list.ok()) return list.status();
  }
  for (size_t i = 0; i < sealed; ++i) {
    if (cancel_.load(std::memory_order_relaxed)) return Status::Error(ErrorCode::kAborted);
    Result<std::shared_ptr<Segment>> segment =
        store_.ShareSegment(static_cast<SegmentNumber>(list->segments[i].number));
    if (!segment.ok()) return segment.status();
    usages_.push_back(Look(**segment, list->segments[i].log_end));
  }
  // Only compaction takes segments out of this part of the list, so runs after the first are where they were, by
  // number.
  Status damage = Status::Ok();
  for (SegmentRun run = NextRun(0); run.count > 0; run = NextRun(run.first + run.count)) {
    const Status status = Rewrite(*list, run);
    // Not left to the helper alone: whoever compacts faster than it lets go would run out of descriptors.
    store_.FollowList();
    if (status.code() == ErrorCode::kCorrupt) {
      damage = status;  // it stays as it is, the others need not
    } else if (!status.ok()) {
      return status;
    }
  }
  return damage;
}

void Store::SetAutoCompact(const std::optional<AutoCompact>& policy) {
  const std::lock_guard<std::mutex> guard(auto_compact_mutex_);
  auto_compact_ = policy;
}

/// Log and blocks of all memories, reckoned from some hundred of them.
uint64_t Store::EstimateLiveBytes() {
  const Pin pin;
  const IndexTable table = Table();
  const uint64_t step = std::max<uint64_t>(table.cells() / kLiveSamples, 1);
  uint64_t bytes = 0;
  uint64_t samples = 0;
  for (uint64_t at = 0; at < table.cells(); at += step) {
    const Position position(LoadAcquire(table.cell(at).position));
    if (position.raw() <= format::kTombstone) continue;
    const Result<MemoryRef> memory = ReadAt(position);
    if (!memory.ok() || memory->record.kind() == format::RecordKind::kDelete) continue;
    bytes += memory->record.header.length + memory->segment->slot_bytes();
    ++samples;
  }
  return samples == 0 ? 0 : size() * bytes / samples;
}

bool Store::CompactWhenDue() {
  const uint64_t dead = LoadRelaxed(boot_->dead_bytes);
  std::optional<AutoCompact> policy;
  {
    const std::lock_guard<std::mutex> guard(auto_compact_mutex_);
    policy = auto_compact_;
  }
  if (!has_writer_.load() || !policy || dead < policy->dead_bytes || LoadRelaxed(boot_->poison) != 0) return false;
  // What is dead in the open segment, or behind damage, stays: not tried again until there is a good deal more.
  if (dead < dead_bytes_tried_ + dead_bytes_tried_ / 8 && dead >= dead_bytes_tried_) return false;
  dead_bytes_tried_ = dead;
  const Result<StoreStats> stats = Stats();
  if (!stats.ok()) return false;
  // Frames and slack beside what lives go with it, and are most of what small records take: `dead` knows the records
  // alone.
  const uint64_t held = stats->bytes_total - std::min(stats->bytes_total, stats->bytes_reserved);
  const uint64_t live = std::min(held, EstimateLiveBytes());
  if (static_cast<double>(held - live) < policy->dead_share * static_cast<double>(held)) return false;
  CompactPolicy compact;
  compact.seals_open_segment = false;
  compact.dead_share = policy->dead_share / 2;
  // The helper's other work goes on meanwhile.
  compact.between = [this] {
    if (helper_pending_.exchange(false, std::memory_order_acq_rel)) MakeSpaceAhead();
    FollowList();
  };
  const Result<CompactResult> result = Compact(kHelperMicroseconds, helper_leaves_, compact);
  dead_bytes_tried_ = LoadRelaxed(boot_->dead_bytes);
  return result.ok();
}

/// A smaller index when most of its cells are tombstones or empty.
Status Store::Compaction::DropTombstones() {
  const IndexWord word{LoadAcquire(store_.boot_->index)};
  const IndexTable table = store_.TableOf(word);
  uint64_t live = 0;
  {
    const Pin pin;
    for (uint64_t at = 0; at < table.cells(); ++at) live += LoadRelaxed(table.cell(at).position) > format::kTombstone;
  }
  const uint64_t used = LoadRelaxed(store_.boot_->index_used);
  const bool many_tombstones = used > live && used - live > table.cells() / 8;
  if (!many_tombstones && word.cells_log2() <= CellsLog2For(live) + 1) return Status::Ok();
  THERMOCLINE_RETURN_IF_ERROR(store_.LockGrowth(timeout_us_));
  const LockGuard guard(*store_.growth_lock_);
  return store_.GrowIndexLocked(used, timeout_us_);
}

/// Growth lock held. Files of segments that compactions left which died, or could not unlink them: copies that no list
/// ever named, and runs that were replaced.
///
/// Nobody can come to need the files of a number that the newest list does not name although it was given out: numbers
/// are given out upwards, under the growth lock, and a list never takes one in later but from the compaction that made
/// it, which holds the compact lock until then. docs/concurrency.md has the rest of the argument.
Result<std::vector<std::string>> Store::LeftBehind() {
  Result<std::vector<std::string>> names = io::ListDirectory(directory_);
  if (!names.ok()) return names.status();
  // Publishes what a dead owner renamed in: from here on no cell of the index leads to what it replaced.
  const Result<std::shared_ptr<const format::Meta>> list = NewestList();
  if (!list.ok()) return list.status();
  std::erase_if(*names, [&](const std::string& name) {
    const uint32_t number = SegmentOfFileName(name);
    const bool is_given_out = number != 0 && number < (*list)->next_segment;
    return !is_given_out || (*list)->IndexOf(static_cast<SegmentNumber>(number)) >= 0;
  });
  return names;
}

/// Compact lock held. The next first opener would remove them too, but a service may never have one. What cannot be
/// removed now costs space, and is tried again by the next compaction.
void Store::RemoveLeftBehind(uint64_t timeout_us) {
  std::vector<std::string> names;
  for (bool is_due = true, is_flushed = false; is_due; is_flushed = true) {
    if (!LockGrowth(timeout_us).ok()) return;
    {
      const LockGuard guard(*growth_lock_);
      Result<std::vector<std::string>> left = LeftBehind();
      if (!left.ok() || left->empty() || LoadRelaxed(boot_->poison) != 0) return;
      names = std::move(*left);
      // The disk may still have the list that names them, when who renamed the present one in did not come to sync it.
      const bool syncs = MustSyncList();
      is_due = syncs && StructureIsDue();
      const Status synced = syncs && !is_due ? directory_.Sync() : Status::Ok();
      if (!synced.ok()) {
        static_cast<void>(Poison(synced));  // a later sync would succeed and prove nothing (R8)
        return;
      }
    }
    // Nor is it known then that the list's own bytes are there; a flush sees to all of it.
    if (is_due && (is_flushed || !Flush(timeout_us).ok())) return;
  }
  for (const std::string& name : names) {
    if (!io::Unlink(directory_, name.c_str()).ok()) return;
  }
}

/// Makes the open segment a sealed one: the next one is opened, and a frame in it moves the tail there. Segments made
/// ahead for a store that had grown large leave the list.
Status Store::SealOpenSegment(uint64_t timeout_us) {
  const Pin pin;
  Turn turn(*this);
  THERMOCLINE_RETURN_IF_ERROR(turn.Take(timeout_us));
  const uint32_t open = ClaimSegment(LoadAcquire(boot_->claim));
  THERMOCLINE_RETURN_IF_ERROR(ListSmallerNext(open, timeout_us));
  THERMOCLINE_RETURN_IF_ERROR(Rotate(open, 0, 0, timeout_us));
  const auto next = static_cast<SegmentNumber>(ClaimSegment(LoadAcquire(boot_->claim)));
  Result<Segment*> segment = GetSegment(next);
  if (!segment.ok()) return segment.status();
  THERMOCLINE_RETURN_IF_ERROR(LockWrite(timeout_us));
  const WriteGuard guard(*write_lock_);
  const uint64_t end = format::kHeaderBytes + sizeof(format::FrameHeader);
  // Somebody committed there already, or has closed it again.
  const bool begun = Position(LoadRelaxed(boot_->tail)).segment() == next;
  if (begun || ClaimSegment(LoadAcquire(boot_->claim)) != Raw(next) || end > ReadyLogBytes(next)) return Status::Ok();
  format::FrameHeader header = NextFrameHeader(format::FrameKind::kEpoch);
  THERMOCLINE_RETURN_IF_ERROR(CommitFrame(**segment, format::kHeaderBytes, header));
  StoreRelaxed(boot_->last_frame_crc, uint64_t{header.header_crc});
  StoreRelease(boot_->last_frame, Position(next, format::kHeaderBytes).raw());
  return Status::Ok();
}

/// Replaces the segments made ahead by one that fits what lives, when they are much larger.
Status Store::ListSmallerNext(uint32_t open, uint64_t timeout_us) {
  std::vector<format::SegmentEntry> left;
  {
    THERMOCLINE_RETURN_IF_ERROR(LockGrowth(timeout_us));
    const LockGuard guard(*growth_lock_);
    if (ClaimSegment(LoadAcquire(boot_->claim)) != open) return Status::Ok();
    Result<std::shared_ptr<const format::Meta>> list = NewestList();
    if (!list.ok()) return list.status();
    const int at = (*list)->IndexOf(static_cast<SegmentNumber>(open));
    if (at < 0) return Status::Corrupt(FileRole::kMeta, open, 0);
    const auto wanted =
        static_cast<uint32_t>(std::clamp<uint64_t>(std::bit_ceil(size() / 2 + 1), kSegmentSlotsMin, kSegmentSlotsMax));
    const auto after = (*list)->segments.begin() + at + 1;
    if (after != (*list)->segments.end() && after->slots <= 2 * wanted) return Status::Ok();
    left.assign(after, (*list)->segments.end());
    format::Meta meta = **list;
    FillLogEnds(meta, Position(LoadAcquire(boot_->tail)));
    meta.segments.resize(static_cast<size_t>(at) + 1);
    THERMOCLINE_RETURN_IF_ERROR(AppendSegment(std::move(meta), wanted, 0));
  }
  // The list is on the disk: these were never written to.
  for (const format::SegmentEntry& entry : left) {
    const auto number = static_cast<SegmentNumber>(entry.number);
    static_cast<void>(io::Unlink(directory_, LogFileName(number).text).ok());
    static_cast<void>(io::Unlink(directory_, BlocksFileName(number).text).ok());
  }
  return Status::Ok();
}

}  // namespace thermocline::store
