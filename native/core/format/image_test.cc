// Images: what is encoded comes back, and no length that a file gives leads beyond its bytes.

#include <cstring>
#include <string>

#include "core/format/image.h"
#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::format {
namespace {

std::string Encoded(uint32_t embedding_bytes) {
  ImageHeader header{};
  header.segment = 3;
  header.slot = 17;
  header.flags = embedding_bytes > 0 ? kHasEmbedding : 0;
  header.confidence = 0.5;
  header.recall_count = 9;
  header.embedding_bytes = embedding_bytes;
  const std::string embedding(embedding_bytes, 'e');
  std::string out(ImageBytes(embedding_bytes), 'x');
  EncodeImage(header, embedding.data(), out.data());
  return out;
}

TEST(Image, ComesBackAsItWasEncodedWithZeroedPadding) {
  for (const uint32_t embedding_bytes : {0u, 4u, 8u, 12u, 1536u, 16384u}) {
    const std::string encoded = Encoded(embedding_bytes);
    EXPECT_EQ(encoded.size() % 8, 0u);
    const test::ExactCopy bytes(encoded);
    const auto image = DecodeImage(bytes.span());
    ASSERT_TRUE(image.has_value());
    EXPECT_EQ(image->bytes, encoded.size());
    EXPECT_EQ(image->header.slot, 17u);
    EXPECT_EQ(image->header.recall_count, 9u);
    EXPECT_EQ(image->embedding.size(), size_t{embedding_bytes});
    EXPECT_TRUE(std::string(image->embedding.data(), image->embedding.size()) == std::string(embedding_bytes, 'e'));
    for (size_t at = sizeof(ImageHeader) + embedding_bytes; at < encoded.size(); ++at) EXPECT_EQ(encoded[at], '\0');
  }
}

TEST(Image, ThatReachesBeyondItsBytesIsNone) {
  const std::string encoded = Encoded(12);
  for (size_t length = 0; length < encoded.size(); ++length) {
    const test::ExactCopy bytes(std::string_view(encoded).substr(0, length));
    EXPECT_FALSE(DecodeImage(bytes.span()).has_value());
  }
  for (const size_t field : {offsetof(ImageHeader, sketch_bytes), offsetof(ImageHeader, embedding_bytes)}) {
    for (const uint32_t length : {17u, 0x7FFFFFFFu, 0xFFFFFFF8u, 0xFFFFFFFFu}) {
      std::string wrong = encoded;
      std::memcpy(wrong.data() + field, &length, sizeof length);
      const test::ExactCopy bytes(wrong);
      EXPECT_FALSE(DecodeImage(bytes.span()).has_value());
    }
  }
}

}  // namespace
}  // namespace thermocline::format
