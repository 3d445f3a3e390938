// Texts: filters of callers, metadata of a damaged disk, UTF-16 of JavaScript. What two readers say must agree.

#include <bit>

#include "binding/metadata_shapes.h"
#include "core/base/limits.h"
#include "core/base/utf.h"
#include "core/filter/filter.h"
#include "core/filter/json_reader.h"
#include "core/filter/value_key.h"
#include "core/search/field_index.h"
#include "fuzz/fuzz.h"

namespace thermocline::fuzz {
namespace {

std::string_view TextOf(const test::ExactCopy& copy) { return {copy.span().data(), copy.span().size()}; }

const char* const kMetadata[] = {
    "{}",
    R"({"source":"chat-7","turn":41,"pinned":true})",
    R"({"a":{"b":[1,{"c":null},[2,[3]]],"d.e":"x"},"a.b":-0.5e-3,"tags":["p","q"]})",
    R"({"\u0061":"\ud83d\ude00\ud83d","":"\"\\\n","k":1e999,"z":[]})",
};
const char* const kFilters[] = {
    R"({"metadata":{"turn":{"gte":10,"lt":100},"pinned":{"eq":true}}})",
    R"({"metadata":{"a.b.c":{"exists":true},"a.d.e":{"prefix":"x"},"tags":{"in":["p",1,null,false]},"":{"ne":""}}})",
    R"({"or":[{"id":{"prefix":"i"}},{"not":{"createdAt":{"gt":5}}}],"and":[],"confidence":{"lte":0.5}})",
    R"({"metadata":{"a":{"gt":"\ud83d"},"k":{"lt":"\uff5e","gte":"\u00e9"}},"lastAccess":{"in":[1,2,3]}})",
};

// A filter, a zero byte, metadata -------------------------------------------------------------------------------------

void AskFilter(std::span<const char> input) {
  const std::string_view all(input.data(), input.size());
  const size_t zero = std::min(all.find('\0'), all.size());
  const test::ExactCopy text(all.substr(0, zero));
  const test::ExactCopy metadata(all.substr(std::min(zero + 1, all.size())));
  Result<filter::Filter> filter = filter::Filter::Compile(TextOf(text));
  if (!filter.ok()) {
    EXPECT_TRUE(filter.status().code() == ErrorCode::kArgument || filter.status().code() == ErrorCode::kArgumentRange);
    return;
  }
  const auto created_at = std::bit_cast<uint64_t>(10.0);
  const auto confidence = std::bit_cast<uint64_t>(0.25);
  const double last_access = 2;
  const filter::Columns columns{&created_at, &confidence, &last_access};
  const filter::Truth known = filter->TestColumns(columns);
  const filter::Verdict verdict = filter->Test(columns, "id", TextOf(metadata));
  if (verdict == filter::Verdict::kCorrupt) return;
  if (known != filter::Truth::kUnknown) {
    EXPECT_EQ(verdict == filter::Verdict::kYes, known == filter::Truth::kTrue);
  }
  // Keys must not know otherwise than the record that they were made of.
  const HashKey hash{1, 2};
  const auto answers = std::make_unique<bool[]>(filter->leaves().size() + 1);
  if (filter->paths().all().empty() || !filter->AskRecord("id", TextOf(metadata), answers.get())) return;
  std::vector<filter::ValueKey> read(filter->paths().size());
  filter::ReadKeys(filter->paths(), TextOf(metadata), hash, read.data());
  for (size_t leaf = 0; leaf < filter->leaves().size(); ++leaf) {
    if (filter->leaves()[leaf].field != filter::Field::kMetadata) continue;
    const std::vector<filter::ValueKey> column(filter::kKeysAtOnce, read[filter->leaves()[leaf].path]);
    const filter::Lanes lanes = filter::KeyCondition(filter->leaves()[leaf].condition, hash).Ask(column.data());
    EXPECT_FALSE((lanes.yes & 1) != 0 && !answers[leaf]);
    EXPECT_FALSE((lanes.no & 1) != 0 && answers[leaf]);
  }
}

std::vector<std::string> FilterSeeds() {
  std::vector<std::string> seeds;
  for (const char* filter : kFilters) {
    for (const char* metadata : kMetadata) seeds.push_back(std::string(filter) + '\0' + metadata);
  }
  return seeds;
}

FUZZ_TARGET(filter, AskFilter, FilterSeeds);

// JSON ----------------------------------------------------------------------------------------------------------------

/// Reads everything, member by member, and says how far it came.
void WalkValue(filter::JsonReader& reader, std::string& scratch) {
  using Kind = filter::JsonReader::Kind;
  switch (reader.Peek()) {
    case Kind::kObject: {
      reader.Open();
      for (filter::JsonReader::Text key; reader.NextMember(&key);) {
        static_cast<void>(filter::JsonReader::Decode(key, scratch));
        WalkValue(reader, scratch);
      }
      break;
    }
    case Kind::kArray:
      reader.Open();
      while (reader.NextElement()) WalkValue(reader, scratch);
      break;
    case Kind::kString:
      static_cast<void>(filter::JsonReader::Decode(reader.ReadString(), scratch));
      break;
    case Kind::kNumber:
      static_cast<void>(reader.ReadNumber());
      break;
    default:
      reader.Skip();
  }
}

void ReadJson(std::span<const char> input) {
  const test::ExactCopy bytes = CopyOf(input);
  filter::JsonReader walked(TextOf(bytes), kMetadataDepthMax);
  std::string scratch;
  WalkValue(walked, scratch);
  const bool whole = walked.AtEnd();
  filter::JsonReader skipped(TextOf(bytes), kMetadataDepthMax);
  static_cast<void>(skipped.Peek());
  skipped.Skip();
  // A reader that passes over a text judges it as one that reads it.
  EXPECT_EQ(skipped.AtEnd(), whole);
  static_cast<void>(search::ReadPaths(TextOf(bytes)).ok());
  binding::MetadataShapes shapes;
  double values[binding::MetadataShapes::kValuesMax * binding::MetadataShapes::kNumbersPerValue];
  for (int turn = 0; turn < 2; ++turn) static_cast<void>(shapes.Cut(TextOf(bytes), values));
}

std::vector<std::string> JsonSeeds() {
  std::vector<std::string> seeds(std::begin(kMetadata), std::end(kMetadata));
  seeds.insert(seeds.end(), std::begin(kFilters), std::end(kFilters));
  seeds.emplace_back(R"(["a","a.b",""])");
  return seeds;
}

FUZZ_TARGET(json, ReadJson, JsonSeeds);

// UTF-16 --------------------------------------------------------------------------------------------------------------

void ConvertText(std::span<const char> input) {
  std::vector<char16_t> units(input.size() / 2);
  if (!units.empty()) std::memcpy(units.data(), input.data(), units.size() * 2);
  const auto out = std::make_unique<char[]>(units.size() * kUtf8BytesPerUnitMax);
  const Utf8Text text = Utf8FromUtf16(units.data(), units.size(), out.get());
  EXPECT_LE(text.bytes, units.size() * kUtf8BytesPerUnitMax);
  const auto narrow = std::make_unique<char[]>(units.size());
  const bool ascii = NarrowIfAscii(units.data(), units.size(), narrow.get());
  EXPECT_EQ(ascii, text.ascii);
  if (ascii) {
    EXPECT_EQ(text.bytes, units.size());
    EXPECT_TRUE(units.empty() || std::memcmp(out.get(), narrow.get(), units.size()) == 0);
  }
}

std::vector<std::string> TextSeeds() {
  const auto bytes = [](std::u16string_view text) {
    return std::string(reinterpret_cast<const char*>(text.data()), text.size() * 2);
  };
  return {bytes(u"plain text of some length, and more of it than fits in one register"),
          bytes(u"\u00e9\u20ac\U0001F600"), bytes(u"a lone \xd83d surrogate")};
}

FUZZ_TARGET(utf, ConvertText, TextSeeds);

}  // namespace
}  // namespace thermocline::fuzz
