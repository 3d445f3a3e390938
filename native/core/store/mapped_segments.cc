// Which segments this process has mapped: mapped at need, let go when they left the list and nobody is in them (R15).
//
// Who may be in a segment: a call, which a Pin says (pins.h), and whoever holds it by count: snapshots, cursors, views.
// A segment that left the list stays in the table while somebody holds it, so that places in it can still be looked up
// by number. Then it is taken out of the table; when every call of that moment has returned and still nobody holds it,
// it is unmapped. A call that asks for it in between puts it back, and everything begins again.
//
// Thread rule: GetSegment under a Pin, from any thread; FollowList from any thread without one, the helper's and those
// that compact.

#include <algorithm>
#include <cerrno>

#include "core/store/store.h"

namespace thermocline::store {
namespace {

// A list that changes again and again between the look at it and the look for a file is not believed.
constexpr int kLooksMax = 100;

}  // namespace

Result<Segment*> Store::MapSegment(SegmentNumber number) {
  for (int look = 0; look < kLooksMax; ++look) {
    Result<std::shared_ptr<const format::Meta>> list = CurrentList();
    if (!list.ok()) return list.status();
    // Listed on the disk, perhaps, and not published yet: its owner swings the index in between, or died there.
    if ((*list)->IndexOf(number) < 0) list = ReloadList();
    if (!list.ok()) return list.status();
    Result<Segment*> mapped = MapSegmentListed(number, **list);
    if (mapped.ok() || mapped.status().error_number() != ENOENT) return mapped;
    Result<std::shared_ptr<const format::Meta>> again = ReloadList();
    if (!again.ok()) return again.status();
    // A number that was never given out is not gone, whatever names it is damaged.
    if (Raw(number) >= (*again)->next_segment) return Status::Corrupt(FileRole::kMeta, 0, 0);
    if ((*again)->IndexOf(number) < 0) return Gone(number);
    // The list names the file, then and now, so its absence is damage.
    if ((*again)->list_generation == (*list)->list_generation) {
      return Status::Corrupt(mapped.status().role(), Raw(number), 0);
    }
  }
  return Gone(number);
}

/// ENOENT when there are no files of that number.
Result<Segment*> Store::MapSegmentListed(SegmentNumber number, const format::Meta& list) {
  const int index = list.IndexOf(number);
  // A segment that was replaced may still be named by the index, for as long as whoever replaces it takes to swing it,
  // or for ever if that one is stopped. Its files are there until the index is swung, and say themselves what they are.
  format::SegmentEntry entry{};
  entry.number = Raw(number);
  if (index >= 0) entry = list.segments[static_cast<size_t>(index)];
  const std::lock_guard<std::mutex> guard(map_mutex_);
  if (Segment* segment = table_.Get(number)) return segment;
  std::shared_ptr<Segment> segment;
  const auto leaving = std::find_if(leaving_.begin(), leaving_.end(),
                                    [&](const Leaving& candidate) { return candidate.segment->number() == number; });
  if (leaving != leaving_.end()) {
    segment = std::move(leaving->segment);
    leaving_.erase(leaving);
    unlisted_are_mapped_ = true;
  } else {
    Result<std::shared_ptr<Segment>> mapped = Segment::Map(directory_, store_id_, entry, dimensions_, loss_);
    if (!mapped.ok()) return mapped.status();
    segment = std::move(*mapped);
    unlisted_are_mapped_ = unlisted_are_mapped_ || index < 0;
  }
  Segment* raw = segment.get();
  table_.Put(std::move(segment));
  return raw;
}

Result<std::shared_ptr<Segment>> Store::ShareSegment(SegmentNumber number) {
  const Pin pin;
  Result<Segment*> segment = GetSegment(number);
  if (!segment.ok()) return segment.status();
  return (*segment)->shared_from_this();
}

void Store::FollowList() {
  TakeUnlisted();
  DropLeaving();  // at once, when no call was under way
}

/// Unmaps what was taken out of the table and can be reached by nobody any more.
void Store::DropLeaving() {
  std::vector<std::shared_ptr<Segment>> unmapped;  // outside the mutex: munmap may take a while
  const std::lock_guard<std::mutex> guard(map_mutex_);
  for (size_t i = 0; i < leaving_.size();) {
    Leaving& leaving = leaving_[i];
    if (!leaving.grace.Over()) {
      ++i;
      continue;
    }
    // Somebody who was in a call then took hold of it: its places must be found by number until that is gone.
    const bool held = leaving.segment.use_count() > 1;
    if (held) {
      table_.Put(leaving.segment);
      unlisted_are_mapped_ = true;
    }
    if (!held) unmapped.push_back(std::move(leaving.segment));
    leaving_.erase(leaving_.begin() + static_cast<ptrdiff_t>(i));
  }
}

/// Takes out of the table what left the list and nobody holds.
void Store::TakeUnlisted() {
  const uint64_t generation = LoadAcquire(boot_->list_generation);
  {
    const std::lock_guard<std::mutex> guard(map_mutex_);
    if (generation == followed_generation_ && !unlisted_are_mapped_) return;
  }
  Result<std::shared_ptr<const format::Meta>> list = CurrentList();
  if (!list.ok()) return;  // looked at again next time
  const std::lock_guard<std::mutex> guard(map_mutex_);
  followed_generation_ = generation;
  unlisted_are_mapped_ = false;
  std::vector<SegmentNumber> free;
  for (const std::shared_ptr<Segment>& segment : table_.owned()) {
    if ((*list)->IndexOf(segment->number()) >= 0) continue;
    if (segment.use_count() > 1) {
      unlisted_are_mapped_ = true;
    } else {
      free.push_back(segment->number());
    }
  }
  if (free.empty()) return;
  std::vector<std::shared_ptr<Segment>> taken;
  for (const SegmentNumber number : free) taken.push_back(table_.Take(number));
  // One grace for all, begun when none of them can be found any more.
  const Grace grace;
  for (std::shared_ptr<Segment>& segment : taken) leaving_.push_back({std::move(segment), grace});
}

}  // namespace thermocline::store
