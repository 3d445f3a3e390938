#include "core/format/meta.h"

#include <cstring>
#include <string>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::format {
namespace {

using test::ExactCopy;

std::string Tlv(uint16_t type, uint16_t flags, uint32_t length, size_t bytes_there) {
  const TlvHeader header{type, flags, length};
  std::string tlv(reinterpret_cast<const char*>(&header), sizeof header);
  return tlv + std::string(bytes_there, 'v');
}

SegmentEntry Entry(uint32_t number, uint32_t slots, uint64_t log_end) {
  SegmentEntry entry{};
  entry.number = number;
  entry.slots = slots;
  entry.log_capacity = 1u << 20;
  entry.log_end = log_end;
  return entry;
}

Meta Example() {
  Meta meta;
  meta.store_id = {0x0706050403020100u, 0x0F0E0D0C0B0A0908u};
  meta.salt = {0x1716151413121110u, 0x1F1E1D1C1B1A1918u};
  meta.dimensions = 384;
  meta.metric = Metric::kL2;
  meta.epoch = 3;
  meta.list_generation = 9;
  meta.watermark = Position(static_cast<SegmentNumber>(7), 4096);
  meta.watermark_sequence = 1234;
  meta.checkpoint = Position(static_cast<SegmentNumber>(5), 8192);
  meta.changes_floor = 17;
  meta.created_at = 1700000000000.5;
  meta.next_segment = 9;
  meta.features_compatible = 0x8000000000000001u;
  meta.segments = {Entry(7, 256, 4096), Entry(5, 512, 8200), Entry(8, 1024, 0)};
  meta.replaced = {ReplacedEntry{1, 4, 5, 0}, ReplacedEntry{6, 6, 7, 0}};
  meta.tlv = Tlv(4711, 0, 5, 8) + Tlv(4712, 2, 0, 0);
  return meta;
}

/// Encoded bytes with the header changed and the CRC made right again: what a foreign writer could produce.
template <typename Change>
std::string Forge(std::string bytes, Change change) {
  MetaHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  change(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  constexpr size_t kFrom = offsetof(MetaHeader, length);
  header.crc = Crc32c(0, bytes.data() + kFrom, bytes.size() - kFrom);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

Result<Meta> Decode(const std::string& bytes) { return DecodeMeta(ExactCopy(bytes).span()); }

bool Refused(const std::string& bytes, ErrorCode code) {
  const Result<Meta> meta = Decode(bytes);
  return !meta.ok() && meta.status().code() == code;
}

}  // namespace

TEST(Meta, ComesBackAsItWasEncoded) {
  const Meta meta = Example();
  const std::string bytes = EncodeMeta(meta);
  const Result<Meta> decoded = Decode(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->store_id == meta.store_id);
  EXPECT_EQ(decoded->salt.low, meta.salt.low);
  EXPECT_EQ(decoded->salt.high, meta.salt.high);
  EXPECT_EQ(decoded->dimensions, meta.dimensions);
  EXPECT_TRUE(decoded->metric == meta.metric);
  EXPECT_EQ(decoded->epoch, meta.epoch);
  EXPECT_EQ(decoded->list_generation, meta.list_generation);
  EXPECT_TRUE(decoded->watermark == meta.watermark);
  EXPECT_EQ(decoded->watermark_sequence, meta.watermark_sequence);
  EXPECT_TRUE(decoded->checkpoint == meta.checkpoint);
  EXPECT_EQ(decoded->changes_floor, meta.changes_floor);
  EXPECT_EQ(decoded->created_at, meta.created_at);
  EXPECT_EQ(decoded->next_segment, meta.next_segment);
  EXPECT_EQ(decoded->features_compatible, meta.features_compatible);
  ASSERT_EQ(decoded->segments.size(), meta.segments.size());
  for (size_t i = 0; i < meta.segments.size(); ++i) {
    EXPECT_EQ(std::memcmp(&decoded->segments[i], &meta.segments[i], sizeof(SegmentEntry)), 0);
  }
  ASSERT_EQ(decoded->replaced.size(), meta.replaced.size());
  for (size_t i = 0; i < meta.replaced.size(); ++i) {
    EXPECT_EQ(std::memcmp(&decoded->replaced[i], &meta.replaced[i], sizeof(ReplacedEntry)), 0);
  }
  EXPECT_TRUE(decoded->tlv == meta.tlv);
  EXPECT_TRUE(EncodeMeta(*decoded) == bytes);
}

TEST(Meta, RefusesEveryFlippedBit) {
  const std::string bytes = EncodeMeta(Example());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(Decode(flipped).ok());
  }
}

TEST(Meta, RefusesEveryTruncation) {
  const std::string bytes = EncodeMeta(Example());
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(Decode(bytes.substr(0, size)).ok());
}

TEST(Meta, RefusesBytesBeyondItsLength) { EXPECT_TRUE(Refused(EncodeMeta(Example()) + '\0', ErrorCode::kCorrupt)); }

TEST(Meta, TellsAForeignFileFromACorruptOneAndFromALaterVersion) {
  const std::string bytes = EncodeMeta(Example());
  EXPECT_TRUE(Refused("", ErrorCode::kNotAStore));
  EXPECT_TRUE(Refused(std::string(5000, 'x'), ErrorCode::kNotAStore));
  std::string corrupt = bytes;
  corrupt[100] = static_cast<char>(corrupt[100] ^ 1);
  EXPECT_TRUE(Refused(corrupt, ErrorCode::kCorrupt));
  EXPECT_TRUE(Refused(Forge(bytes, [](MetaHeader& header) { header.version = 2; }), ErrorCode::kVersion));
  EXPECT_TRUE(Refused(Forge(bytes, [](MetaHeader& header) { header.version = 0; }), ErrorCode::kVersion));
}

TEST(Meta, RefusesEachUnknownFeatureThatMatters) {
  const std::string bytes = EncodeMeta(Example());
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t mask = 1ull << bit;
    EXPECT_TRUE(
        Refused(Forge(bytes, [&](MetaHeader& header) { header.features_incompatible = mask; }), ErrorCode::kVersion));
    EXPECT_TRUE(
        Refused(Forge(bytes, [&](MetaHeader& header) { header.features_read_only = mask; }), ErrorCode::kVersion));
    EXPECT_TRUE(Decode(Forge(bytes, [&](MetaHeader& header) { header.features_compatible = mask; })).ok());
  }
}

TEST(Meta, RefusesNumbersOutOfRangeBehindARightCrc) {
  const std::string bytes = EncodeMeta(Example());
  const auto refused = [&](auto change) { return Refused(Forge(bytes, change), ErrorCode::kCorrupt); };
  EXPECT_TRUE(refused([](MetaHeader& header) { header.dimensions = 0; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.dimensions = kDimensionsMax + 1; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.metric = 3; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.header_bytes = 184; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.segment_count = 0; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.segment_count = 0xFFFFFFFFu; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.replaced_count = 0xFFFFFFFFu; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.tlv_bytes = 0xFFFFFFFFu; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.length += 1; }));
  EXPECT_TRUE(refused([](MetaHeader& header) { header.next_segment = 8; }));  // 8 is listed
}

TEST(Meta, RefusesASegmentListThatCannotBe) {
  const auto refused = [](auto change) {
    Meta meta = Example();
    change(meta.segments);
    return Refused(EncodeMeta(meta), ErrorCode::kCorrupt);
  };
  using Segments = std::vector<SegmentEntry>;
  EXPECT_FALSE(refused([](Segments&) {}));
  EXPECT_TRUE(refused([](Segments& list) { list.clear(); }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].number = 0; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].number = list[0].number; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].slots = 0; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].slots = kWriteOperationsMax + 1; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].log_capacity = kHeaderBytes - 8; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].log_capacity = 1ull << 34; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].log_end = list[1].log_capacity + 8; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].log_end = 8201; }));
  EXPECT_TRUE(refused([](Segments& list) { list[1].log_end = 8; }));  // within the log's header
}

TEST(Meta, OrdersPositionsByTheListAndNotByNumber) {
  const Meta meta = Example();  // 7, 5, 8
  const auto at = [](uint32_t segment, uint64_t offset) {
    return Position(static_cast<SegmentNumber>(segment), offset);
  };
  EXPECT_TRUE(meta.Before(at(7, 9000), at(5, 4096)));
  EXPECT_FALSE(meta.Before(at(5, 4096), at(7, 9000)));
  EXPECT_TRUE(meta.Before(at(5, 4096), at(8, 4096)));
  EXPECT_TRUE(meta.Before(at(5, 4096), at(5, 4104)));
  EXPECT_FALSE(meta.Before(at(5, 4096), at(5, 4096)));
  EXPECT_TRUE(meta.Before(Position(), at(7, 4096)));
  EXPECT_TRUE(meta.Before(at(2, 1 << 20), at(7, 4096)));  // 2 is not listed
}

TEST(Tlv, AcceptsARunThatEndsWithAPaddedValue) {
  EXPECT_TRUE(CheckTlv({}));
  const std::string run = Tlv(1, 0, 0, 0) + Tlv(2, 0, 1, 8) + Tlv(3, 0xFFFE, 8, 8) + Tlv(4, 0, 9, 16);
  EXPECT_TRUE(CheckTlv(ExactCopy(run).span()));
}

TEST(Tlv, RefusesHeadersAndValuesBeyondTheRun) {
  const std::string run = Tlv(2, 0, 9, 16);
  for (size_t size = 1; size < run.size(); ++size) EXPECT_FALSE(CheckTlv(ExactCopy(run.substr(0, size)).span()));
  EXPECT_FALSE(CheckTlv(ExactCopy(run + "1234567").span()));
  for (const uint32_t length : {17u, 24u, 0x7FFFFFFFu, 0xFFFFFFF8u, 0xFFFFFFF9u, 0xFFFFFFFFu}) {
    EXPECT_FALSE(CheckTlv(ExactCopy(Tlv(2, 0, length, 16)).span()));
  }
}

TEST(Tlv, RefusesAnUnknownTypeThatIsCritical) {
  EXPECT_FALSE(CheckTlv(ExactCopy(Tlv(1, 0, 8, 8) + Tlv(2, kTlvCritical, 0, 0)).span()));
  Meta meta = Example();
  meta.tlv = Tlv(2, kTlvCritical, 8, 8);
  EXPECT_TRUE(Refused(EncodeMeta(meta), ErrorCode::kVersion));
}

TEST(Tlv, NeverReadsOutsideWhateverTheBytes) {
  Random random(TestSeed());
  for (uint64_t round = 0; round < 20000 * TestScale(); ++round) {
    std::string run(random.Below(64), '\0');
    for (char& byte : run) byte = static_cast<char>(random.Below(4) == 0 ? random.Next() : 0);
    (void)CheckTlv(ExactCopy(run).span());
  }
}

TEST(Meta, WhatWasReplacedLeadsToTheSegmentThatIsListedNow) {
  Meta meta = Example();  // 7, 5, 8
  meta.replaced.clear();
  const auto by = [&](uint32_t number) { return Raw(meta.ReplacedBy(static_cast<SegmentNumber>(number))); };
  meta.Replace({1, 2}, 5);
  meta.Replace({3}, 7);
  EXPECT_EQ(by(1), 5u);
  EXPECT_EQ(by(2), 5u);
  EXPECT_EQ(by(3), 7u);
  EXPECT_EQ(by(4), 0u);
  EXPECT_EQ(by(5), 0u);
  // 5 leaves the list for 9: whatever led to it leads there, what led elsewhere does not.
  meta.segments[1].number = 9;
  meta.Replace({5}, 9);
  for (const uint32_t number : {1u, 2u, 5u}) EXPECT_EQ(by(number), 9u);
  EXPECT_EQ(by(3), 7u);
  EXPECT_EQ(meta.replaced.size(), size_t{3});  // 1 to 2, 3, 5
  // 4 and 6 as well. No range reaches over a listed number: 8 is not replaced.
  meta.Replace({4, 6}, 9);
  meta.Replace({10}, 9);
  EXPECT_EQ(meta.replaced.size(), size_t{4});  // 1 to 2, 3, 4 to 6, 10
  for (const uint32_t number : {1u, 2u, 4u, 5u, 6u, 10u}) EXPECT_EQ(by(number), 9u);
  for (const uint32_t number : {7u, 8u, 9u, 11u}) EXPECT_EQ(by(number), 0u);
  // A number that is listed is not replaced, whatever an entry of a damaged list says; nor do entries lead round.
  meta.replaced = {{7, 8, 1, 0}, {1, 1, 2, 0}, {2, 2, 1, 0}};
  EXPECT_EQ(by(7), 0u);
  EXPECT_NE(by(1), 9u);
}

}  // namespace thermocline::format
