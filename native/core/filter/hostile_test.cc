// Goal: no bytes, in a filter or in metadata, crash or hang whoever reads them, or lead out of their text.
// Method: bytes in heap blocks of exactly their size, so that AddressSanitizer sees any access beyond; good texts cut,
// spliced and mutated, and texts made of what JSON is made of, from a seed.

#include <bit>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/filter/filter.h"
#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::filter {
namespace {

const std::vector<std::string>& GoodMetadata() {
  static const std::vector<std::string> texts = {
      "{}",
      R"({"source":"chat-7","turn":41,"pinned":true})",
      R"({"a":{"b":[1,{"c":null},[2,[3]]],"d.e":"x"},"a.b":-0.5e-3,"tags":["p","q"]})",
      R"({"\u0061":"\ud83d\ude00\ud83d","":"\"\\\n","k":1e999,"z":[]})",
      "{\"k\":\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"}",
  };
  return texts;
}

const std::vector<std::string>& GoodFilters() {
  static const std::vector<std::string> texts = {
      "{}",
      R"({"metadata":{"turn":{"gte":10,"lt":100},"pinned":{"eq":true}}})",
      R"({"metadata":{"a.b.c":{"exists":true},"a.d.e":{"prefix":"x"},"tags":{"in":["p",1,null,false]},"":{"ne":""}}})",
      R"({"or":[{"id":{"prefix":"i"}},{"not":{"createdAt":{"gt":5}}}],"and":[],"confidence":{"lte":0.5}})",
      R"({"metadata":{"a":{"gt":"\ud83d"},"k":{"lt":"\uff5e","gte":"\u00e9"}},"lastAccess":{"in":[1,2,3]}})",
  };
  return texts;
}

/// A text that was good, changed in a few places.
std::string Mutated(const std::vector<std::string>& good, Random& random) {
  static const std::string kPieces[] = {
      "{",  "}",    "[",        "]",    "\"",  ":",   ",",     "\\",        "\\u",     "\\ud83d", "0",
      "-",  "1e",   ".5",       "true", "nul", " ",   "\"a\"", "\"a\":",    "{\"a\":", "[[[[[[",  "}}}}",
      "\n", "\xED", "\xF4\x90", "\x80", "e",   "999", "E-9",   "\"and\":[", "\"in\":["};
  std::string text = good[random.Below(good.size())];
  for (uint64_t changes = 1 + random.Below(4); changes > 0; --changes) {
    const size_t at = random.Below(text.size() + 1);
    switch (random.Below(6)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text.insert(at, kPieces[random.Below(std::size(kPieces))]);
        break;
      case 2:
        if (at < text.size()) text[at] = static_cast<char>(random.Next());
        break;
      case 3:
        text.erase(at, 1 + random.Below(4));
        break;
      case 4:
        text.insert(at, text.substr(random.Below(text.size() + 1), random.Below(20)));
        break;
      default:
        text += good[random.Below(good.size())].substr(0, random.Below(30));
    }
  }
  return text;
}

/// Nothing but what JSON is made of, in any order.
std::string Rubble(Random& random) {
  constexpr std::string_view kBytes = "{}[]\"\"\"::,,\\ua0b19-+.eEtrufalsn \n\t\x01\x7F\xC3\xED\xFF";
  std::string text(random.Below(40), ' ');
  for (char& c : text) c = kBytes[random.Below(kBytes.size())];
  return text;
}

std::string_view TextOf(const test::ExactCopy& copy) { return {copy.span().data(), copy.span().size()}; }

Result<Filter> Compile(const std::string& text) {
  const test::ExactCopy copy(text);
  return Filter::Compile(TextOf(copy));
}

Verdict Ask(const Filter& filter, const std::string& metadata) {
  const auto created_at = std::bit_cast<uint64_t>(10.0);
  const auto confidence = std::bit_cast<uint64_t>(0.25);
  const double last_access = 2;
  const test::ExactCopy copy(metadata);
  return filter.Test({&created_at, &confidence, &last_access}, "id", TextOf(copy));
}

std::vector<Filter> CompiledGoodFilters() {
  std::vector<Filter> filters;
  for (const std::string& text : GoodFilters()) {
    Result<Filter> filter = Compile(text);
    EXPECT_OK(filter);
    if (filter.ok()) filters.push_back(std::move(*filter));
  }
  return filters;
}

TEST(HostileMetadata, AnyBytesGiveAnAnswerAndTheSameOneAgain) {
  Random random(TestSeed());
  const std::vector<Filter> filters = CompiledGoodFilters();
  uint64_t counts[3] = {};
  for (uint64_t round = 0; round < 400000 * TestScale(); ++round) {
    const std::string metadata = random.Below(4) == 0 ? Rubble(random) : Mutated(GoodMetadata(), random);
    const Filter& filter = filters[random.Below(filters.size())];
    const Verdict verdict = Ask(filter, metadata);
    ++counts[static_cast<size_t>(verdict)];
    if (round % 16 == 0) EXPECT_EQ(Ask(filter, metadata), verdict);
  }
  for (const uint64_t count : counts) EXPECT_GT(count, 1000u);
}

TEST(HostileMetadata, ATextThatIsCutOffIsCorruptToWhoeverReadsItAll) {
  const Result<Filter> reads_all = Compile(R"({"metadata":{"nowhere.at.all":{"exists":true}}})");
  ASSERT_OK(reads_all);
  for (const std::string& metadata : GoodMetadata()) {
    EXPECT_EQ(Ask(*reads_all, metadata), Verdict::kNo);
    for (size_t length = 1; length < metadata.size(); ++length) {
      EXPECT_EQ(Ask(*reads_all, metadata.substr(0, length)), Verdict::kCorrupt);
    }
    EXPECT_EQ(Ask(*reads_all, metadata + "{"), Verdict::kCorrupt);
    EXPECT_EQ(Ask(*reads_all, "[" + metadata + "]"), Verdict::kCorrupt);
  }
}

TEST(HostileMetadata, NestingIsFollowedAsDeepAsMetadataMayBe) {
  const Result<Filter> filter = Compile(R"({"metadata":{"a":{"eq":1}}})");
  ASSERT_OK(filter);
  const auto nested = [](const std::string& open, const std::string& close, size_t depth) {
    std::string text = R"({"a":)";
    for (size_t i = 0; i < depth; ++i) text += open;
    text += "1";
    for (size_t i = 0; i < depth; ++i) text += close;
    return text + "}";
  };
  EXPECT_EQ(Ask(*filter, nested("[", "]", kMetadataDepthMax - 1)), Verdict::kYes);
  EXPECT_EQ(Ask(*filter, nested("[", "]", kMetadataDepthMax)), Verdict::kCorrupt);
  EXPECT_EQ(Ask(*filter, nested("[", "]", 1000000)), Verdict::kCorrupt);
  EXPECT_EQ(Ask(*filter, nested(R"({"b":)", "}", kMetadataDepthMax - 1)), Verdict::kNo);
  EXPECT_EQ(Ask(*filter, nested(R"({"b":)", "}", 1000000)), Verdict::kCorrupt);
  EXPECT_EQ(Ask(*filter, std::string(10000000, '[')), Verdict::kCorrupt);
}

TEST(HostileMetadata, KeysThatShareABeginningWithManyPathsCostNoMoreThanOthers) {
  // 900 paths that each key goes through, and as many keys as fit: a look at each path for each key would take minutes.
  std::string filter_text = R"({"metadata":{)";
  for (int i = 0; i < 900; ++i) filter_text += (i > 0 ? ",\"a." : "\"a.") + std::to_string(i) + R"(":{"eq":1})";
  const Result<Filter> filter = Compile(filter_text + "}}");
  ASSERT_OK(filter);
  std::string metadata = R"({"x":0)";
  while (metadata.size() < kMetadataBytesMax - 100) metadata += R"(,"a":{"b":1},"a":[{}])";
  EXPECT_EQ(Ask(*filter, metadata + "}"), Verdict::kNo);
}

TEST(HostileFilter, AnyTextIsRefusedOrCanBeAsked) {
  Random random(TestSeed());
  uint64_t accepted = 0;
  const uint64_t rounds = 300000 * TestScale();
  for (uint64_t round = 0; round < rounds; ++round) {
    const Result<Filter> filter = Compile(random.Below(8) == 0 ? Rubble(random) : Mutated(GoodFilters(), random));
    if (!filter.ok()) {
      EXPECT_TRUE(filter.status().code() == ErrorCode::kArgument ||
                  filter.status().code() == ErrorCode::kArgumentRange);
      continue;
    }
    ++accepted;
    Ask(*filter, GoodMetadata()[random.Below(GoodMetadata().size())]);
    Ask(*filter, Mutated(GoodMetadata(), random));
  }
  EXPECT_GT(accepted, rounds / 100);
  EXPECT_LT(accepted, rounds);
}

}  // namespace
}  // namespace thermocline::filter
