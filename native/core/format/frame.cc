#include "core/format/frame.h"

#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/format/meta.h"

namespace thermocline::format {
namespace {

constexpr uint64_t kHeaderCrcFrom = 8;

uint32_t HeaderCrc(const FrameHeader& header, uint32_t seed) {
  return Crc32c(seed, reinterpret_cast<const char*>(&header) + kHeaderCrcFrom, sizeof header - kHeaderCrcFrom);
}

/// `rest`: what follows the header, up to the record's length.
uint32_t RecordCrc(RecordHeader header, const char* rest, uint32_t seed) {
  header.crc = 0;
  return Crc32c(Crc32c(seed, &header, sizeof header), rest, header.length - sizeof header);
}

}  // namespace

uint32_t FrameSeed(const Salt& salt, Position position) {
  const uint64_t words[3] = {salt.low, salt.high, position.raw()};
  return Crc32c(0, words, sizeof words);
}

uint32_t BlockSeed(const Salt& salt, SegmentNumber segment, Slot slot) {
  const uint64_t words[3] = {salt.low, salt.high, (static_cast<uint64_t>(Raw(segment)) << 32) | Raw(slot)};
  return Crc32c(1, words, sizeof words);
}

void SealFrame(FrameHeader& header, uint32_t seed, const void* body) {
  header.body_crc = Crc32c(seed, body, header.body_bytes);
  header.header_crc = HeaderCrc(header, seed);
}

std::optional<FrameHeader> DecodeFrameHeader(std::span<const char> bytes, uint32_t seed) {
  FrameHeader header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != kFrameMagic || header.header_crc != HeaderCrc(header, seed)) return std::nullopt;
  if (header.body_bytes > kFrameBytesMax || header.body_bytes % 8 != 0 ||
      header.body_bytes > bytes.size() - sizeof header || header.record_bytes > header.body_bytes ||
      header.record_bytes % 8 != 0) {
    return std::nullopt;
  }
  const bool records = header.kind == static_cast<uint16_t>(FrameKind::kRecords);
  const bool known = records || header.kind == static_cast<uint16_t>(FrameKind::kImage) ||
                     header.kind == static_cast<uint16_t>(FrameKind::kEpoch);
  // Only frames of records carry sequences; at least one record of at least a header each.
  if (!known || records != (header.record_count > 0) || records != (header.record_bytes > 0) ||
      header.record_count > header.record_bytes / sizeof(RecordHeader)) {
    return std::nullopt;
  }
  return header;
}

bool CheckFrameBody(const FrameHeader& header, std::span<const char> bytes, uint32_t seed) {
  return IsPlanted(Fault::kFrameCheckLeftOut) ||
         header.body_crc == Crc32c(seed, bytes.data() + sizeof header, header.body_bytes);
}

std::optional<RecordView> DecodeRecord(std::span<const char> bytes) {
  RecordView view;
  if (bytes.size() < sizeof view.header) return std::nullopt;
  std::memcpy(&view.header, bytes.data(), sizeof view.header);  // once: the file can change under us
  const RecordHeader& header = view.header;
  if (header.length > bytes.size() || header.length % 8 != 0) return std::nullopt;
  // Each term is below 2^32, so the sum is exact in 64 bits.
  const uint64_t used = sizeof header + uint64_t{header.id_bytes} + header.content_bytes + header.metadata_bytes;
  if (RoundUp(used, 8) + header.tlv_bytes != header.length || header.tlv_bytes % 8 != 0) return std::nullopt;
  if (header.id_bytes == 0 || header.id_bytes > kIdBytesMax || header.content_bytes > kContentBytesMax ||
      header.metadata_bytes > kMetadataBytesMax || (header.flags & ~kKnownRecordFlags) != 0) {
    return std::nullopt;
  }
  const bool deletion = header.kind == static_cast<uint8_t>(RecordKind::kDelete);
  if (!deletion && header.kind != static_cast<uint8_t>(RecordKind::kPut) &&
      header.kind != static_cast<uint8_t>(RecordKind::kUpdate)) {
    return std::nullopt;
  }
  if (deletion != (header.slot == kNoSlot)) return std::nullopt;
  if (deletion && (header.flags & kHasEmbedding) != 0) return std::nullopt;  // an embedding needs a slot
  if (!CheckTlv(bytes.subspan(RoundUp(used, 8), header.tlv_bytes))) return std::nullopt;
  const char* at = bytes.data() + sizeof header;
  view.id = {at, header.id_bytes};
  at += header.id_bytes;
  view.content = {at, header.content_bytes};
  at += header.content_bytes;
  view.metadata = {at, header.metadata_bytes};
  view.tlv = {bytes.data() + RoundUp(used, 8), header.tlv_bytes};
  return view;
}

uint64_t RecordBytes(const RecordParts& parts) {
  return RoundUp(sizeof(RecordHeader) + parts.id.size() + parts.content.size() + parts.metadata.size(), 8) +
         parts.tlv.size();
}

void EncodeRecord(const RecordParts& parts, char* out) {
  const uint64_t length = RecordBytes(parts);
  RecordHeader header{};
  header.length = static_cast<uint32_t>(length);
  header.kind = static_cast<uint8_t>(parts.kind);
  header.flags =
      static_cast<uint8_t>((parts.has_embedding ? kHasEmbedding : 0) | (parts.has_content ? kHasContent : 0) |
                           (parts.content_ascii ? kContentAscii : 0) | (parts.metadata_ascii ? kMetadataAscii : 0));
  header.id_bytes = static_cast<uint16_t>(parts.id.size());
  header.slot = kNoSlot;
  header.created_at = parts.created_at;
  header.confidence = parts.confidence;
  header.content_bytes = static_cast<uint32_t>(parts.content.size());
  header.metadata_bytes = static_cast<uint32_t>(parts.metadata.size());
  header.tlv_bytes = static_cast<uint32_t>(parts.tlv.size());
  char* const extensions = out + length - parts.tlv.size();
  std::memset(extensions - 8, 0, 8);  // padding first: the parts overwrite what is not padding
  std::memcpy(out, &header, sizeof header);
  char* at = out + sizeof header;
  std::memcpy(at, parts.id.data(), parts.id.size());
  at += parts.id.size();
  if (!parts.content.empty()) std::memcpy(at, parts.content.data(), parts.content.size());
  at += parts.content.size();
  if (!parts.metadata.empty()) std::memcpy(at, parts.metadata.data(), parts.metadata.size());
  if (!parts.tlv.empty()) std::memcpy(extensions, parts.tlv.data(), parts.tlv.size());
}

void SealRecord(char* record, uint32_t seed) {
  RecordHeader header;
  std::memcpy(&header, record, sizeof header);
  header.crc = RecordCrc(header, record + sizeof header, seed);
  std::memcpy(record, &header, sizeof header);
}

bool CheckRecord(const RecordView& record, uint32_t seed) {
  if (IsPlanted(Fault::kRecordCheckLeftOut)) return true;
  return record.header.crc == RecordCrc(record.header, record.id.data(), seed);  // the id follows the header
}

bool IsAscii(std::string_view text) {
  const char* at = text.data();
  size_t left = text.size();
  uint64_t seen[4] = {};  // four at a time, so that the compiler uses vectors
  for (; left >= sizeof seen; left -= sizeof seen, at += sizeof seen) {
    uint64_t words[4];
    std::memcpy(words, at, sizeof words);
    for (size_t i = 0; i < 4; ++i) seen[i] |= words[i];
  }
  uint64_t all = seen[0] | seen[1] | seen[2] | seen[3];
  for (; left > 0; --left, ++at) all |= static_cast<unsigned char>(*at);
  return (all & 0x8080808080808080ull) == 0;
}

}  // namespace thermocline::format
