// JSON text is read as JSON.parse reads it, and whatever is wrong is refused without a look beyond the text.

#include "core/filter/json_reader.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::filter {
namespace {

using Kind = JsonReader::Kind;
using test::ExactCopy;

constexpr uint32_t kDepthMax = 10;

std::string_view TextOf(const ExactCopy& copy) { return {copy.span().data(), copy.span().size()}; }

/// Whether the text is one value and nothing else.
bool IsJson(const std::string& text) {
  const ExactCopy copy(text);
  JsonReader reader(TextOf(copy), kDepthMax);
  reader.Skip();
  return reader.AtEnd();
}

double NumberIn(const std::string& text) {
  const ExactCopy copy(text);
  JsonReader reader(TextOf(copy), kDepthMax);
  EXPECT_EQ(reader.Peek(), Kind::kNumber);
  const double number = reader.ReadNumber();
  EXPECT_TRUE(reader.AtEnd());
  return number;
}

std::string StringIn(const std::string& text) {
  const ExactCopy copy(text);
  JsonReader reader(TextOf(copy), kDepthMax);
  EXPECT_EQ(reader.Peek(), Kind::kString);
  const JsonReader::Text string = reader.ReadString();
  EXPECT_TRUE(reader.AtEnd());
  std::string scratch;
  return std::string(JsonReader::Decode(string, scratch));
}

TEST(JsonReader, AcceptsWhatJsonIs) {
  for (const char* text : {"null",
                           "true",
                           "false",
                           "0",
                           "-0",
                           "1",
                           "-12.5e+3",
                           "0.5",
                           "1E5",
                           "9e-7",
                           "\"\"",
                           "\"a\"",
                           "[]",
                           "{}",
                           " [ ] ",
                           "\t{\n}\r",
                           "[1,2,[3]]",
                           "[null,true,\"x\",{}]",
                           "{\"a\":1,\"b\":{\"c\":[]}}",
                           "{ \"a\" : [ 1 , 2 ] }",
                           R"("\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\ud83d")",
                           "{\"\":0}",
                           "\"\x7F\"",
                           "[[[[[[[[[[]]]]]]]]]]"}) {
    if (!IsJson(text)) test::ReportFailure(__FILE__, __LINE__, std::string("refused: ") + text);
  }
}

TEST(JsonReader, RefusesWhatItIsNot) {
  for (const char* text : {"",
                           " ",
                           "nul",
                           "nulll",
                           "True",
                           "tru",
                           "fals",
                           "01",
                           "-",
                           "-01",
                           "1.",
                           ".5",
                           "1.e3",
                           "1e",
                           "1e+",
                           "+1",
                           "0x1",
                           "1a",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "\"",
                           "\"a",
                           "\"\\\"",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\u",
                           "\"\\",
                           "'a'",
                           "[",
                           "[1",
                           "[1,",
                           "[,1]",
                           "[1,]",
                           "[1 2]",
                           "[1}",
                           "]",
                           "{",
                           "{\"a\"",
                           "{\"a\":",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a\":1,}",
                           "{,}",
                           "{\"a\" 1}",
                           "{a:1}",
                           "{1:1}",
                           "{\"a\":1]",
                           "{\"a\":1 \"b\":2}",
                           "1 2",
                           "[]]",
                           "{}{}",
                           "\"a\nb\"",
                           "\"\x01\"",
                           "/**/1",
                           "[1]/",
                           "[[[[[[[[[[[]]]]]]]]]]]"}) {
    if (IsJson(text)) test::ReportFailure(__FILE__, __LINE__, std::string("accepted: ") + text);
  }
  EXPECT_FALSE(IsJson(std::string("\"a\0b\"", 5)));
  EXPECT_FALSE(IsJson(std::string("1\0", 2)));
}

TEST(JsonReader, ReadsNumbersToTheNearestDouble) {
  const double infinity = std::numeric_limits<double>::infinity();
  const double smallest = std::numeric_limits<double>::denorm_min();
  const std::pair<const char*, double> cases[] = {
      {"0", 0},
      {"-0", -0.0},
      {"-0.0e5", -0.0},
      {"0.1", 0.1},
      {"1e23", 1e23},
      {"9007199254740993", 9007199254740992},
      {"12345678901234567890", 12345678901234567890.0},
      {"2.2250738585072011e-308", 2.2250738585072011e-308},
      {"5e-324", smallest},
      {"2.4703282292062328e-324", smallest},
      {"2.4703282292062327e-324", 0},
      {"-1e-400", -0.0},
      {"1e-99999999999999999999999", 0},
      {"0e99999999999999999999999", 0},
      {"1.7976931348623157e308", std::numeric_limits<double>::max()},
      {"1.7976931348623159e308", infinity},
      {"1e400", infinity},
      {"8e9223372036854775807", infinity},  // the largest that the exponent's own type holds
      {"0.0001e-9223372036854775807", 0},
      {"-1e400", -infinity},
      {"-1E+99999999999999999999999", -infinity},
      {"0.0001e400", infinity},
      {"10000e-400", 0},
  };
  for (const auto& [text, expected] : cases) {
    const double number = NumberIn(text);
    EXPECT_EQ(number, expected);
    EXPECT_EQ(std::signbit(number), std::signbit(expected));
  }
  EXPECT_EQ(NumberIn("1" + std::string(400, '0') + "e-400"), 1.0);
  EXPECT_EQ(NumberIn("0." + std::string(400, '0') + "1e401"), 1.0);
  EXPECT_EQ(NumberIn("1" + std::string(400, '0')), infinity);
  EXPECT_EQ(NumberIn("0." + std::string(400, '0') + "1"), 0.0);
}

TEST(JsonReader, ReadsAnyDoubleBackExactly) {
  Random random(TestSeed());
  for (int round = 0; round < 200000; ++round) {
    const double number = std::bit_cast<double>(random.Next());
    if (!std::isfinite(number)) continue;
    char text[64];
    // 17 digits name every double.
    std::snprintf(text, sizeof text, "%.17g", number);
    EXPECT_EQ(std::bit_cast<uint64_t>(NumberIn(text)), std::bit_cast<uint64_t>(number));
    // Fewer name one nearby, the same one by whatever reads them.
    std::snprintf(text, sizeof text, "%.*g", 1 + static_cast<int>(random.Below(16)), number);
    const double expected = std::strtod(text, nullptr);
    EXPECT_EQ(std::bit_cast<uint64_t>(NumberIn(text)), std::bit_cast<uint64_t>(expected));
  }
}

TEST(JsonReader, GivesEqualStringsEqualBytesHoweverTheyWereEscaped) {
  EXPECT_EQ(StringIn(R"("plain")"), "plain");
  EXPECT_EQ(StringIn(R"("\u0061\/\\\"\n\u0000b")"), std::string("a/\\\"\n\0b", 7));
  EXPECT_EQ(StringIn(R"("\u00E9\u20AC")"), "\xC3\xA9\xE2\x82\xAC");
  EXPECT_EQ(StringIn(R"("\ud83d\ude00")"), "\xF0\x9F\x98\x80");
  EXPECT_EQ(StringIn("\"\xF0\x9F\x98\x80\""), "\xF0\x9F\x98\x80");
  EXPECT_EQ(StringIn(R"("\udbff\udfff")"), "\xF4\x8F\xBF\xBF");
  // Alone, the wrong way round, or followed by something else: three bytes each.
  EXPECT_EQ(StringIn(R"("\ud83d")"), "\xED\xA0\xBD");
  EXPECT_EQ(StringIn(R"("\ude00\ud83d")"), "\xED\xB8\x80\xED\xA0\xBD");
  EXPECT_EQ(StringIn(R"("\ud83dx\ud83d\n")"), "\xED\xA0\xBDx\xED\xA0\xBD\n");
  EXPECT_EQ(StringIn(R"("\ud83d\ud83d\ude00")"), "\xED\xA0\xBD\xF0\x9F\x98\x80");
}

TEST(JsonReader, WalksMembersAndElementsInOrder) {
  const ExactCopy copy(R"( { "a" : [ 1 , [ ] , "x" ] , "b" : { } , "c" : null } )");
  JsonReader reader(TextOf(copy), kDepthMax);
  ASSERT_EQ(reader.Peek(), Kind::kObject);
  reader.Open();
  JsonReader::Text key;
  ASSERT_TRUE(reader.NextMember(&key));
  EXPECT_EQ(key.raw, "a");
  ASSERT_EQ(reader.Peek(), Kind::kArray);
  reader.Open();
  std::vector<Kind> kinds;
  while (reader.NextElement()) {
    kinds.push_back(reader.Peek());
    reader.Skip();
  }
  EXPECT_TRUE((kinds == std::vector<Kind>{Kind::kNumber, Kind::kArray, Kind::kString}));
  ASSERT_TRUE(reader.NextMember(&key));
  EXPECT_EQ(key.raw, "b");
  reader.Skip();
  ASSERT_TRUE(reader.NextMember(&key));
  EXPECT_EQ(key.raw, "c");
  EXPECT_EQ(reader.Peek(), Kind::kNull);
  reader.Skip();
  EXPECT_FALSE(reader.NextMember(&key));
  EXPECT_TRUE(reader.AtEnd());
}

TEST(JsonReader, StaysFailedOnceItHasFailed) {
  const ExactCopy copy("[1,x,{}]");
  JsonReader reader(TextOf(copy), kDepthMax);
  reader.Skip();
  EXPECT_TRUE(reader.failed());
  EXPECT_EQ(reader.Peek(), Kind::kNone);
  JsonReader::Text key;
  EXPECT_FALSE(reader.NextMember(&key));
  EXPECT_FALSE(reader.NextElement());
  reader.Skip();
  EXPECT_FALSE(reader.AtEnd());
}

}  // namespace
}  // namespace thermocline::filter
