#include "core/format/frame.h"

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::format {
namespace {

using test::ExactCopy;

constexpr Salt kSalt{0x1716151413121110u, 0x1F1E1D1C1B1A1918u};

Position At(uint32_t segment, uint64_t offset) { return Position(static_cast<SegmentNumber>(segment), offset); }

RecordParts ExampleParts() {
  RecordParts parts;
  parts.id = "mem-1";
  parts.content =
      "Gr\xC3\xBC\xC3\x9F"
      "e";
  parts.has_content = true;
  parts.has_embedding = true;
  parts.metadata = "{\"k\":1}";
  parts.metadata_ascii = true;
  parts.created_at = 1700000000500.0;
  parts.confidence = 0.75;
  return parts;
}

/// A record as a writer leaves it: encoded, then slot and sequence patched in.
std::string Record(const RecordParts& parts, uint32_t slot) {
  std::string bytes(RecordBytes(parts), '\x7F');
  EncodeRecord(parts, bytes.data());
  const uint64_t sequence = 42;
  std::memcpy(bytes.data() + offsetof(RecordHeader, slot), &slot, sizeof slot);
  std::memcpy(bytes.data() + offsetof(RecordHeader, sequence), &sequence, sizeof sequence);
  return bytes;
}

/// A record with a run of TLV behind its parts.
std::string RecordWithTlv(const std::string& tlv) {
  std::string bytes = Record(ExampleParts(), 3) + tlv;
  RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.length = static_cast<uint32_t>(bytes.size());
  header.tlv_bytes = static_cast<uint32_t>(tlv.size());
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

std::string TlvEntry(uint16_t flags, uint32_t length) {
  const TlvHeader header{9, flags, length};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(8, 'v');
}

template <typename Change>
std::string ChangeHeader(std::string bytes, Change change) {
  RecordHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  change(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

bool Accepted(const std::string& bytes) { return DecodeRecord(ExactCopy(bytes).span()).has_value(); }

/// A sealed frame at a position, with the given body.
std::string Frame(Position position, FrameKind kind, const std::string& body, uint32_t records) {
  FrameHeader header{};
  header.magic = kFrameMagic;
  header.kind = static_cast<uint16_t>(kind);
  header.body_bytes = body.size();
  header.first_sequence = 42;
  header.record_count = records;
  header.record_bytes = records > 0 ? body.size() : 0;
  header.epoch = 1;
  header.memories_after = 7;
  SealFrame(header, FrameSeed(kSalt, position), body.data());
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + body;
}

/// What a reader would say: the header holds at this place and so does the body.
bool Holds(const std::string& bytes, Position position) {
  const ExactCopy copy(bytes);
  const uint32_t seed = FrameSeed(kSalt, position);
  const auto header = DecodeFrameHeader(copy.span(), seed);
  return header.has_value() && CheckFrameBody(*header, copy.span(), seed);
}

/// A frame whose header says anything, sealed all the same.
template <typename Change>
bool HoldsForged(Change change) {
  const std::string body = Record(ExampleParts(), 3);
  std::string bytes = Frame(At(1, 4096), FrameKind::kRecords, body, 1);
  FrameHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  change(header);
  const uint32_t seed = FrameSeed(kSalt, At(1, 4096));
  constexpr size_t kFrom = 8;
  header.header_crc = Crc32c(seed, reinterpret_cast<const char*>(&header) + kFrom, sizeof header - kFrom);
  std::memcpy(bytes.data(), &header, sizeof header);
  return DecodeFrameHeader(ExactCopy(bytes).span(), seed).has_value();
}

}  // namespace

TEST(Frame, HoldsWhereItWasSealed) {
  const std::string body = Record(ExampleParts(), 3) + Record(ExampleParts(), 4);
  const std::string bytes = Frame(At(1, 4096), FrameKind::kRecords, body, 2);
  EXPECT_TRUE(Holds(bytes, At(1, 4096)));
  EXPECT_TRUE(Holds(bytes + std::string(500, 'x'), At(1, 4096)));
  EXPECT_TRUE(Holds(Frame(At(2, 8192), FrameKind::kEpoch, "", 0), At(2, 8192)));
  EXPECT_TRUE(Holds(Frame(At(2, 8192), FrameKind::kImage, std::string(72, 'i'), 0), At(2, 8192)));
}

TEST(Frame, RefusesEveryFlippedBitOfHeaderAndBody) {
  const std::string bytes = Frame(At(1, 4096), FrameKind::kRecords, Record(ExampleParts(), 3), 1);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(Holds(flipped, At(1, 4096)));
  }
}

TEST(Frame, RefusesEveryTruncation) {
  const std::string bytes = Frame(At(1, 4096), FrameKind::kRecords, Record(ExampleParts(), 3), 1);
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(Holds(bytes.substr(0, size), At(1, 4096)));
}

TEST(Frame, RefusesAFrameThatWasMoved) {
  const std::string bytes = Frame(At(3, 4096), FrameKind::kRecords, Record(ExampleParts(), 3), 1);
  for (uint64_t offset = 4104; offset < 300000; offset += 8) EXPECT_FALSE(Holds(bytes, At(3, offset)));
  for (uint32_t segment = 0; segment < 300; ++segment) EXPECT_EQ(Holds(bytes, At(segment, 4096)), segment == 3);
}

TEST(Frame, RefusesAFrameOfAnotherStore) {
  const std::string bytes = Frame(At(1, 4096), FrameKind::kRecords, Record(ExampleParts(), 3), 1);
  for (int bit = 0; bit < 64; ++bit) {
    const Salt low{kSalt.low ^ (1ull << bit), kSalt.high};
    const Salt high{kSalt.low, kSalt.high ^ (1ull << bit)};
    EXPECT_FALSE(DecodeFrameHeader(ExactCopy(bytes).span(), FrameSeed(low, At(1, 4096))).has_value());
    EXPECT_FALSE(DecodeFrameHeader(ExactCopy(bytes).span(), FrameSeed(high, At(1, 4096))).has_value());
  }
}

TEST(Frame, RefusesASealedHeaderThatCannotBe) {
  EXPECT_TRUE(HoldsForged([](FrameHeader&) {}));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.magic ^= 1; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.kind = 0; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.kind = 4; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.kind = static_cast<uint16_t>(FrameKind::kEpoch); }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.record_count = 0; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.record_count = 2; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.record_count = 0xFFFFFFFFu; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.record_bytes = 0; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.record_bytes += 8; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.record_bytes -= 1; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.body_bytes += 8; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.body_bytes -= 4; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.body_bytes = std::numeric_limits<uint64_t>::max() - 7; }));
  EXPECT_FALSE(HoldsForged([](FrameHeader& header) { header.body_bytes = kFrameBytesMax + 8; }));
}

TEST(FrameSeed, IsAnotherOneForEachPlace) {
  // Goal: bytes moved within a store never pass by an equal seed. Positions of one segment differ within 32 bits,
  // which a CRC of 32 bits always tells apart; the test looks at frames and slots of neighbouring numbers.
  const uint32_t here = FrameSeed(kSalt, At(1, 4096));
  for (int bit = 0; bit < 64; ++bit) EXPECT_NE(FrameSeed(kSalt, Position(At(1, 4096).raw() ^ (1ull << bit))), here);
  const uint32_t block = BlockSeed(kSalt, static_cast<SegmentNumber>(1), static_cast<Slot>(512));
  EXPECT_NE(block, here);  // position (1, 4096) and slot 512 of segment 1 are the same number
  EXPECT_NE(BlockSeed(kSalt, static_cast<SegmentNumber>(1), static_cast<Slot>(513)), block);
  EXPECT_NE(BlockSeed(kSalt, static_cast<SegmentNumber>(2), static_cast<Slot>(512)), block);
}

TEST(Record, ComesBackAsItWasEncoded) {
  Random random(TestSeed());
  const std::string text(3000, 'a');
  for (uint64_t round = 0; round < 2000; ++round) {
    RecordParts parts = ExampleParts();
    const std::string id(1 + random.Below(kIdBytesMax), static_cast<char>('a' + random.Below(26)));
    parts.id = id;
    parts.has_content = random.Below(4) != 0;
    parts.content = parts.has_content ? std::string_view(text).substr(0, random.Below(300)) : std::string_view();
    parts.content_ascii = random.Below(2) == 0;
    parts.metadata = std::string_view(text).substr(0, random.Below(100));
    parts.has_embedding = random.Below(2) == 0;
    parts.kind = random.Below(2) == 0 ? RecordKind::kPut : RecordKind::kUpdate;
    parts.confidence = random.Unit();
    const ExactCopy copy(Record(parts, static_cast<uint32_t>(round)));
    const auto view = DecodeRecord(copy.span());
    ASSERT_TRUE(view.has_value());
    EXPECT_EQ(view->header.length, copy.span().size());
    EXPECT_TRUE(view->kind() == parts.kind);
    EXPECT_TRUE(view->id == parts.id);
    EXPECT_TRUE(view->content == parts.content);
    EXPECT_TRUE(view->metadata == parts.metadata);
    EXPECT_EQ(view->has(kHasContent), parts.has_content);
    EXPECT_EQ(view->has(kHasEmbedding), parts.has_embedding);
    EXPECT_EQ(view->has(kContentAscii), parts.content_ascii);
    EXPECT_EQ(view->has(kMetadataAscii), parts.metadata_ascii);
    EXPECT_EQ(Raw(view->slot()), round);
    EXPECT_EQ(view->header.sequence, 42u);
    EXPECT_EQ(view->header.created_at, parts.created_at);
    EXPECT_EQ(view->header.confidence, parts.confidence);
  }
}

TEST(Record, ItsChecksumSeesEveryFlippedBitAndEveryMove) {
  const uint32_t seed = FrameSeed(kSalt, At(1, 4224));
  std::string bytes = Record(ExampleParts(), 3);
  SealRecord(bytes.data(), seed);
  const auto holds = [](const std::string& record, uint32_t with) {
    const ExactCopy copy(record);
    const auto view = DecodeRecord(copy.span());
    return view.has_value() && CheckRecord(*view, with);
  };
  EXPECT_TRUE(holds(bytes, seed));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(holds(flipped, seed));
  }
  for (uint64_t offset = 4096; offset < 100000; offset += 8) {
    EXPECT_EQ(holds(bytes, FrameSeed(kSalt, At(1, offset))), offset == 4224);
  }
}

TEST(Record, CarriesExtensionsBehindItsPadding) {
  RecordParts parts = ExampleParts();
  const std::string tlv = TlvEntry(0, 8);
  parts.tlv = tlv;
  const ExactCopy copy(Record(parts, 3));
  const auto view = DecodeRecord(copy.span());
  ASSERT_TRUE(view.has_value());
  EXPECT_TRUE(view->tlv == parts.tlv);
  EXPECT_TRUE(view->metadata == parts.metadata);
  EXPECT_TRUE(Record(parts, 3) == RecordWithTlv(tlv));
}

TEST(Record, PadsWithZeros) {
  for (size_t size = 0; size < 16; ++size) {
    RecordParts parts;
    const std::string content(size, 'c');
    parts.id = "i";
    parts.content = content;
    parts.has_content = true;
    const std::string bytes = Record(parts, 1);
    EXPECT_EQ(bytes.size() % 8, 0u);
    for (size_t at = sizeof(RecordHeader) + 1 + size; at < bytes.size(); ++at) EXPECT_EQ(bytes[at], '\0');
  }
}

TEST(Record, RefusesEveryTruncation) {
  const std::string bytes = Record(ExampleParts(), 3);
  EXPECT_TRUE(Accepted(bytes));
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(Accepted(bytes.substr(0, size)));
}

TEST(Record, RefusesWhatIsUnknownOrContradictsItself) {
  const std::string bytes = Record(ExampleParts(), 3);
  const auto accepted = [&](auto change) { return Accepted(ChangeHeader(bytes, change)); };
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.kind = 0; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.kind = 4; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.flags |= 16; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.id_bytes = 0; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.slot = kNoSlot; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.kind = static_cast<uint8_t>(RecordKind::kDelete); }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.length -= 8; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.length += 8; }));
  EXPECT_FALSE(accepted([](RecordHeader& header) { header.tlv_bytes = 8; }));
  RecordParts deletion;
  deletion.kind = RecordKind::kDelete;
  deletion.id = "mem-1";
  EXPECT_TRUE(Accepted(Record(deletion, kNoSlot)));
  EXPECT_FALSE(Accepted(Record(deletion, 0)));
  deletion.has_embedding = true;
  EXPECT_FALSE(Accepted(Record(deletion, kNoSlot)));
}

TEST(Record, AcceptsAnIdOf511BytesAndNoMore) {
  const std::string longest(kIdBytesMax, 'i');
  const std::string longer(kIdBytesMax + 1, 'i');
  RecordParts parts;
  parts.id = longest;
  EXPECT_TRUE(Accepted(Record(parts, 0)));
  parts.id = longer;
  EXPECT_FALSE(Accepted(Record(parts, 0)));
}

TEST(Record, SkipsAnUnknownExtensionUnlessItIsCritical) {
  EXPECT_TRUE(Accepted(RecordWithTlv(TlvEntry(0, 8))));
  EXPECT_TRUE(Accepted(RecordWithTlv(TlvEntry(0, 3) + TlvEntry(0, 8))));
  EXPECT_FALSE(Accepted(RecordWithTlv(TlvEntry(kTlvCritical, 8))));
  EXPECT_FALSE(Accepted(RecordWithTlv(TlvEntry(0, 9))));
  EXPECT_FALSE(Accepted(RecordWithTlv(TlvEntry(0, 0xFFFFFFFFu))));
}

TEST(Record, NeverReadsOutsideWhateverItsLengthsSay) {
  // Goal: no length field makes the decoder read or hand out a byte outside of the record's bytes.
  // Method: mutated headers over heap blocks of exact size, under AddressSanitizer; views checked by address.
  Random random(TestSeed());
  const std::string plain = Record(ExampleParts(), 3);
  const std::string extended = RecordWithTlv(TlvEntry(0, 8));
  uint64_t accepted = 0;
  for (uint64_t round = 0; round < 100000 * TestScale(); ++round) {
    const std::string mutated = ChangeHeader(random.Below(2) == 0 ? plain : extended, [&](RecordHeader& header) {
      // Small steps keep sums plausible, whole words reach the overflows.
      const auto step = [&](auto& field) {
        using Field = std::remove_reference_t<decltype(field)>;
        switch (random.Below(4)) {
          case 0:
            field = static_cast<Field>(field + random.Below(33) - 16);
            break;
          case 1:
            field = static_cast<Field>(random.Next());
            break;
          default:
            break;
        }
      };
      step(header.length);
      step(header.id_bytes);
      step(header.content_bytes);
      step(header.metadata_bytes);
      step(header.tlv_bytes);
    });
    ExactCopy copy(mutated.substr(0, random.Below(8) == 0 ? random.Below(mutated.size() + 1) : mutated.size()));
    const auto view = DecodeRecord(copy.span());
    if (!view) continue;
    ++accepted;
    EXPECT_TRUE(copy.Holds(view->id));
    EXPECT_TRUE(copy.Holds(view->content));
    EXPECT_TRUE(copy.Holds(view->metadata));
    EXPECT_LE(view->header.length, copy.span().size());
  }
  EXPECT_GT(accepted, 100u);  // else the mutations prove nothing
}

TEST(IsAscii, SeesAHighBitAtEveryPlace) {
  for (size_t size = 0; size < 40; ++size) {
    const std::string text(size, '\x7F');
    EXPECT_TRUE(IsAscii(text));
    for (size_t at = 0; at < size; ++at) {
      std::string high = text;
      high[at] = '\x80';
      EXPECT_FALSE(IsAscii(high));
    }
  }
}

}  // namespace thermocline::format
