// Whether the first opener believes what the cache says (R6). Not here: how it is rebuilt (recovery.cc).

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/store/claim.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

/// Whether what the words call free and backed is: slots are claimed and zeros are written by them.
bool SpaceIsSane(const format::BootWords& words, const Segment& tail_segment, const Segment& last_segment,
                 Position last, const format::FrameHeader& frame, bool body_is_whole) {
  const uint64_t tail = Position(LoadRelaxed(words.tail)).offset();
  const uint64_t claim = LoadRelaxed(words.claim);
  const uint32_t open = ClaimSegment(claim);
  // A word of a younger segment says nothing of this one, a word of an older one that nothing of this is backed yet.
  const uint32_t tail_number = Raw(tail_segment.number());
  const uint64_t log_word = LoadRelaxed(words.log_ready[tail_number % format::kSpaceWords]);
  const uint64_t log_ready = log_word >> 32 == tail_number ? (log_word & 0xFFFFFFFFu) * 8 : format::kHeaderBytes;
  const Result<uint64_t> log_size = tail_segment.log_file().Size();
  if (!log_size.ok()) return false;
  if (log_word >> 32 <= tail_number && (log_ready < tail || log_ready > *log_size)) return false;
  if (Raw(last_segment.number()) != open) return true;
  const uint64_t slots_word = LoadRelaxed(words.slots_ready[open % format::kSpaceWords]);
  const uint32_t slots_ready = slots_word >> 32 == open ? static_cast<uint32_t>(slots_word) : 0;
  const bool known = slots_word >> 32 <= open;
  if (known && slots_ready > last_segment.CoveredSlots()) return false;
  // A damaged record is told when it is read, and the words may be right all the same: a rebuild would end before this
  // frame and lose its memories, or refuse the whole store.
  if (!body_is_whole) return true;
  uint64_t at = last.offset() + sizeof frame;
  for (uint32_t i = 0; i < frame.record_count; ++i) {
    const auto record = ReadRecord(last_segment, at);
    if (!record) return false;
    at += record->header.length;
    if (record->kind() == format::RecordKind::kDelete) continue;
    if (Raw(record->slot()) >= ClaimSlot(claim) || (known && Raw(record->slot()) >= slots_ready)) return false;
  }
  return true;
}

}  // namespace

/// Whether the cache carries the marker of a clean close of these very files. A copy has other inodes.
bool Store::ClosedClean() const {
  Result<io::FileIdentity> directory = directory_.Identity();
  Result<io::FileIdentity> cache = cache_file_.Identity();
  if (!directory.ok() || !cache.ok()) return false;
  format::CleanMarker marker;
  std::memcpy(&marker, cache_map_.data() + format::kCleanOffset, sizeof marker);
  return marker.magic == format::kCleanMagic && marker.crc == Crc32c(0, &marker, offsetof(format::CleanMarker, crc)) &&
         marker.directory_inode == directory->inode && marker.cache_inode == cache->inode &&
         marker.list_generation == list_->list_generation && marker.tail == boot_->tail &&
         marker.index_word == boot_->index && marker.words_crc == Crc32c(0, boot_, sizeof *boot_);
}

/// Whether nothing follows where the marker says that the log ends. A close cuts off what a dead writer had left there,
/// but no sync follows that: the power may take the cut and leave the marker. Passed over now, such a frame would be
/// found once more after the next cut, in the place of what was written over it.
bool Store::EndsAtTail() const {
  const Position tail(LoadRelaxed(boot_->tail));
  const auto is_blank = [&](SegmentNumber number, uint64_t offset) {
    const Result<io::File> log =
        io::File::Open(directory_, LogFileName(number).text, io::File::Mode::kRead, FileRole::kLog);
    if (!log.ok()) return false;
    const Result<uint64_t> size = log->Size();
    if (!size.ok()) return false;
    char bytes[sizeof(format::FrameHeader)] = {};
    const uint64_t length = *size <= offset ? 0 : std::min<uint64_t>(sizeof bytes, *size - offset);
    if (!log->ReadAt(offset, {bytes, length}).ok()) return false;
    return std::all_of(std::begin(bytes), std::end(bytes), [](char byte) { return byte == 0; });
  };
  const auto open = static_cast<SegmentNumber>(ClaimSegment(LoadRelaxed(boot_->claim)));
  const std::shared_ptr<const format::Meta> list = list_;
  const int first = list->IndexOf(tail.none() ? open : tail.segment());
  if (first < 0) return false;
  if (!is_blank(static_cast<SegmentNumber>(list->segments[static_cast<size_t>(first)].number),
                tail.none() ? format::kHeaderBytes : tail.offset())) {
    return false;
  }
  return std::all_of(list->segments.begin() + first + 1, list->segments.end(), [&](const format::SegmentEntry& entry) {
    return is_blank(static_cast<SegmentNumber>(entry.number), format::kHeaderBytes);
  });
}

/// Whether what the words point at is there. They are of this boot or of a clean close, but still bytes from a file.
bool Store::WordsAreSane() {
  const std::shared_ptr<const format::Meta> list = List();
  Result<uint64_t> size = cache_file_.Size();
  if (!size.ok()) return false;
  const IndexWord index{LoadRelaxed(boot_->index)};
  if (index.offset() < format::kIndexOffset || index.cells_log2() < 9 || index.cells_log2() > 40 ||
      index.offset() + index.bytes() > *size || index.offset() + index.bytes() > cache_map_.length()) {
    return false;
  }
  if (LoadRelaxed(boot_->index_used) > UsableCells(index.cells())) return false;
  const Position tail(LoadRelaxed(boot_->tail));
  const Position last(LoadRelaxed(boot_->last_frame));
  const uint64_t claim = LoadRelaxed(boot_->claim);
  if (list->IndexOf(static_cast<SegmentNumber>(ClaimSegment(claim))) < 0) return false;
  if (last.none() != tail.none() && !tail.none()) {
    // A first frame that was committed and not applied.
    return tail.segment() == static_cast<SegmentNumber>(ClaimSegment(claim));
  }
  if (last.none()) return true;
  if (list->IndexOf(tail.segment()) < 0 || list->IndexOf(last.segment()) < 0) return false;
  Result<Segment*> tail_segment = GetSegment(tail.segment());
  Result<Segment*> last_segment = GetSegment(last.segment());
  if (!tail_segment.ok() || !last_segment.ok()) return false;
  if ((*tail_segment)->log_file().Size().ok() && *(*tail_segment)->log_file().Size() < tail.offset()) return false;
  const auto frame = ReadFrame(**last_segment, salt_, last.offset(), false);
  if (!frame) return false;
  const uint64_t end = last.offset() + FrameBytes(*frame);
  if (end > (*last_segment)->log_capacity()) return false;
  const bool clean = ClosedClean();
  // What is written next goes to the tail: never over a committed frame. After a clean close nothing lies between.
  if (tail.segment() == last.segment() && (clean ? tail.offset() != end : tail.offset() < end)) return false;
  // A frame that was committed and not applied has its checksum there already, perhaps.
  const bool all_applied = tail == Position(last.segment(), end);
  if (all_applied && frame->header_crc != LoadRelaxed(boot_->last_frame_crc)) return false;
  const Sequence last_sequence = frame->first_sequence + frame->record_count - 1;
  if (clean && frame->record_count > 0 && LoadRelaxed(boot_->applied) != last_sequence) return false;
  const bool body_is_whole = ReadFrame(**last_segment, salt_, last.offset(), true).has_value();
  return SpaceIsSane(*boot_, **tail_segment, **last_segment, last, *frame, body_is_whole);
}

}  // namespace thermocline::store
