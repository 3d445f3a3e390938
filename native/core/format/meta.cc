#include "core/format/meta.h"

#include <algorithm>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"

namespace thermocline::format {
namespace {

constexpr uint64_t kCrcFrom = offsetof(MetaHeader, length);

Status Corrupt(uint64_t offset) { return Status::Corrupt(FileRole::kMeta, 0, offset); }

bool SaneSegment(const SegmentEntry& entry, uint32_t next_segment) {
  return entry.number != 0 && entry.number < next_segment && entry.slots > 0 && entry.slots <= kWriteOperationsMax &&
         entry.log_capacity >= kHeaderBytes && entry.log_capacity < (uint64_t{1} << 34) &&
         (entry.log_end == 0 || entry.log_end >= kHeaderBytes) && entry.log_end <= entry.log_capacity &&
         entry.log_end % 8 == 0;
}

bool AnyNumberTwice(const std::vector<SegmentEntry>& segments) {
  std::vector<uint32_t> numbers;
  for (const SegmentEntry& entry : segments) numbers.push_back(entry.number);
  std::sort(numbers.begin(), numbers.end());
  return std::adjacent_find(numbers.begin(), numbers.end()) != numbers.end();
}

}  // namespace

int Meta::IndexOf(SegmentNumber segment) const {
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].number == Raw(segment)) return static_cast<int>(i);
  }
  return -1;
}

bool Meta::Before(Position a, Position b) const {
  if (a.segment() == b.segment()) return a.offset() < b.offset();
  return IndexOf(a.segment()) < IndexOf(b.segment());
}

void Meta::NotePromises() {
  if (watermark.none()) watermark = Position(static_cast<SegmentNumber>(segments.front().number), kHeaderBytes);
}

SegmentNumber Meta::ReplacedBy(SegmentNumber segment) const {
  uint32_t now = Raw(segment);
  // In file order, each entry once: a file whose entries go round must not hang its reader.
  for (const ReplacedEntry& entry : replaced) {
    if (entry.first <= now && now <= entry.last && IndexOf(static_cast<SegmentNumber>(now)) < 0) now = entry.by;
  }
  return now == Raw(segment) ? SegmentNumber::kNone : static_cast<SegmentNumber>(now);
}

void Meta::Replace(const std::vector<uint32_t>& numbers, uint32_t by) {
  for (ReplacedEntry& entry : replaced) {
    if (std::find(numbers.begin(), numbers.end(), entry.by) != numbers.end()) entry.by = by;
  }
  for (const uint32_t number : numbers) replaced.push_back({number, number, by, 0});
  // A number is replaced once, so ranges never overlap; those that lead to one segment and have no listed one between
  // them become one. Numbers between that nobody knows, of copies that were given up for one, never come again.
  const auto is_listed_between = [this](uint32_t low, uint32_t high) {
    return std::any_of(segments.begin(), segments.end(),
                       [&](const SegmentEntry& entry) { return low < entry.number && entry.number < high; });
  };
  std::sort(replaced.begin(), replaced.end(),
            [](const ReplacedEntry& a, const ReplacedEntry& b) { return a.first < b.first; });
  std::vector<ReplacedEntry> joined;
  for (const ReplacedEntry& entry : replaced) {
    if (!joined.empty() && joined.back().by == entry.by && !is_listed_between(joined.back().last, entry.first)) {
      joined.back().last = entry.last;
    } else {
      joined.push_back(entry);
    }
  }
  replaced = std::move(joined);
}

bool CheckTlv(std::span<const char> bytes) {
  uint64_t at = 0;
  while (at < bytes.size()) {
    if (bytes.size() - at < sizeof(TlvHeader)) return false;
    TlvHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    if ((header.flags & kTlvCritical) != 0) return false;  // this version knows no type
    at += sizeof header;
    const uint64_t room = bytes.size() - at;
    if (RoundUp(header.length, 8) > room) return false;
    at += RoundUp(header.length, 8);
  }
  return true;
}

std::string EncodeMeta(const Meta& meta) {
  MetaHeader header{};
  header.magic = kMetaMagic;
  header.version = kFormatVersion;
  header.header_bytes = sizeof header;
  header.features_compatible = meta.features_compatible;
  header.features_read_only = meta.features_read_only;
  header.store_id = meta.store_id;
  header.salt = meta.salt;
  header.dimensions = meta.dimensions;
  header.metric = static_cast<uint32_t>(meta.metric);
  header.epoch = meta.epoch;
  header.list_generation = meta.list_generation;
  header.watermark = meta.watermark.raw();
  header.watermark_sequence = meta.watermark_sequence;
  header.checkpoint = meta.checkpoint.raw();
  header.changes_floor = meta.changes_floor;
  header.created_at = meta.created_at;
  header.next_segment = meta.next_segment;
  header.segment_count = static_cast<uint32_t>(meta.segments.size());
  header.replaced_count = static_cast<uint32_t>(meta.replaced.size());
  header.tlv_bytes = static_cast<uint32_t>(meta.tlv.size());
  const size_t length = sizeof header + meta.segments.size() * sizeof(SegmentEntry) +
                        meta.replaced.size() * sizeof(ReplacedEntry) + meta.tlv.size();
  header.length = static_cast<uint32_t>(length);

  std::string bytes(length, '\0');
  char* at = bytes.data() + sizeof header;
  for (const SegmentEntry& entry : meta.segments) {
    std::memcpy(at, &entry, sizeof entry);
    at += sizeof entry;
  }
  for (const ReplacedEntry& entry : meta.replaced) {
    std::memcpy(at, &entry, sizeof entry);
    at += sizeof entry;
  }
  if (!meta.tlv.empty()) std::memcpy(at, meta.tlv.data(), meta.tlv.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  header.crc = Crc32c(0, bytes.data() + kCrcFrom, length - kCrcFrom);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Result<Meta> DecodeMeta(std::span<const char> bytes) {
  MetaHeader header;
  if (bytes.size() < sizeof header) return ErrorCode::kNotAStore;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kMetaMagic) return ErrorCode::kNotAStore;
  if (header.length != bytes.size()) return Corrupt(offsetof(MetaHeader, length));
  if (header.crc != Crc32c(0, bytes.data() + kCrcFrom, bytes.size() - kCrcFrom)) return Corrupt(0);
  if (header.version != kFormatVersion || header.features_incompatible != 0 || header.features_read_only != 0) {
    return Status::Error(ErrorCode::kVersion).set_value(header.version);
  }
  if (header.header_bytes != sizeof header) return Corrupt(offsetof(MetaHeader, header_bytes));
  // The counts are bounded by 32 bits and the sizes by small constants, so the sum cannot overflow.
  const uint64_t expected = sizeof header + uint64_t{header.segment_count} * sizeof(SegmentEntry) +
                            uint64_t{header.replaced_count} * sizeof(ReplacedEntry) + header.tlv_bytes;
  if (expected != bytes.size()) return Corrupt(offsetof(MetaHeader, segment_count));
  if (header.dimensions == 0 || header.dimensions > kDimensionsMax) return Corrupt(offsetof(MetaHeader, dimensions));
  if (header.metric > static_cast<uint32_t>(Metric::kL2)) return Corrupt(offsetof(MetaHeader, metric));
  if (header.segment_count == 0) return Corrupt(offsetof(MetaHeader, segment_count));

  Meta meta;
  meta.store_id = header.store_id;
  meta.salt = header.salt;
  meta.dimensions = header.dimensions;
  meta.metric = static_cast<Metric>(header.metric);
  meta.epoch = header.epoch;
  meta.list_generation = header.list_generation;
  meta.watermark = Position(header.watermark);
  meta.watermark_sequence = header.watermark_sequence;
  meta.checkpoint = Position(header.checkpoint);
  meta.changes_floor = header.changes_floor;
  meta.created_at = header.created_at;
  meta.next_segment = header.next_segment;
  meta.features_compatible = header.features_compatible;
  const char* at = bytes.data() + sizeof header;
  meta.segments.resize(header.segment_count);
  for (SegmentEntry& entry : meta.segments) {
    std::memcpy(&entry, at, sizeof entry);
    at += sizeof entry;
    if (!SaneSegment(entry, header.next_segment)) return Corrupt(static_cast<uint64_t>(at - bytes.data()));
  }
  if (AnyNumberTwice(meta.segments)) return Corrupt(sizeof header);
  meta.replaced.resize(header.replaced_count);
  for (ReplacedEntry& entry : meta.replaced) {
    std::memcpy(&entry, at, sizeof entry);
    at += sizeof entry;
  }
  meta.tlv.assign(at, header.tlv_bytes);
  if (!CheckTlv(meta.tlv)) return Status::Error(ErrorCode::kVersion);
  return meta;
}

}  // namespace thermocline::format
