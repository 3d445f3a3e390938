#include "core/store/segment.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/format/blocks.h"

namespace thermocline::store {
namespace {

SegmentFileName Name(SegmentNumber number, const char* suffix) {
  SegmentFileName name;
  std::snprintf(name.text, sizeof name.text, "%u.%s", Raw(number), suffix);
  return name;
}

template <typename Header>
std::span<const char> BytesOf(const Header& header) {
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

/// Whether header and entry agree; an entry of a segment that is not listed has only its number.
bool Agrees(const format::LogHeader& header, const format::SegmentEntry& entry) {
  constexpr uint64_t kLogCapacityMax = uint64_t{1} << 34;  // what a listed segment may have
  if (header.segment != entry.number) return false;
  if (entry.slots != 0) return header.log_capacity == entry.log_capacity;
  return header.log_capacity >= format::kHeaderBytes && header.log_capacity < kLogCapacityMax;
}

uint64_t ColumnsEndOf(const format::BlocksHeader& layout) {
  return layout.sketch_rows_offset != 0 ? layout.sketch_rows_offset + layout.sketch_rows_stride * layout.slots
                                        : layout.statistics_offset + sizeof(format::Statistics) * layout.slots;
}

bool Agrees(const format::BlocksHeader& header, const format::SegmentEntry& entry) {
  return header.segment == entry.number && (entry.slots == 0 || header.slots == format::RoundUp(entry.slots, 64));
}

}  // namespace

SegmentFileName LogFileName(SegmentNumber number) { return Name(number, "log"); }
SegmentFileName BlocksFileName(SegmentNumber number) { return Name(number, "blocks"); }
SegmentFileName KeysFileName(SegmentNumber number) { return Name(number, "keys"); }

Status Segment::CreateFiles(const io::File& directory, const format::StoreId& store_id, SegmentNumber number,
                            uint32_t slots, uint32_t dimensions, uint64_t log_capacity, bool sync,
                            std::span<const float> centre, Columns columns) {
  const format::SketchKind sketch_kind = centre.empty() ? format::SketchKind::kNone : format::SketchKind::kRabitq1;
  const format::BlocksHeader blocks_header = format::MakeBlocksHeader(store_id, number, slots, dimensions, sketch_kind);
  const format::LogHeader log_header = format::MakeLogHeader(store_id, number, log_capacity);

  // A power cut may have taken the list that a segment of this number was in, and left what was made of its records.
  THERMOCLINE_RETURN_IF_ERROR(io::Unlink(directory, KeysFileName(number).text));
  Result<io::File> blocks =
      io::File::Open(directory, BlocksFileName(number).text, io::File::Mode::kCreateNew, FileRole::kBlocks);
  if (!blocks.ok()) return blocks.status();
  // The columns before the embeddings are backed whole: 64 bytes a slot, and 2 bits per dimension of sketches. The
  // embeddings follow as slots are claimed.
  const uint64_t backed = columns == Columns::kNow ? ColumnsEndOf(blocks_header) : format::kHeaderBytes;
  THERMOCLINE_RETURN_IF_ERROR(blocks->Allocate(0, backed));
  THERMOCLINE_RETURN_IF_ERROR(blocks->SetSize(blocks_header.file_bytes));
  THERMOCLINE_RETURN_IF_ERROR(blocks->WriteAt(0, BytesOf(blocks_header)));
  // Zeros are what is there.
  if (std::any_of(centre.begin(), centre.end(), [](float value) { return value != 0; })) {
    THERMOCLINE_RETURN_IF_ERROR(blocks->WriteAt(blocks_header.centre_offset,
                                                {reinterpret_cast<const char*>(centre.data()), centre.size_bytes()}));
  }

  Result<io::File> log =
      io::File::Open(directory, LogFileName(number).text, io::File::Mode::kCreateNew, FileRole::kLog);
  if (!log.ok()) return log.status();
  THERMOCLINE_RETURN_IF_ERROR(log->Allocate(0, format::kHeaderBytes));
  THERMOCLINE_RETURN_IF_ERROR(log->WriteAt(0, BytesOf(log_header)));
  if (sync) {
    THERMOCLINE_RETURN_IF_ERROR(blocks->Sync());
    THERMOCLINE_RETURN_IF_ERROR(log->Sync());
    // The names too: the list that will name them may reach the disk before any other change of the directory.
    THERMOCLINE_RETURN_IF_ERROR(directory.Sync());
  }
  return Status::Ok();
}

Result<std::shared_ptr<Segment>> Segment::Map(const io::File& directory, const format::StoreId& store_id,
                                              const format::SegmentEntry& entry, uint32_t dimensions,
                                              std::shared_ptr<io::FileLoss> loss) {
  auto segment = std::make_shared<Segment>();
  const auto number = static_cast<SegmentNumber>(entry.number);
  segment->number_ = number;
  segment->watch_ = {std::move(loss), entry.number};

  Result<io::File> log =
      io::File::Open(directory, LogFileName(number).text, io::File::Mode::kReadWrite, FileRole::kLog);
  if (!log.ok()) return log.status();
  segment->log_file_ = std::move(*log);
  format::LogHeader log_bytes;
  THERMOCLINE_RETURN_IF_ERROR(segment->log_file_.ReadAt(0, {reinterpret_cast<char*>(&log_bytes), sizeof log_bytes}));
  const auto log_header = format::DecodeLogHeader(BytesOf(log_bytes));
  if (!log_header || !(log_header->store_id == store_id) || !Agrees(*log_header, entry)) {
    return Status::Corrupt(FileRole::kLog, entry.number, 0);
  }
  segment->log_capacity_ = log_header->log_capacity;

  Result<io::File> blocks =
      io::File::Open(directory, BlocksFileName(number).text, io::File::Mode::kReadWrite, FileRole::kBlocks);
  if (!blocks.ok()) return blocks.status();
  segment->blocks_file_ = std::move(*blocks);
  const Result<format::BlocksHeader> layout = ReadLayout(segment->blocks_file_);
  if (!layout.ok() && layout.status().code() != ErrorCode::kCorrupt) return layout.status();
  if (!layout.ok() || !(layout->store_id == store_id) || !Agrees(*layout, entry) || layout->dimensions != dimensions) {
    return Status::Corrupt(FileRole::kBlocks, entry.number, 0);
  }
  segment->layout_ = *layout;
  // The columns that are read by slot number alone must be there; the embeddings are checked by Covers.
  Result<uint64_t> blocks_size = segment->blocks_file_.Size();
  if (!blocks_size.ok()) return blocks_size.status();
  if (*blocks_size < layout->embedding_offset) return Status::Corrupt(FileRole::kBlocks, entry.number, *blocks_size);
  segment->blocks_bytes_.store(*blocks_size, std::memory_order_relaxed);

  Result<io::Mapping> log_map =
      io::Mapping::Map(segment->log_file_, 0, segment->log_capacity_, io::Mapping::Kind::kShared, segment->watch_);
  if (!log_map.ok()) return log_map.status();
  segment->log_map_ = std::move(*log_map);
  Result<io::Mapping> blocks_map =
      io::Mapping::Map(segment->blocks_file_, 0, layout->file_bytes, io::Mapping::Kind::kShared, segment->watch_);
  if (!blocks_map.ok()) return blocks_map.status();
  segment->blocks_map_ = std::move(*blocks_map);
  return segment;
}

Result<format::BlocksHeader> Segment::ReadLayout(const io::File& blocks) {
  format::BlocksHeader bytes;
  THERMOCLINE_RETURN_IF_ERROR(blocks.ReadAt(0, {reinterpret_cast<char*>(&bytes), sizeof bytes}));
  const auto layout = format::DecodeBlocksHeader(BytesOf(bytes));
  if (!layout) return Status::Corrupt(FileRole::kBlocks, 0, 0);
  return *layout;
}

std::span<const char> Segment::LogBytes(uint64_t offset, uint64_t wanted) const {
  uint64_t end = log_bytes_.load(std::memory_order_relaxed);
  // No sum that may wrap: the offset may be any word of a file.
  if (wanted > end || offset > end - wanted) {
    Result<uint64_t> size = log_file_.Size();
    if (!size.ok()) return {};
    end = *size < log_capacity_ ? *size : log_capacity_;
    log_bytes_.store(end, std::memory_order_relaxed);
    if (offset >= end) return {};
  }
  return {log_map_.data() + offset, end - offset};
}

bool Segment::Covers(Slot slot) const {
  if (Raw(slot) >= layout_.slots) return false;
  const uint64_t end = BlocksBytesFor(Raw(slot) + 1);
  if (end <= blocks_bytes_.load(std::memory_order_relaxed)) return true;
  Result<uint64_t> size = blocks_file_.Size();
  if (!size.ok()) return false;
  blocks_bytes_.store(*size, std::memory_order_relaxed);
  return end <= *size;
}

uint64_t Segment::CoveredSlots() const {
  Result<uint64_t> size = blocks_file_.Size();
  if (!size.ok() || *size < layout_.embedding_offset) return 0;
  return std::min<uint64_t>((*size - layout_.embedding_offset) / layout_.embedding_stride, layout_.slots);
}

Status Segment::CoverAllSlots() {
  if (blocks_bytes_.load(std::memory_order_relaxed) >= layout_.file_bytes) return Status::Ok();
  Result<uint64_t> size = blocks_file_.Size();
  if (!size.ok()) return size.status();
  if (*size < layout_.file_bytes) THERMOCLINE_RETURN_IF_ERROR(blocks_file_.SetSize(layout_.file_bytes));
  blocks_bytes_.store(layout_.file_bytes, std::memory_order_relaxed);
  return Status::Ok();
}

Status Segment::RefuseIfCut(const io::File& file, uint64_t bytes) const {
  const Result<uint64_t> size = file.Size();
  if (!size.ok()) return size.status();
  return *size >= bytes ? Status::Ok() : Status::Corrupt(file.role(), Raw(number_), *size);
}

Status Segment::WriteEmbeddings(uint32_t first, uint32_t count, const float* rows) {
  THERMOCLINE_RETURN_IF_ERROR(RefuseIfCut(blocks_file_, blocks_bytes_.load(std::memory_order_relaxed)));
  return blocks_file_.WriteAt(BlocksBytesFor(first),
                              {reinterpret_cast<const char*>(rows), layout_.embedding_stride * count});
}

uint64_t Segment::ColumnsEnd() const { return ColumnsEndOf(layout_); }

Status Segment::BackColumns() {
  const uint64_t length = ColumnsEnd() - format::kHeaderBytes;
  THERMOCLINE_RETURN_IF_ERROR(blocks_file_.Reserve(format::kHeaderBytes, length));
  blocks_map_.Populate(format::kHeaderBytes, length);
  return Status::Ok();
}

bool Segment::HasColumns() const {
  const Result<uint64_t> backed = blocks_file_.AllocatedBytes();
  return !backed.ok() || *backed > format::kHeaderBytes;
}

Status Segment::BackSlots(uint32_t from, uint32_t to) {
  THERMOCLINE_RETURN_IF_ERROR(RefuseIfCut(blocks_file_, blocks_bytes_.load(std::memory_order_relaxed)));
  THERMOCLINE_RETURN_IF_ERROR(CoverAllSlots());
  if (from == 0) THERMOCLINE_RETURN_IF_ERROR(BackColumns());
  const uint64_t begin = BlocksBytesFor(from);
  const uint64_t length = BlocksBytesFor(to) - begin;
  THERMOCLINE_RETURN_IF_ERROR(blocks_file_.Allocate(begin, length));
  blocks_map_.Populate(begin, length);
  return Status::Ok();
}

Status Segment::BackLog(uint64_t from, uint64_t to, uint64_t chunk_bytes) {
  THERMOCLINE_RETURN_IF_ERROR(RefuseIfCut(log_file_, from));
  THERMOCLINE_RETURN_IF_ERROR(log_file_.Allocate(from, to - from, chunk_bytes));
  log_map_.Populate(from, to - from);
  return Status::Ok();
}

Status Segment::ClearRebuiltColumns() {
  // After a loss of power what a process backed without a sync may be holes again.
  THERMOCLINE_RETURN_IF_ERROR(BackColumns());
  // born, died and record lie side by side.
  std::memset(blocks_map_.data() + layout_.born_offset, 0, layout_.created_at_offset - layout_.born_offset);
  return Status::Ok();
}

const float* Segment::PrivateEmbeddings() {
  const std::lock_guard<std::mutex> guard(private_mutex_);
  if (!private_map_.mapped()) {
    Result<io::Mapping> map =
        io::Mapping::Map(blocks_file_, 0, layout_.file_bytes, io::Mapping::Kind::kPrivate, watch_);
    if (!map.ok()) return nullptr;
    private_map_ = std::move(*map);
    private_embeddings_.store(private_map_.data() + layout_.embedding_offset, std::memory_order_relaxed);
  }
  return reinterpret_cast<const float*>(private_map_.data() + layout_.embedding_offset);
}

}  // namespace thermocline::store
