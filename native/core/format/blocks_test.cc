#include "core/format/blocks.h"

#include <cstring>
#include <string>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::format {
namespace {

using test::ExactCopy;

constexpr StoreId kStoreId{0x0706050403020100u, 0x0F0E0D0C0B0A0908u};
constexpr auto kSegment = static_cast<SegmentNumber>(3);

template <typename Header>
std::string BytesOf(const Header& header) {
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

/// Changed, with the CRC made right again: what a foreign writer could produce.
template <typename Header, typename Change>
std::string Forge(Header header, Change change) {
  change(header);
  constexpr size_t kFrom = 16;
  header.crc = Crc32c(0, reinterpret_cast<const char*>(&header) + kFrom, sizeof header - kFrom);
  return BytesOf(header);
}

bool BlocksAccepted(const std::string& bytes) { return DecodeBlocksHeader(ExactCopy(bytes).span()).has_value(); }
bool LogAccepted(const std::string& bytes) { return DecodeLogHeader(ExactCopy(bytes).span()).has_value(); }

}  // namespace

TEST(BlocksHeader, PlacesColumnsWithoutOverlapAndAligned) {
  for (const uint32_t slots : {1u, 64u, 65u, 256u, 16384u, kWriteOperationsMax}) {
    for (const uint32_t dimensions : {1u, 3u, 65u, 384u, 1536u, kDimensionsMax}) {
      const BlocksHeader header = MakeBlocksHeader(kStoreId, kSegment, slots, dimensions, SketchKind::kNone);
      const uint64_t count = header.slots;
      EXPECT_GE(count, slots);
      EXPECT_LT(count, slots + 64u);
      const uint64_t ends[] = {kHeaderBytes,
                               header.born_offset + 8 * count,
                               header.died_offset + 8 * count,
                               header.record_offset + 8 * count,
                               header.created_at_offset + 8 * count,
                               header.confidence_offset + 8 * count};
      const uint64_t begins[] = {header.born_offset,       header.died_offset,       header.record_offset,
                                 header.created_at_offset, header.confidence_offset, header.statistics_offset};
      for (size_t i = 0; i < 6; ++i) {
        EXPECT_EQ(begins[i], ends[i]);
        EXPECT_EQ(begins[i] % 64, 0u);
      }
      EXPECT_GE(header.embedding_offset, header.statistics_offset + sizeof(Statistics) * count);
      EXPECT_EQ(header.embedding_offset % kSectionBytes, 0u);
      EXPECT_EQ(header.embedding_stride, uint64_t{dimensions} * 4);
      EXPECT_GE(header.file_bytes, header.embedding_offset + header.embedding_stride * count);
      EXPECT_EQ(header.file_bytes % kSectionBytes, 0u);
      EXPECT_TRUE(BlocksAccepted(BytesOf(header)));
    }
  }
}

TEST(BlocksHeader, PlacesSketchesBehindTheStatisticsAndWithinTheirShare) {
  for (const uint32_t slots : {64u, 256u, 16384u, kWriteOperationsMax}) {
    for (const uint32_t dimensions : {1u, 3u, 64u, 65u, 384u, 1000u, 1536u, kDimensionsMax}) {
      const BlocksHeader header = MakeBlocksHeader(kStoreId, kSegment, slots, dimensions, SketchKind::kRabitq1);
      const uint64_t count = header.slots;
      EXPECT_EQ(header.centre_offset, header.statistics_offset + sizeof(Statistics) * count);
      EXPECT_EQ(header.sketch_offset, header.centre_offset + 4 * SketchBits(dimensions));
      EXPECT_EQ(header.sketch_rows_offset, header.sketch_offset + header.sketch_stride * count);
      EXPECT_GE(header.embedding_offset, header.sketch_rows_offset + header.sketch_rows_stride * count);
      for (const uint64_t offset : {header.centre_offset, header.sketch_offset, header.sketch_rows_offset}) {
        EXPECT_EQ(offset % 64, 0u);
      }
      // Code bits and four correction terms of 16 bytes together.
      EXPECT_EQ(header.sketch_stride + header.sketch_rows_stride, SketchBits(dimensions) / 8 + 16u);
      EXPECT_GE(SketchBits(dimensions), dimensions);
      EXPECT_EQ(SketchPrefixBits(dimensions) % 32, 0u);
      EXPECT_TRUE(BlocksAccepted(BytesOf(header)));
    }
  }
}

TEST(BlocksHeader, RefusesEveryFlippedBit) {
  const std::string bytes = BytesOf(MakeBlocksHeader(kStoreId, kSegment, 256, 384, SketchKind::kRabitq1));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(BlocksAccepted(flipped));
  }
}

TEST(BlocksHeader, RefusesEveryTruncation) {
  const std::string bytes = BytesOf(MakeBlocksHeader(kStoreId, kSegment, 256, 384, SketchKind::kRabitq1));
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(BlocksAccepted(bytes.substr(0, size)));
}

TEST(BlocksHeader, IsOnlyAcceptedAsTheLayoutThatItsSlotsAndDimensionsMake) {
  const BlocksHeader header = MakeBlocksHeader(kStoreId, kSegment, 256, 384, SketchKind::kRabitq1);
  EXPECT_TRUE(BlocksAccepted(Forge(header, [](BlocksHeader&) {})));
  // Each word from the slots on, moved by one step either way behind a right CRC.
  for (size_t at = offsetof(BlocksHeader, slots); at < sizeof header; at += 4) {
    for (const uint32_t step : {1u, 8u, 64u, 4096u, 0x80000000u, 0xFFFFFFFFu}) {
      EXPECT_FALSE(BlocksAccepted(Forge(header, [&](BlocksHeader& changed) {
        uint32_t word;
        std::memcpy(&word, reinterpret_cast<char*>(&changed) + at, 4);
        word += step;
        std::memcpy(reinterpret_cast<char*>(&changed) + at, &word, 4);
      })));
    }
  }
  EXPECT_FALSE(BlocksAccepted(Forge(header, [](BlocksHeader& changed) { changed.version = 2; })));
  EXPECT_FALSE(BlocksAccepted(Forge(header, [](BlocksHeader& changed) { changed.magic = kLogMagic; })));
  EXPECT_FALSE(BlocksAccepted(Forge(header, [](BlocksHeader& changed) { changed.slots = 0; })));
  EXPECT_FALSE(BlocksAccepted(Forge(header, [](BlocksHeader& changed) { changed.dimensions = 0; })));
  EXPECT_FALSE(BlocksAccepted(Forge(header, [](BlocksHeader& changed) { changed.sketch_kind = 2; })));
}

TEST(LogHeader, ComesBackAsItWasMade) {
  const LogHeader header = MakeLogHeader(kStoreId, kSegment, 1u << 20);
  const auto decoded = DecodeLogHeader(ExactCopy(BytesOf(header)).span());
  ASSERT_TRUE(decoded.has_value());
  EXPECT_TRUE(decoded->store_id == kStoreId);
  EXPECT_EQ(decoded->segment, 3u);
  EXPECT_EQ(decoded->log_capacity, 1u << 20);
}

TEST(LogHeader, RefusesEveryFlippedBitAndEveryTruncation) {
  const std::string bytes = BytesOf(MakeLogHeader(kStoreId, kSegment, 1u << 20));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(LogAccepted(flipped));
  }
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(LogAccepted(bytes.substr(0, size)));
  EXPECT_FALSE(
      LogAccepted(Forge(MakeLogHeader(kStoreId, kSegment, 1u << 20), [](LogHeader& log) { log.version = 2; })));
}

}  // namespace thermocline::format
