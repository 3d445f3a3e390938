// Reads a store that nothing is believed of, by checksums alone. Kept in one file, because its steps share what they
// found and follow one another once.
//
// What is needed: the logs. `meta` gives the list, the salt, dimensions and metric, and the ends of logs. Without it
// the logs are found by name and ordered by the sequences in them; the salt's share of every checksum is computed from
// a frame (a CRC can be run backwards) and confirmed by the others; dimensions come from the headers of the blocks
// files. Then the metric is lost (cosine is taken), and what compaction was about to drop may come back. Records hold
// by their own checksum, so a damaged frame costs the records that are damaged, not its neighbours. An embedding is
// taken from its block or, when that does not hold, from the newest image of it in the logs. Commit order decides which
// write of an id is the newest: list order, then log order; sequences ascend along it. Where they fall at the beginning
// of a log, the end of the logs before was written by writers who died before their commit. What is lost cannot be
// seen: when an id's newest write is, the one before it shows, and a lost deletion revives.

#include "core/store/salvage.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/format/blocks.h"
#include "core/format/meta.h"
#include "core/io/file.h"
#include "core/io/mapping.h"
#include "core/io/system.h"
#include "core/store/copy.h"
#include "core/store/file_names.h"
#include "core/store/log_scan.h"
#include "core/store/segment.h"

namespace thermocline::store {
namespace {

// Numbers beyond this are not ours: JavaScript could not hold them.
constexpr Sequence kSequenceMax = uint64_t{1} << 53;
// How many frames are tried for the salt's share before the store is given up.
constexpr int kSeedsTriedMax = 64;

/// A file's bytes, mapped read-only; empty when it cannot be read.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(const io::File& directory, const char* name, FileRole role) {
    Result<io::File> file = io::File::Open(directory, name, io::File::Mode::kRead, role);
    if (!file.ok()) return;
    const Result<uint64_t> size = file->Size();
    if (!size.ok() || *size == 0) return;
    Result<io::Mapping> map = io::Mapping::Map(*file, 0, *size, io::Mapping::Kind::kSharedReadOnly);
    if (map.ok()) map_ = std::move(*map);
  }
  std::span<const char> bytes() const { return {map_.data(), map_.length()}; }

 private:
  io::Mapping map_;
};

struct Part {
  SegmentNumber number{};
  uint32_t slots = 0;    // as the list says, 0: not listed
  uint64_t log_end = 0;  // as the list says, 0: open, or not known
  MappedFile log;
  MappedFile blocks;
  std::optional<format::BlocksHeader> layout;
};

struct Item {
  Sequence sequence;
  uint32_t part;
  uint64_t offset;
};

class Salvager {
 public:
  Result<SalvageResult> Run(const std::string& from, const std::string& to);

 private:
  Status OpenFrom(const std::string& from, const std::string& to);
  void ReadMeta();
  void MapParts(const std::vector<std::string>& names);
  Part MapPart(uint32_t number, const format::SegmentEntry* entry) const;
  bool FindSeeds();
  uint64_t FramesThatHold(const SeedState& seeds) const;
  void FindDescription();
  void FindLayouts();
  void SortParts();
  void ScanPart(uint32_t part);
  void ScanRecords(uint32_t part, const LogScan& scan, uint64_t begin, uint64_t end, uint64_t expected);
  void NoteImages(const LogScan& scan, const ScannedFrame& frame);
  void NoteRecord(uint32_t part, uint64_t offset, const format::RecordView& record);
  void CountMissing();
  std::optional<format::RecordView> RecordOf(const Item& item) const;
  const float* EmbeddingOf(const Item& item, const format::RecordView& record) const;
  Status Write(const std::string& to);
  Status WriteMemory(StoreCopy& copy, const Item& item, const format::RecordView& record);

  io::File directory_;
  std::optional<format::Meta> meta_;
  std::string meta_bytes_;  // of a meta that does not hold
  CopyDescription description_;
  SeedState seeds_;
  std::vector<Part> parts_;
  std::vector<Item> items_;                                   // in commit order
  std::map<uint64_t, std::vector<std::string_view>> images_;  // by segment and slot, newest last
  Sequence durable_ = 0;  // highest sequence that any flush is known to have covered
  uint64_t damage_ = 0;   // records, or stretches that held at least one, where sequences cannot tell how many
  SalvageResult result_;
};

Status Salvager::OpenFrom(const std::string& from, const std::string& to) {
  Result<io::PathKind> kind = io::KindOfPath(from.c_str());
  if (!kind.ok()) return kind.status();
  if (*kind == io::PathKind::kAbsent) return Status::Error(ErrorCode::kNotFound);
  if (*kind == io::PathKind::kOther) return Status::Error(ErrorCode::kNotAStore);
  Result<io::File> directory = io::File::OpenDirectory(from.c_str());
  if (!directory.ok()) return directory.status();
  directory_ = std::move(*directory);
  // A copy inside would change what it is made from.
  const Result<io::File> parent = io::File::OpenDirectory(SplitPath(to).parent.c_str());
  if (!parent.ok()) return parent.status();
  const Result<io::FileIdentity> here = directory_.Identity();
  const Result<io::FileIdentity> there = parent->Identity();
  if (here.ok() && there.ok() && *here == *there) return Status::Error(ErrorCode::kArgumentRange);
  return Status::Ok();
}

/// The list if any `meta` holds, else the bytes of what is left of one.
void Salvager::ReadMeta() {
  for (const char* name : {"meta", "meta.new"}) {
    const MappedFile file(directory_, name, FileRole::kMeta);
    Result<format::Meta> meta = format::DecodeMeta(file.bytes());
    if (meta.ok()) {
      meta_ = std::move(*meta);
      return;
    }
    if (meta_bytes_.empty()) meta_bytes_.assign(file.bytes().begin(), file.bytes().end());
  }
}

Part Salvager::MapPart(uint32_t number, const format::SegmentEntry* entry) const {
  Part part;
  part.number = static_cast<SegmentNumber>(number);
  if (entry != nullptr) {
    part.slots = entry->slots;
    part.log_end = entry->log_end;
  }
  part.log = MappedFile(directory_, LogFileName(part.number).text, FileRole::kLog);
  part.blocks = MappedFile(directory_, BlocksFileName(part.number).text, FileRole::kBlocks);
  return part;
}

void Salvager::MapParts(const std::vector<std::string>& names) {
  if (meta_) {
    for (const format::SegmentEntry& entry : meta_->segments) parts_.push_back(MapPart(entry.number, &entry));
    return;
  }
  std::vector<uint32_t> numbers;
  for (const std::string& name : names) numbers.push_back(SegmentOfFileName(name));
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  for (const uint32_t number : numbers) {
    if (number != 0) parts_.push_back(MapPart(number, nullptr));
  }
}

uint64_t Salvager::FramesThatHold(const SeedState& seeds) const {
  uint64_t held = 0;
  for (const Part& part : parts_) {
    const LogScan scan(part.log.bytes(), part.number, seeds);
    for (uint64_t at = format::kHeaderBytes; const auto frame = scan.NextFrame(at);) {
      held += frame->body_holds ? 1 : 0;
      at = frame->offset + sizeof frame->header + frame->header.body_bytes;
    }
  }
  return held;
}

/// Without a meta that holds: the salt of a damaged one if frames confirm it, else what most frames agree on.
bool Salvager::FindSeeds() {
  if (meta_) {
    seeds_ = SeedState::Of(meta_->salt);
    return true;
  }
  uint64_t best = 0;
  const auto consider = [&](const SeedState& seeds) {
    const uint64_t held = FramesThatHold(seeds);
    if (held > best) seeds_ = seeds;
    best = std::max(best, held);
  };
  if (meta_bytes_.size() >= sizeof(format::MetaHeader)) {
    format::MetaHeader header;
    std::memcpy(&header, meta_bytes_.data(), sizeof header);
    consider(SeedState::Of(header.salt));
  }
  int tried = 0;
  std::vector<uint32_t> seen;
  for (const Part& part : parts_) {
    const std::span<const char> log = part.log.bytes();
    for (uint64_t at = format::kHeaderBytes; at + sizeof(format::FrameHeader) <= log.size(); at += 8) {
      format::FrameHeader header;
      std::memcpy(&header, log.data() + at, sizeof header);
      if (header.magic != format::kFrameMagic) continue;
      constexpr size_t kCovered = offsetof(format::FrameHeader, body_crc);
      const uint32_t seed = Crc32cSeedOf(header.header_crc, log.data() + at + kCovered, sizeof header - kCovered);
      const uint64_t position = Position(part.number, at).raw();
      const uint32_t frames = Crc32cSeedOf(seed, &position, sizeof position);
      if (std::find(seen.begin(), seen.end(), frames) != seen.end()) continue;
      seen.push_back(frames);
      consider(SeedState::OfFrames(frames));
      if (++tried == kSeedsTriedMax) return best > 0;
      if (best > 1) return true;  // two frames do not agree by chance
    }
  }
  return best > 0;
}

/// Dimensions, metric and the like: of the list, of a damaged one where they are plausible, of the blocks files.
void Salvager::FindDescription() {
  description_.created_at = io::NowUnixMilliseconds();
  if (meta_) {
    description_.dimensions = meta_->dimensions;
    description_.metric = meta_->metric;
    description_.created_at = meta_->created_at;
    description_.features_compatible = meta_->features_compatible;
    description_.tlv = meta_->tlv;
    return;
  }
  for (const Part& part : parts_) {
    const auto layout = format::DecodeBlocksHeader(part.blocks.bytes());
    if (layout && description_.dimensions == 0) description_.dimensions = layout->dimensions;
  }
  if (meta_bytes_.size() >= sizeof(format::MetaHeader)) {
    format::MetaHeader header;
    std::memcpy(&header, meta_bytes_.data(), sizeof header);
    if (header.metric <= static_cast<uint32_t>(format::Metric::kL2)) {
      description_.metric = static_cast<format::Metric>(header.metric);
    }
    const bool plausible = header.dimensions > 0 && header.dimensions <= kDimensionsMax;
    if (description_.dimensions == 0 && plausible) description_.dimensions = header.dimensions;
  }
  if (description_.dimensions == 0) description_.dimensions = 1;  // no embedding can be read then
}

/// Where the columns lie: as the header says if it holds, else as the list says.
void Salvager::FindLayouts() {
  for (Part& part : parts_) {
    const auto layout = format::DecodeBlocksHeader(part.blocks.bytes());
    if (layout && layout->segment == Raw(part.number) && layout->dimensions == description_.dimensions) {
      part.layout = layout;
    } else if (part.slots != 0) {
      // As segments are made today. Of one from before sketches the embeddings' checksums then fail, which is a loss
      // said.
      part.layout =
          format::MakeBlocksHeader({}, part.number, part.slots, description_.dimensions, format::SketchKind::kRabitq1);
    }
  }
}

/// Without a list: by the first sequence in each log.
void Salvager::SortParts() {
  if (meta_) return;
  const auto first_of = [this](const Part& part) {
    const LogScan scan(part.log.bytes(), part.number, seeds_);
    for (uint64_t at = format::kHeaderBytes; const auto frame = scan.NextFrame(at);) {
      if (frame->header.record_count > 0) return frame->header.first_sequence;
      at = frame->offset + sizeof frame->header + frame->header.body_bytes;
    }
    return UINT64_MAX;
  };
  std::vector<std::pair<Sequence, size_t>> order;
  for (size_t i = 0; i < parts_.size(); ++i) order.emplace_back(first_of(parts_[i]), i);
  std::sort(order.begin(), order.end());
  std::vector<Part> sorted;
  for (const auto& [first, index] : order) sorted.push_back(std::move(parts_[index]));
  parts_ = std::move(sorted);
}

void Salvager::ScanPart(uint32_t index) {
  const Part& part = parts_[index];
  std::span<const char> log = part.log.bytes();
  if (part.log_end != 0) log = log.first(std::min<uint64_t>(log.size(), part.log_end));
  const LogScan scan(log, part.number, seeds_);
  uint64_t at = format::kHeaderBytes;
  while (const std::optional<ScannedFrame> frame = scan.NextFrame(at)) {
    if (frame->offset > at) ScanRecords(index, scan, at, frame->offset, 1);
    const uint64_t body = frame->offset + sizeof frame->header;
    ScanRecords(index, scan, body, body + frame->header.record_bytes, frame->header.record_count);
    NoteImages(scan, *frame);
    durable_ = std::max(durable_, std::min(frame->header.durable, kSequenceMax));
    at = body + frame->header.body_bytes;
  }
  // Behind the last frame: damage if more is known to have been there, else the ordinary end of a log.
  uint64_t end = part.log_end;
  if (meta_ && meta_->watermark.segment() == part.number) end = std::max(end, meta_->watermark.offset());
  if (at < end) ScanRecords(index, scan, at, std::min<uint64_t>(end, std::max<uint64_t>(at, log.size())), 1);
  // A log that is listed and not there, of whose end nobody knows: no sequence behind it tells of what it held.
  if (meta_ && end == 0 && log.empty()) damage_ += 1;
}

/// The records that hold in a stretch, of which `expected` should be there, or at least that many.
void Salvager::ScanRecords(uint32_t part, const LogScan& scan, uint64_t begin, uint64_t end, uint64_t expected) {
  const Sequence floor = meta_ ? meta_->changes_floor : UINT64_MAX;
  uint64_t found = 0;
  scan.Records(
      begin, end,
      [&](uint64_t offset, const format::RecordView& record) {
        ++found;
        NoteRecord(part, offset, record);
      },
      [](uint64_t, uint64_t) {});
  // Above the floor the missing sequences are counted; below it sequences are missing anyway.
  const Sequence last = items_.empty() ? 0 : items_.back().sequence;
  if (last < floor) damage_ += expected - std::min(expected, found);
}

void Salvager::NoteRecord(uint32_t part, uint64_t offset, const format::RecordView& record) {
  const Sequence sequence = record.header.sequence;
  if (sequence == 0 || sequence > kSequenceMax) return;
  while (!items_.empty() && items_.back().sequence >= sequence) {
    if (items_.back().part == part) return;  // within a log sequences ascend: this is a copy that holds by chance
    items_.pop_back();
  }
  items_.push_back({sequence, part, offset});
}

/// Images are judged by the record that they belong to, so a frame that does not hold may still give some.
void Salvager::NoteImages(const LogScan& scan, const ScannedFrame& frame) {
  const uint64_t end = frame.offset + sizeof frame.header + frame.header.body_bytes;
  uint64_t at = frame.offset + sizeof frame.header + frame.header.record_bytes;
  for (uint32_t i = 0; i < frame.header.image_count; ++i) {
    format::ImageHeader image;
    if (end - at < sizeof image) return;
    std::memcpy(&image, scan.log().data() + at, sizeof image);
    const uint64_t bytes = sizeof image + uint64_t{image.sketch_bytes} + image.embedding_bytes;
    if (bytes > end - at) return;
    if (image.embedding_bytes != 0) {
      images_[(uint64_t{image.segment} << 32) | image.slot].emplace_back(
          scan.log().data() + at + sizeof image + image.sketch_bytes, image.embedding_bytes);
    }
    at += std::min(format::RoundUp(bytes, 8), end - at);
  }
}

void Salvager::CountMissing() {
  result_.lost = damage_;
  if (!meta_) return;  // what compaction dropped cannot be told from what is lost
  Sequence expected = meta_->changes_floor + 1;
  for (const Item& item : items_) {
    if (item.sequence < expected) continue;
    result_.lost += item.sequence - expected;
    expected = item.sequence + 1;
  }
  const Sequence durable = std::max(durable_, std::min(meta_->watermark_sequence, kSequenceMax));
  if (durable >= expected) result_.lost += durable - expected + 1;
}

/// Read again, because another process may change the file.
std::optional<format::RecordView> Salvager::RecordOf(const Item& item) const {
  const Part& part = parts_[item.part];
  const std::span<const char> log = part.log.bytes();
  if (item.offset > log.size()) return std::nullopt;
  const auto record = format::DecodeRecord(log.subspan(item.offset));
  const uint32_t seed = seeds_.FrameSeed(Position(part.number, item.offset));
  return record && format::CheckRecord(*record, seed) ? record : std::nullopt;
}

const float* Salvager::EmbeddingOf(const Item& item, const format::RecordView& record) const {
  const Part& part = parts_[item.part];
  const uint64_t size = uint64_t{description_.dimensions} * sizeof(float);
  const uint32_t seed = seeds_.BlockSeed(part.number, record.slot());
  const auto holds = [&](const char* bytes) { return Crc32c(seed, bytes, size) == record.header.embedding_crc; };
  if (part.layout && Raw(record.slot()) < part.layout->slots) {
    const uint64_t at = part.layout->embedding_offset + size * Raw(record.slot());
    const std::span<const char> blocks = part.blocks.bytes();
    if (at + size <= blocks.size() && holds(blocks.data() + at)) {
      return reinterpret_cast<const float*>(blocks.data() + at);  // columns lie at multiples of 64 KiB
    }
  }
  const auto images = images_.find((uint64_t{Raw(part.number)} << 32) | Raw(record.slot()));
  if (images == images_.end()) return nullptr;
  for (size_t i = images->second.size(); i-- > 0;) {
    const std::string_view image = images->second[i];
    // Records and images lie at multiples of 8 in the log.
    if (image.size() == size && holds(image.data())) return reinterpret_cast<const float*>(image.data());
  }
  return nullptr;
}

Status Salvager::WriteMemory(StoreCopy& copy, const Item& item, const format::RecordView& record) {
  PutInput put;
  put.id = record.id;
  put.has_content = record.has(format::kHasContent);
  put.content = record.content;
  put.metadata = record.metadata;
  put.tlv = record.tlv;
  put.created_at = record.header.created_at;
  put.confidence = record.header.confidence;
  put.last_access = put.created_at;
  const Part& part = parts_[item.part];
  if (part.layout && Raw(record.slot()) < part.layout->slots) {
    const uint64_t at = part.layout->statistics_offset + sizeof(format::Statistics) * Raw(record.slot());
    if (at + sizeof(format::Statistics) <= part.blocks.bytes().size()) {
      format::Statistics statistics;
      std::memcpy(&statistics, part.blocks.bytes().data() + at, sizeof statistics);
      // No checksum covers them: what cannot be is not taken.
      const bool sane = std::isfinite(statistics.activation) && statistics.activation >= 0 &&
                        std::isfinite(statistics.last_access) && statistics.recall_count < kSequenceMax;
      if (sane) {
        put.activation = statistics.activation;
        put.last_access = statistics.last_access;
        put.recall_count = statistics.recall_count;
      }
    }
  }
  if (record.has(format::kHasEmbedding)) {
    const float* embedding = EmbeddingOf(item, record);
    if (embedding != nullptr) put.embedding = {embedding, description_.dimensions};
    if (embedding == nullptr) ++result_.lost;
  }
  // A record that no writer of ours made, though its checksum holds.
  if (!CheckPut(put, description_.dimensions).ok()) {
    ++result_.lost;
    return Status::Ok();
  }
  return copy.Put(put, item.sequence);
}

Status Salvager::Write(const std::string& to) {
  std::unordered_map<std::string, size_t> newest;
  for (size_t i = 0; i < items_.size(); ++i) {
    const auto record = RecordOf(items_[i]);
    if (record) newest[std::string(record->id)] = i;
  }
  description_.expected_memories = newest.size();
  Result<std::unique_ptr<StoreCopy>> copy = StoreCopy::Begin(to, description_);
  if (!copy.ok()) return copy.status();
  for (size_t i = 0; i < items_.size(); ++i) {
    const auto record = RecordOf(items_[i]);
    if (!record) continue;
    const auto found = newest.find(std::string(record->id));
    if (found == newest.end() || found->second != i) continue;
    if (record->kind() != format::RecordKind::kDelete) {
      THERMOCLINE_RETURN_IF_ERROR(WriteMemory(**copy, items_[i], *record));
    } else if (i + 1 == items_.size()) {
      THERMOCLINE_RETURN_IF_ERROR((*copy)->EndWithDeletion(record->id, items_[i].sequence));
    }
  }
  if (meta_ && meta_->changes_floor < kSequenceMax) THERMOCLINE_RETURN_IF_ERROR((*copy)->EndAt(meta_->changes_floor));
  THERMOCLINE_RETURN_IF_ERROR((*copy)->Finish());
  result_.memories = (*copy)->memories();
  return Status::Ok();
}

Result<SalvageResult> Salvager::Run(const std::string& from, const std::string& to) {
  THERMOCLINE_RETURN_IF_ERROR(OpenFrom(from, to));
  Result<std::vector<std::string>> names = io::ListDirectory(directory_);
  if (!names.ok()) return names.status();
  ReadMeta();
  MapParts(*names);
  if (!FindSeeds()) return ErrorCode::kNotAStore;
  FindDescription();
  FindLayouts();
  SortParts();
  for (uint32_t part = 0; part < parts_.size(); ++part) ScanPart(part);
  CountMissing();
  THERMOCLINE_RETURN_IF_ERROR(Write(to));
  return result_;
}

}  // namespace

Result<SalvageResult> Salvage(const std::string& from, const std::string& to) { return Salvager().Run(from, to); }

}  // namespace thermocline::store
