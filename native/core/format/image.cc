#include "core/format/image.h"

#include <cstring>

namespace thermocline::format {

void EncodeImage(const ImageHeader& header, const void* embedding, char* out) {
  const uint64_t bytes = ImageBytes(header.embedding_bytes);
  std::memset(out + bytes - 8, 0, 8);  // padding first: the parts overwrite what is not padding
  std::memcpy(out, &header, sizeof header);
  if (header.embedding_bytes > 0) std::memcpy(out + sizeof header, embedding, header.embedding_bytes);
}

std::optional<ImageView> DecodeImage(std::span<const char> bytes) {
  ImageView view;
  if (bytes.size() < sizeof view.header) return std::nullopt;
  std::memcpy(&view.header, bytes.data(), sizeof view.header);  // once: the file can change under us
  // Each term is below 2^32, so the sum is exact in 64 bits.
  const uint64_t embedding_at = sizeof view.header + uint64_t{view.header.sketch_bytes};
  view.bytes = RoundUp(embedding_at + view.header.embedding_bytes, 8);
  if (view.bytes > bytes.size()) return std::nullopt;
  view.embedding = bytes.subspan(embedding_at, view.header.embedding_bytes);
  return view;
}

}  // namespace thermocline::format
