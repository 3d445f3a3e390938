// Images: an embedding block repeated in the log, so that one sync of the log makes it durable (docs/format.md 4.3).
//
// Pure. Bytes are input: decoding answers only about the bytes it was given. Whose block an image is, and whether it
// is the right one, its reader decides: by segment and slot, and by the CRC that the record has of its embedding.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/format/layout.h"

namespace thermocline::format {

/// Bytes of an image in a frame, a multiple of 8. `embedding_bytes`: 0 without an embedding.
constexpr uint64_t ImageBytes(uint64_t embedding_bytes) { return RoundUp(sizeof(ImageHeader) + embedding_bytes, 8); }

/// Writes ImageBytes(header.embedding_bytes) bytes at `out`, padding zeroed. Without a sketch.
void EncodeImage(const ImageHeader& header, const void* embedding, char* out);

struct ImageView {
  ImageHeader header;
  std::span<const char> embedding;
  uint64_t bytes;  // of the whole image; the next one follows
};

/// The image at the front of `bytes`, all its parts within it. nullopt: none.
std::optional<ImageView> DecodeImage(std::span<const char> bytes);

}  // namespace thermocline::format
