// Frames and records of the content log: how they are checked when read and how a record is laid out.
//
// Pure. Bytes are input: each decoder takes the bytes that are really there and answers only about those.
// The reader's rule, in docs/format.md: a frame counts when its header CRC, its bounds, its body CRC and its link to
// the frame before it hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/ids.h"
#include "core/format/layout.h"

namespace thermocline::format {

/// Seed of a frame's CRCs, and of a record's: bytes that were moved to another place do not pass.
uint32_t FrameSeed(const Salt& salt, Position position);
/// Seed of an embedding's CRC.
uint32_t BlockSeed(const Salt& salt, SegmentNumber segment, Slot slot);

/// Fills header_crc and body_crc. `body` is the body as it will be written.
void SealFrame(FrameHeader& header, uint32_t seed, const void* body);

/// The header at the front of `bytes`, if it is one, belongs to this place and its body lies within `bytes`.
/// Does not read the body.
std::optional<FrameHeader> DecodeFrameHeader(std::span<const char> bytes, uint32_t seed);
/// Whether the body that follows the header is the one that was sealed. `bytes` as above.
bool CheckFrameBody(const FrameHeader& header, std::span<const char> bytes, uint32_t seed);

/// A record, pointing into the bytes it was read from.
struct RecordView {
  RecordHeader header;
  std::string_view id;
  std::string_view content;   // meaningful with kHasContent
  std::string_view metadata;  // JSON text, empty: {}
  std::string_view tlv;       // extensions, of later versions

  RecordKind kind() const { return static_cast<RecordKind>(header.kind); }
  bool has(uint8_t flag) const { return (header.flags & flag) != 0; }
  Slot slot() const { return static_cast<Slot>(header.slot); }
};

/// The record at the front of `bytes`, all its parts within it; nullopt when anything is out of bounds or unknown.
std::optional<RecordView> DecodeRecord(std::span<const char> bytes);

/// What a record to be written holds; sequence, previous, slot and the CRCs are patched in later.
struct RecordParts {
  RecordKind kind = RecordKind::kPut;
  std::string_view id;
  std::string_view content;
  bool has_content = false;
  bool has_embedding = false;
  bool content_ascii = false;
  bool metadata_ascii = false;
  std::string_view metadata;
  std::string_view tlv;  // a multiple of 8 bytes
  double created_at = 0;
  double confidence = 1;
};

/// Bytes of the record, a multiple of 8.
uint64_t RecordBytes(const RecordParts& parts);
/// Writes RecordBytes(parts) bytes at `out`, padding zeroed; sequence, previous, slot (none) and the CRCs are zero.
void EncodeRecord(const RecordParts& parts, char* out);
/// Sets the CRC of a record of which everything else is written. `seed`: FrameSeed of the record's own position.
void SealRecord(char* record, uint32_t seed);
/// Whether a decoded record is what was sealed at this place. Reads all of it.
bool CheckRecord(const RecordView& record, uint32_t seed);

bool IsAscii(std::string_view text);

}  // namespace thermocline::format
