// Decoders of what lies on the disk: any bytes are refused or lead to nothing but themselves.
//
// Checksums would keep a fuzzer out, so every input is read twice: as it is, and with its checksums made to hold.

#include <algorithm>
#include <cstddef>

#include "core/base/crc32c.h"
#include "core/format/blocks.h"
#include "core/format/frame.h"
#include "core/format/image.h"
#include "core/format/meta.h"
#include "core/store/log_scan.h"
#include "fuzz/fuzz.h"

namespace thermocline::fuzz {
namespace {

constexpr format::Salt kSalt{3, 4};
constexpr auto kSegment = static_cast<SegmentNumber>(7);
const Position kPlace(kSegment, format::kHeaderBytes);

void ExpectWithin(const test::ExactCopy& bytes, std::string_view part) {
  if (!part.empty()) EXPECT_TRUE(bytes.Holds(part));
}

void ExpectRecordWithin(const test::ExactCopy& bytes, const format::RecordView& record) {
  EXPECT_LE(record.header.length, bytes.span().size());
  for (const std::string_view part : {record.id, record.content, record.metadata, record.tlv}) {
    ExpectWithin(bytes, part);
  }
}

template <typename Header>
void FixCrc(test::ExactCopy& bytes, size_t crc_at, size_t from, size_t to) {
  if (bytes.span().size() < std::max(sizeof(Header), to) || to < from) return;
  const uint32_t crc = Crc32c(0, bytes.data() + from, to - from);
  std::memcpy(bytes.data() + crc_at, &crc, sizeof crc);
}

// Records -------------------------------------------------------------------------------------------------------------

void ReadRecord(std::span<const char> input) {
  test::ExactCopy bytes = CopyOf(input);
  const uint32_t seed = format::FrameSeed(kSalt, kPlace);
  const auto record = format::DecodeRecord(bytes.span());
  if (!record) return;
  ExpectRecordWithin(bytes, *record);
  static_cast<void>(format::CheckRecord(*record, seed));
  format::SealRecord(bytes.data(), seed);
  const auto sealed = format::DecodeRecord(bytes.span());
  EXPECT_TRUE(sealed.has_value() && format::CheckRecord(*sealed, seed));
  // What was read can be written, and is read again.
  const format::RecordParts parts{.kind = record->kind(),
                                  .id = record->id,
                                  .content = record->content,
                                  .has_content = record->has(format::kHasContent),
                                  .metadata = record->metadata,
                                  .tlv = record->tlv};
  EXPECT_EQ(format::RecordBytes(parts), uint64_t{record->header.length});
  EXPECT_EQ(format::IsAscii(record->content),
            std::all_of(record->content.begin(), record->content.end(),
                        [](char unit) { return static_cast<unsigned char>(unit) < 0x80; }));
}

std::string RecordOf(std::string_view id, std::string_view content, std::string_view metadata, std::string_view tlv,
                     bool deletion = false) {
  format::RecordParts parts;
  parts.id = id;
  parts.content = content;
  parts.has_content = !content.empty();
  parts.metadata = metadata;
  parts.tlv = tlv;
  if (deletion) parts.kind = format::RecordKind::kDelete;
  std::string bytes(format::RecordBytes(parts), '\0');
  format::EncodeRecord(parts, bytes.data());
  format::RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.sequence = 1;
  if (!deletion) header.slot = 3;
  std::memcpy(bytes.data(), &header, sizeof header);
  format::SealRecord(bytes.data(), format::FrameSeed(kSalt, kPlace));
  return bytes;
}

std::string TlvOf(uint16_t flags, std::string_view value) {
  format::TlvHeader header{};
  header.type = 9;
  header.flags = flags;
  header.length = static_cast<uint32_t>(value.size());
  std::string bytes = BytesOf(header) + std::string(value);
  bytes.resize(format::RoundUp(bytes.size(), 8));
  return bytes;
}

std::vector<std::string> RecordSeeds() {
  return {RecordOf("a", "content", R"({"k":1})", ""), RecordOf("b", "", "", TlvOf(0, "extension")),
          RecordOf("c", "", "", "", true), RecordOf("d", "\xC3\xA9", "", TlvOf(0, "") + TlvOf(0, "12345678"))};
}

FUZZ_TARGET(record, ReadRecord, RecordSeeds);

// Frames and whole logs -----------------------------------------------------------------------------------------------

std::string FrameOf(const std::string& records, uint32_t count) {
  format::FrameHeader header{};
  header.magic = format::kFrameMagic;
  header.kind = static_cast<uint16_t>(count > 0 ? format::FrameKind::kRecords : format::FrameKind::kImage);
  header.body_bytes = records.size();
  header.record_bytes = count > 0 ? records.size() : 0;
  header.record_count = count;
  header.image_count = count > 0 ? 0 : 1;
  header.first_sequence = 1;
  format::SealFrame(header, format::FrameSeed(kSalt, kPlace), records.data());
  return BytesOf(header) + records;
}

void ReadFrame(std::span<const char> input) {
  const uint32_t seed = format::FrameSeed(kSalt, kPlace);
  test::ExactCopy bytes = CopyOf(input);
  static_cast<void>(format::DecodeFrameHeader(bytes.span(), seed));
  format::FrameHeader header;
  if (input.size() < sizeof header) return;
  std::memcpy(&header, input.data(), sizeof header);
  if (header.body_bytes <= input.size() - sizeof header) {
    format::SealFrame(header, seed, bytes.data() + sizeof header);
    std::memcpy(bytes.data(), &header, sizeof header);
  }
  const auto read = format::DecodeFrameHeader(bytes.span(), seed);
  if (!read) return;
  EXPECT_TRUE(format::CheckFrameBody(*read, bytes.span(), seed));
  std::span<const char> body = bytes.span().subspan(sizeof header, read->body_bytes);
  std::span<const char> records = body.first(read->record_bytes);
  for (uint32_t i = 0; i < read->record_count; ++i) {
    const auto record = format::DecodeRecord(records);
    if (!record) break;
    ExpectRecordWithin(bytes, *record);
    records = records.subspan(record->header.length);
  }
  std::span<const char> images = body.subspan(read->record_bytes);
  for (uint32_t i = 0; i < read->image_count; ++i) {
    const auto image = format::DecodeImage(images);
    if (!image) break;
    ExpectWithin(bytes, {image->embedding.data(), image->embedding.size()});
    images = images.subspan(image->bytes);
  }
}

std::string ImageOf(uint32_t embedding_bytes) {
  format::ImageHeader header{};
  header.segment = Raw(kSegment);
  header.flags = embedding_bytes > 0 ? format::kHasEmbedding : 0;
  header.embedding_bytes = embedding_bytes;
  std::string bytes(format::ImageBytes(embedding_bytes), '\0');
  const std::string embedding(embedding_bytes, 'e');
  format::EncodeImage(header, embedding.data(), bytes.data());
  return bytes;
}

std::vector<std::string> FrameSeeds() {
  const std::vector<std::string> records = RecordSeeds();
  return {FrameOf(records[0], 1), FrameOf(records[0] + records[1] + records[2], 3), FrameOf(ImageOf(64), 0),
          FrameOf(ImageOf(0), 0)};
}

FUZZ_TARGET(frame, ReadFrame, FrameSeeds);

void ReadImage(std::span<const char> input) {
  const test::ExactCopy bytes = CopyOf(input);
  const auto image = format::DecodeImage(bytes.span());
  if (!image) return;
  EXPECT_LE(image->bytes, input.size());
  ExpectWithin(bytes, {image->embedding.data(), image->embedding.size()});
}

std::vector<std::string> ImageSeeds() { return {ImageOf(64), ImageOf(0)}; }

FUZZ_TARGET(image, ReadImage, ImageSeeds);

/// Salvage: whatever the bytes, every record that it gives lies within them, and so does every stretch of damage.
void ScanLog(std::span<const char> input) {
  const test::ExactCopy bytes = CopyOf(input);
  const store::LogScan scan(bytes.span(), kSegment, store::SeedState::Of(kSalt));
  uint64_t last_end = 0;
  for (uint64_t at = 0; const auto frame = scan.NextFrame(at);) {
    EXPECT_GE(frame->offset, at);
    EXPECT_LE(frame->offset + sizeof frame->header + frame->header.body_bytes, input.size());
    at = frame->offset + 8;
  }
  scan.Records(
      0, input.size(),
      [&](uint64_t offset, const format::RecordView& record) {
        EXPECT_GE(offset, last_end);
        last_end = offset + record.header.length;
        ExpectRecordWithin(bytes, record);
      },
      [&](uint64_t begin, uint64_t end) {
        EXPECT_GE(begin, last_end);
        EXPECT_LT(begin, end);
        last_end = end;
      });
  EXPECT_LE(last_end, input.size());
}

std::vector<std::string> LogSeeds() {
  std::string log(format::kHeaderBytes, '\0');
  for (const std::string& frame : FrameSeeds()) log += frame;
  return {log, log.substr(0, format::kHeaderBytes) + RecordSeeds()[0], RecordSeeds()[1] + RecordSeeds()[1]};
}

FUZZ_TARGET(log, ScanLog, LogSeeds);

// Headers and the segment list ----------------------------------------------------------------------------------------

void ReadHeaders(std::span<const char> input) {
  test::ExactCopy bytes = CopyOf(input);
  for (int turn = 0; turn < 2; ++turn) {
    const auto blocks = format::DecodeBlocksHeader(bytes.span());
    if (blocks) {
      EXPECT_TRUE(blocks->slots > 0);
      EXPECT_GE(blocks->embedding_offset, uint64_t{format::kHeaderBytes});
    }
    static_cast<void>(format::DecodeLogHeader(bytes.span()));
    FixCrc<format::BlocksHeader>(bytes, 8, 16, sizeof(format::BlocksHeader));
    static_cast<void>(format::DecodeBlocksHeader(bytes.span()));
    FixCrc<format::LogHeader>(bytes, 8, 16, sizeof(format::LogHeader));
  }
}

std::vector<std::string> HeaderSeeds() {
  const format::StoreId id{1, 2};
  return {BytesOf(format::MakeBlocksHeader(id, kSegment, 256, 8, format::SketchKind::kRabitq1)),
          BytesOf(format::MakeBlocksHeader(id, kSegment, 16384, 768, format::SketchKind::kRabitq1)),
          BytesOf(format::MakeLogHeader(id, kSegment, 1 << 20))};
}

FUZZ_TARGET(headers, ReadHeaders, HeaderSeeds);

void ReadMeta(std::span<const char> input) {
  test::ExactCopy bytes = CopyOf(input);
  static_cast<void>(format::DecodeMeta(bytes.span()));
  if (input.size() >= sizeof(format::MetaHeader)) {
    const auto length = static_cast<uint32_t>(input.size());
    std::memcpy(bytes.data() + offsetof(format::MetaHeader, length), &length, sizeof length);
  }
  FixCrc<format::MetaHeader>(bytes, offsetof(format::MetaHeader, crc), offsetof(format::MetaHeader, length),
                             input.size());
  const Result<format::Meta> meta = format::DecodeMeta(bytes.span());
  if (!meta.ok()) return;
  EXPECT_TRUE(!meta->segments.empty());
  const std::string again = format::EncodeMeta(*meta);
  const test::ExactCopy encoded{std::string_view(again)};
  const Result<format::Meta> reread = format::DecodeMeta(encoded.span());
  EXPECT_OK(reread);
  if (reread.ok()) EXPECT_TRUE(format::EncodeMeta(*reread) == again);
  for (const format::SegmentEntry& entry : meta->segments) {
    const auto number = static_cast<SegmentNumber>(entry.number);
    EXPECT_GE(meta->IndexOf(number), 0);
    static_cast<void>(meta->Before(meta->watermark, Position(number, format::kHeaderBytes)));
    static_cast<void>(meta->ReplacedBy(number));
  }
}

std::vector<std::string> MetaSeeds() {
  format::Meta meta;
  meta.store_id = {1, 2};
  meta.salt = kSalt;
  meta.dimensions = 8;
  meta.metric = format::Metric::kCosine;
  meta.epoch = 1;
  meta.next_segment = 5;
  format::SegmentEntry entry{};
  entry.number = 1;
  entry.slots = 256;
  entry.log_capacity = 1 << 20;
  meta.segments.push_back(entry);
  const std::string one = format::EncodeMeta(meta);
  entry.number = 4;
  meta.segments[0].log_end = 8192;
  meta.segments.push_back(entry);
  meta.Replace({2, 3}, 4);
  meta.watermark = Position(static_cast<SegmentNumber>(4), format::kHeaderBytes);
  meta.tlv = TlvOf(0, "later");
  return {one, format::EncodeMeta(meta)};
}

FUZZ_TARGET(meta, ReadMeta, MetaSeeds);

}  // namespace
}  // namespace thermocline::fuzz
