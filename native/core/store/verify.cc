// Walks everything there is: meta, headers, sizes, every frame and record, every block, the columns, the index.
//
// What is wrong is reported with its file and offset, and the walk goes on behind it: frames and records that hold by
// themselves are looked at wherever they lie. Statistics carry no checksum and are not looked at.
// Writers may go on: what is at or below `applied` of one moment changes no more, but for `died`, which only turns from
// 0 to a sequence above that moment, and the index, which only moves on: to newer records, copies, and, when a
// compaction drops a deletion, away. All in one file, since what the parts of the walk know of each other is one state.

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>

#include "core/base/crc32c.h"
#include "core/format/blocks.h"
#include "core/store/log_reader.h"
#include "core/store/log_scan.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

constexpr char kMeta[] = "meta";
constexpr char kCache[] = "cache";
constexpr char kLock[] = "lock";

constexpr uint64_t kLockMicroseconds = 1000000;

}  // namespace

class Store::Verifier {
 public:
  Verifier(Store& store, Snapshot snapshot, const std::atomic<bool>& cancel)
      : store_(store), snapshot_(std::move(snapshot)), cancel_(cancel), seeds_(SeedState::Of(store.salt_)) {}

  Result<VerifyReport> Run();

 private:
  static bool IsRefusal(const Status& status);
  void Report(const char* file, uint64_t offset, std::string_view id = {}) {
    report_.problems.push_back({ErrorCode::kCorrupt, file, offset, std::string(id)});
  }
  void ReportLog(uint64_t offset, std::string_view id = {}) {
    part_is_damaged_ = true;
    Report(LogFileName(part_->segment->number()).text, offset, id);
  }
  void ReportStretch(uint64_t begin, uint64_t end, std::string_view id) {
    ReportLog(begin, id);
    NoteStretch(begin, end);
  }
  void NoteStretch(uint64_t begin, uint64_t end) {
    const SegmentNumber number = part_->segment->number();
    damaged_[Position(number, begin).raw()] = Position(number, format::RoundUp(end, 8)).raw();
  }
  void ReportBlocks(uint64_t offset, std::string_view id) {
    Report(BlocksFileName(part_->segment->number()).text, offset, id);
  }
  Status CheckMeta();
  void CheckWords();
  Status CheckHeaders();
  std::optional<uint64_t> EndOf(size_t part) const;
  void WalkPart(std::optional<uint64_t> end);
  void PassOver(const LogScan& scan, uint64_t* at);
  void CheckFrame(const LogScan& scan, const ScannedFrame& frame);
  void CheckLink(const ScannedFrame& frame);
  void CheckImages(const LogScan& scan, const ScannedFrame& frame);
  void CheckRecord(uint64_t offset, const format::RecordView& record);
  void CheckColumns(uint64_t offset, const format::RecordView& record);
  void CheckPlaceInIndex(uint64_t offset, const format::RecordView& record, Sequence died);
  bool MustBeNamed(Slot slot) const;
  void CheckUnnamedSlots();
  void CheckIndex();
  bool CheckGeneration(IndexWord word);
  void CheckCell(const IndexTable& table, uint64_t at, uint64_t offset);
  std::string_view IdAt(const LogScan& scan, uint64_t offset) const;
  uint64_t HomeCell(std::string_view id) const;

  Store& store_;
  const Snapshot snapshot_;
  const std::atomic<bool>& cancel_;
  const SeedState seeds_;
  VerifyReport report_;
  std::shared_ptr<const format::Meta> list_;

  // Of the part that is walked.
  const Snapshot::Part* part_ = nullptr;
  std::vector<bool> named_;  // slots that a record names
  bool part_is_damaged_ = false;

  std::map<uint64_t, uint64_t> damaged_;  // stretches of logs, by positions; what the index names there is no news

  // Of the frame walked last, across parts. Unknown after damage.
  bool last_is_known_ = true;
  Position last_frame_;
  uint32_t last_frame_crc_ = 0;
  Sequence last_sequence_ = 0;
};

Result<VerifyReport> Store::Verify(const std::atomic<bool>& cancel) {
  Result<Snapshot> snapshot = TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  return Verifier(*this, std::move(*snapshot), cancel).Run();
}

Result<VerifyReport> Store::Verifier::Run() {
  list_ = store_.List();
  THERMOCLINE_RETURN_IF_ERROR(CheckMeta());
  CheckWords();
  for (size_t i = 0; i < snapshot_.parts.size(); ++i) {
    part_ = &snapshot_.parts[i];
    part_is_damaged_ = false;
    named_.assign(part_->segment->slots(), false);
    THERMOCLINE_RETURN_IF_ERROR(CheckHeaders());
    WalkPart(EndOf(i));
    if (cancel_.load(std::memory_order_relaxed)) return ErrorCode::kClosed;
    if (!part_is_damaged_) CheckUnnamedSlots();
  }
  CheckIndex();
  if (cancel_.load(std::memory_order_relaxed)) return ErrorCode::kClosed;
  return std::move(report_);
}

/// What says nothing about the file: this process could not read it now.
bool Store::Verifier::IsRefusal(const Status& status) {
  return !status.ok() && status.code() != ErrorCode::kCorrupt && status.error_number() != ENOENT;
}

Status Store::Verifier::CheckMeta() {
  Result<std::shared_ptr<const format::Meta>> meta = store_.ReadMeta();
  if (IsRefusal(meta.status())) return meta.status();
  if (!meta.ok()) {
    Report(kMeta, meta.status().offset());
  } else if (!((*meta)->store_id == store_.store_id_)) {
    Report(kMeta, offsetof(format::MetaHeader, store_id));
  } else if (SeedState::Of((*meta)->salt).frames != seeds_.frames) {
    Report(kMeta, offsetof(format::MetaHeader, salt));
  }
  return Status::Ok();
}

void Store::Verifier::CheckWords() {
  format::CacheHeader header;
  std::memcpy(&header, store_.cache_map_.data(), sizeof header);
  if (header.magic != format::kCacheMagic || header.layout != format::kCacheLayout ||
      !(header.store_id == store_.store_id_) ||
      header.crc != Crc32c(0, reinterpret_cast<const char*>(&header) + 16, sizeof header - 16)) {
    Report(kCache, 0);
  }
  if (LoadAcquire(store_.session_->magic) != format::kLockMagic) Report(kLock, 0);
}

/// The headers as they are now: the segment was mapped by what they said then.
Status Store::Verifier::CheckHeaders() {
  const Segment& segment = *part_->segment;
  format::LogHeader log_bytes{};
  Status read = segment.log_file().ReadAt(0, {reinterpret_cast<char*>(&log_bytes), sizeof log_bytes});
  if (IsRefusal(read)) return read;
  const auto log = format::DecodeLogHeader({reinterpret_cast<const char*>(&log_bytes), sizeof log_bytes});
  if (!read.ok() || !log || !(log->store_id == store_.store_id_) || log->segment != Raw(segment.number()) ||
      log->log_capacity != segment.log_capacity()) {
    ReportLog(0);
  }
  format::BlocksHeader blocks_bytes{};
  read = segment.blocks_file().ReadAt(0, {reinterpret_cast<char*>(&blocks_bytes), sizeof blocks_bytes});
  if (IsRefusal(read)) return read;
  if (!read.ok() || std::memcmp(&blocks_bytes, &segment.layout(), sizeof blocks_bytes) != 0) ReportBlocks(0, {});
  return Status::Ok();
}

/// Where the frames of a part end: listed, or the tail, or what the first frame of the next begun part names. nullopt:
/// that frame is damaged.
std::optional<uint64_t> Store::Verifier::EndOf(size_t part) const {
  const Segment& segment = *snapshot_.parts[part].segment;
  if (segment.number() == snapshot_.tail.segment()) return snapshot_.tail.offset();
  if (snapshot_.parts[part].log_end != 0) return snapshot_.parts[part].log_end;
  const int listed = list_->IndexOf(segment.number());
  if (listed >= 0 && list_->segments[static_cast<size_t>(listed)].log_end != 0) {
    return list_->segments[static_cast<size_t>(listed)].log_end;
  }
  const int tail = snapshot_.tail.none() ? -1 : list_->IndexOf(snapshot_.tail.segment());
  if (listed > tail) return format::kHeaderBytes;  // not begun
  for (size_t next = part + 1; next < snapshot_.parts.size(); ++next) {
    const Segment& after = *snapshot_.parts[next].segment;
    if (list_->IndexOf(after.number()) > tail) break;
    const auto first = ReadFrame(after, store_.salt_, format::kHeaderBytes, false);
    if (!first) return std::nullopt;
    const Position previous(first->previous_frame);
    if (previous.segment() != segment.number()) return format::kHeaderBytes;  // listed, but passed over
    const auto last = ReadFrame(segment, store_.salt_, previous.offset(), false);
    return previous.offset() + (last ? FrameBytes(*last) : sizeof(format::FrameHeader));
  }
  return format::kHeaderBytes;
}

void Store::Verifier::WalkPart(std::optional<uint64_t> end) {
  std::span<const char> bytes = part_->segment->LogBytes(0, end.value_or(part_->segment->log_capacity()));
  if (end && bytes.size() < *end) ReportStretch(bytes.size(), *end, {});
  if (end) bytes = bytes.first(std::min<uint64_t>(bytes.size(), *end));
  const LogScan scan(bytes, part_->segment->number(), seeds_);
  for (uint64_t at = format::kHeaderBytes; at < bytes.size();) {
    if (cancel_.load(std::memory_order_relaxed)) return;
    const std::optional<ScannedFrame> frame = scan.FrameAt(at);
    if (!frame && !end) return;
    if (!frame) {
      PassOver(scan, &at);
      continue;
    }
    CheckLink(*frame);
    CheckFrame(scan, *frame);
    last_is_known_ = true;
    last_frame_ = Position(part_->segment->number(), at);
    last_frame_crc_ = frame->header.header_crc;
    at += FrameBytes(frame->header);
  }
}

/// From bytes that are no frame to the next ones that are, looking at the records that can still be told.
void Store::Verifier::PassOver(const LogScan& scan, uint64_t* at) {
  const std::optional<ScannedFrame> next = scan.NextFrame(*at + 8);
  const uint64_t stop = next ? next->offset : scan.log().size();
  ReportLog(*at, IdAt(scan, *at + sizeof(format::FrameHeader)));
  last_is_known_ = false;
  scan.Records(
      *at, stop,
      [this](uint64_t offset, const format::RecordView& record) {
        last_sequence_ = std::max(last_sequence_, record.header.sequence);
        CheckRecord(offset, record);
      },
      [this](uint64_t from, uint64_t to) { NoteStretch(from, to); });
  *at = stop;
}

void Store::Verifier::CheckLink(const ScannedFrame& frame) {
  const format::FrameHeader& header = frame.header;
  if (last_is_known_) {
    const Position previous(header.previous_frame);
    const bool names_last = previous == last_frame_ && header.previous_header_crc == last_frame_crc_;
    const bool names_gone = !previous.none() && list_->IndexOf(previous.segment()) < 0;  // it was rewritten
    if (!names_last && !(names_gone && frame.offset == format::kHeaderBytes)) {
      ReportLog(frame.offset + offsetof(format::FrameHeader, previous_frame));
    }
  }
  if (header.record_count == 0) return;
  // What compaction gave back lies at or below the floor; above it no sequence is missing.
  const bool gap =
      last_is_known_ && header.first_sequence > last_sequence_ + 1 && header.first_sequence - 1 > list_->changes_floor;
  if (gap || header.first_sequence <= last_sequence_) {
    ReportLog(frame.offset + offsetof(format::FrameHeader, first_sequence));
  }
}

void Store::Verifier::CheckFrame(const LogScan& scan, const ScannedFrame& frame) {
  const Pin pin;  // short ones: the snapshot holds what the walk needs
  const uint64_t begin = frame.offset + sizeof frame.header;
  const bool rewritten = (frame.header.flags & format::kFrameRewritten) != 0;
  uint32_t found = 0;
  bool damaged = false;
  scan.Records(
      begin, begin + frame.header.record_bytes,
      [&](uint64_t offset, const format::RecordView& record) {
        const Sequence expected = frame.header.first_sequence + found;
        if (rewritten ? record.header.sequence <= last_sequence_ : !damaged && record.header.sequence != expected) {
          ReportLog(offset + offsetof(format::RecordHeader, sequence), record.id);
        }
        ++found;
        last_sequence_ = std::max(last_sequence_, record.header.sequence);
        CheckRecord(offset, record);
      },
      [&](uint64_t from, uint64_t to) {
        damaged = true;
        ReportStretch(from, to, IdAt(scan, from));
      });
  if (frame.header.record_count > 0) {
    last_sequence_ = std::max(last_sequence_, frame.header.first_sequence + frame.header.record_count - 1);
  }
  if (damaged) return;
  if (found != frame.header.record_count) ReportLog(frame.offset + offsetof(format::FrameHeader, record_count));
  if (!frame.body_holds) return ReportLog(frame.offset);
  CheckImages(scan, frame);
}

void Store::Verifier::CheckImages(const LogScan& scan, const ScannedFrame& frame) {
  const uint64_t end = frame.offset + FrameBytes(frame.header);
  uint64_t at = frame.offset + sizeof frame.header + frame.header.record_bytes;
  for (uint32_t i = 0; i < frame.header.image_count; ++i) {
    format::ImageHeader image;
    if (end - at < sizeof image) return ReportLog(at);
    std::memcpy(&image, scan.log().data() + at, sizeof image);
    const uint64_t bytes = format::RoundUp(sizeof image + uint64_t{image.sketch_bytes} + image.embedding_bytes, 8);
    const bool sized =
        image.embedding_bytes == ((image.flags & format::kHasEmbedding) != 0 ? 4 * store_.dimensions_ : 0);
    if (!sized || bytes > end - at) return ReportLog(at);
    at += bytes;
  }
  if (at != end) ReportLog(at);
}

/// The id of a damaged record, if it can be told: the index leads from it to this very place.
std::string_view Store::Verifier::IdAt(const LogScan& scan, uint64_t offset) const {
  if (offset > scan.log().size() || scan.log().size() - offset < sizeof(format::RecordHeader)) return {};
  const std::span<const char> bytes = scan.log().subspan(offset);
  uint16_t size;
  std::memcpy(&size, bytes.data() + offsetof(format::RecordHeader, id_bytes), sizeof size);
  if (size == 0 || size > bytes.size() - sizeof(format::RecordHeader)) return {};
  const std::string_view id(bytes.data() + sizeof(format::RecordHeader), size);
  const Position here(part_->segment->number(), offset);
  return store_.PositionInIndex(id) == here ? id : std::string_view();
}

/// A record whose own checksum holds.
void Store::Verifier::CheckRecord(uint64_t offset, const format::RecordView& record) {
  if (record.header.sequence > snapshot_.sequence) return;  // may be under way
  if (record.kind() == format::RecordKind::kDelete) return CheckPlaceInIndex(offset, record, 0);
  const Segment& segment = *part_->segment;
  const Slot slot = record.slot();
  if (Raw(slot) >= segment.slots() || named_[Raw(slot)]) {
    return ReportLog(offset + offsetof(format::RecordHeader, slot), record.id);
  }
  named_[Raw(slot)] = true;
  CheckColumns(offset, record);
  const uint64_t block = segment.BlocksBytesFor(Raw(slot));
  if (!segment.Covers(slot)) return ReportBlocks(block, record.id);
  if (record.has(format::kHasEmbedding) && Crc32c(seeds_.BlockSeed(segment.number(), slot), segment.embedding(slot),
                                                  segment.layout().embedding_stride) != record.header.embedding_crc) {
    ReportBlocks(block, record.id);
  }
}

void Store::Verifier::CheckColumns(uint64_t offset, const format::RecordView& record) {
  const Segment& segment = *part_->segment;
  const format::BlocksHeader& layout = segment.layout();
  const Slot slot = record.slot();
  const auto check = [&](uint64_t column, uint64_t value, uint64_t expected) {
    if (value != expected) ReportBlocks(column + 8 * Raw(slot), record.id);
  };
  check(layout.born_offset, LoadAcquire(segment.born(slot)), record.header.sequence);
  check(layout.record_offset, LoadRelaxed(segment.record(slot)), offset);
  check(layout.created_at_offset, LoadRelaxed(segment.created_at(slot)),
        std::bit_cast<uint64_t>(record.header.created_at));
  check(layout.confidence_offset, LoadRelaxed(segment.confidence(slot)),
        std::bit_cast<uint64_t>(record.header.confidence));
  const Sequence died = LoadAcquire(segment.died(slot));
  const bool lives = died == 0 || died > snapshot_.sequence;
  if (lives) ++report_.memories;
  if (!lives && died <= record.header.sequence) return ReportBlocks(layout.died_offset + 8 * Raw(slot), record.id);
  CheckPlaceInIndex(offset, record, died);
}

/// Whether the index and `died` agree about the record. `died` was loaded before the index is: a writer stores the
/// index first.
void Store::Verifier::CheckPlaceInIndex(uint64_t offset, const format::RecordView& record, Sequence died) {
  const Segment& segment = *part_->segment;
  const bool deletion = record.kind() == format::RecordKind::kDelete;
  const Position here(segment.number(), offset);
  const Position found = store_.PositionInIndex(record.id);
  if (found == here) {
    if (died != 0) ReportBlocks(segment.layout().died_offset + 8 * Raw(record.slot()), record.id);
    return;
  }
  if (died != 0 && died <= snapshot_.sequence) return;  // dead, and the index is elsewhere
  if (found.none()) {
    if (!deletion && MustBeNamed(record.slot())) Report(kCache, HomeCell(record.id), record.id);
    return;
  }
  const Result<MemoryRef> newest = store_.ReadAt(found);
  if (!newest.ok() || !store_.CheckRecord(*newest).ok()) return;  // told by CheckCell, or by the walk of that log
  const Sequence sequence = newest->record.header.sequence;
  if (sequence < record.header.sequence) return Report(kCache, HomeCell(record.id), record.id);
  if (sequence == record.header.sequence && found.segment() != here.segment()) return;  // compaction moved it
  // Replaced at or before the snapshot, so `died` was stored by then.
  if (!deletion && sequence <= snapshot_.sequence) {
    ReportBlocks(segment.layout().died_offset + 8 * Raw(record.slot()), record.id);
  }
}

/// Of a memory that the snapshot holds and the index, looked at before, does not name. Deleted since the snapshot, its
/// deletion may be dropped by now; when its segment was rewritten, only the copy's slot tells so.
bool Store::Verifier::MustBeNamed(Slot slot) const {
  if (LoadAcquire(part_->segment->died(slot)) != 0) return false;
  const Result<std::shared_ptr<const format::Meta>> list = store_.CurrentList();
  return list.ok() && (*list)->IndexOf(part_->segment->number()) >= 0;
}

/// Where the index's probe for an id begins, in the file.
uint64_t Store::Verifier::HomeCell(std::string_view id) const {
  const IndexWord word{LoadAcquire(store_.boot_->index)};
  const uint64_t hash = store_.HashOf(id);
  return word.offset() + (hash & (word.cells() - 1)) * sizeof(format::IndexCell);
}

void Store::Verifier::CheckUnnamedSlots() {
  const Segment& segment = *part_->segment;
  if (!segment.HasColumns()) return;
  for (uint32_t raw = 0; raw < segment.slots(); ++raw) {
    const Sequence born = LoadAcquire(segment.born(static_cast<Slot>(raw)));
    if (born != 0 && born <= snapshot_.sequence && !named_[raw]) {
      ReportBlocks(segment.layout().born_offset + 8 * uint64_t{raw}, {});
    }
  }
}

void Store::Verifier::CheckIndex() {
  // A generation that was replaced meanwhile is given back under the walk, and its zeros are no damage: the next one is
  // looked at instead.
  const size_t problems = report_.problems.size();
  while (!CheckGeneration(IndexWord{LoadAcquire(store_.boot_->index)})) {
    report_.problems.resize(problems);
  }
}

/// False when another generation took its place before all of it was seen.
bool Store::Verifier::CheckGeneration(IndexWord word) {
  const IndexTable table = store_.TableOf(word);
  uint64_t used = 0;
  const uint64_t counted = LoadAcquire(store_.boot_->index_used);
  constexpr uint64_t kCellsPerLook = 4096;
  for (uint64_t at = 0; at < table.cells(); ++at) {
    if (at % kCellsPerLook == 0 && cancel_.load(std::memory_order_relaxed)) return true;
    const uint64_t position = LoadAcquire(table.cell(at).position);
    used += position != 0 ? 1 : 0;
    if (position != 0 && position != format::kTombstone) {
      CheckCell(table, at, word.offset() + at * sizeof(format::IndexCell));
    }
  }
  if (LoadAcquire(store_.boot_->index) != word.raw) return false;
  // Only a store at rest can be counted, and only when nothing else explains what is missing.
  if (!report_.problems.empty() || (used == counted && report_.memories == store_.size())) return true;
  // Under the lock nobody is in the middle of a commit, whose cells come before its sequence; nor was, if that is still
  // the snapshot's.
  uint32_t dead_owner = 0;
  const SharedLock::Outcome outcome = store_.write_lock_->Acquire(kLockMicroseconds, &dead_owner);
  if (outcome == SharedLock::Outcome::kBusy) return true;
  if (outcome == SharedLock::Outcome::kAcquiredFromDead) {
    store_.write_lock_->GiveBack(dead_owner);  // with a commit to finish: the next writer's
    return true;
  }
  const LockGuard guard(*store_.write_lock_);
  if (store_.sequence() != snapshot_.sequence) return true;
  if (used != counted) Report(kCache, format::kBootWordsOffset + offsetof(format::BootWords, index_used));
  if (report_.memories != store_.size()) Report(kCache, format::kBootWordsOffset + offsetof(format::BootWords, size));
  return true;
}

/// A cell leads to a record of its hash, and that record's id to this cell.
void Store::Verifier::CheckCell(const IndexTable& table, uint64_t at, uint64_t offset) {
  const Pin pin;  // short ones: the snapshot holds what the walk needs
  const format::IndexCell& cell = table.cell(at);
  const Position position(LoadAcquire(cell.position));
  const auto after = damaged_.upper_bound(position.raw());
  if (after != damaged_.begin() && position.raw() < std::prev(after)->second) return;
  const Result<MemoryRef> memory = store_.ReadAt(position);
  if (!memory.ok() || !store_.CheckRecord(*memory).ok()) {
    // Rewriting may have moved the record meanwhile, and the cell with it.
    if (LoadAcquire(cell.position) == position.raw()) Report(kCache, offset);
    return;
  }
  const std::string_view id = memory->record.id;
  const uint64_t hash = store_.HashOf(id);
  if (LoadRelaxed(cell.hash) == hash && table.FindCell(hash, id, store_) == &cell) return;
  // Nor is it damage when the memory went meanwhile, and the cell with it or to another.
  if (LoadAcquire(cell.position) == position.raw()) Report(kCache, offset, id);
}

}  // namespace thermocline::store
