// Strings are ordered as JavaScript orders them, by UTF-16 code units.

#include "core/filter/text_order.h"

#include <algorithm>
#include <string>
#include <vector>

#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::filter {
namespace {

using Units = std::vector<uint16_t>;

/// As JsonReader writes strings: pairs as four bytes, surrogates that stand alone as three.
std::string Utf8Of(const Units& units) {
  std::string out;
  for (size_t i = 0; i < units.size(); ++i) {
    uint32_t point = units[i];
    const bool high = point >= 0xD800 && point < 0xDC00;
    if (high && i + 1 < units.size() && units[i + 1] >= 0xDC00 && units[i + 1] < 0xE000) {
      point = 0x10000 + ((point - 0xD800) << 10) + (units[++i] - 0xDC00u);
    }
    if (point < 0x80) {
      out += static_cast<char>(point);
      continue;
    }
    const int tails = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    const uint32_t lead = tails == 1 ? 0xC0 : tails == 2 ? 0xE0 : 0xF0;
    out += static_cast<char>(lead | point >> (6 * tails));
    for (int tail = tails - 1; tail >= 0; --tail) out += static_cast<char>(0x80 | (point >> (6 * tail) & 0x3F));
  }
  return out;
}

int Sign(int order) { return order < 0 ? -1 : order > 0 ? 1 : 0; }

int OrderOf(const Units& a, const Units& b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end()) ? -1 : a == b ? 0 : 1;
}

/// Units from every class whose orders by bytes and by units could differ.
uint16_t RandomUnit(Random& random) {
  constexpr uint16_t kUnits[] = {'a',    'b',    0x7F,   0x80,   0xE9,   0x7FF,  0x800,  0xD7FF, 0xD800, 0xD83D,
                                 0xDBFF, 0xDC00, 0xDE00, 0xDFFF, 0xE000, 0xE001, 0xFF5E, 0xFFFD, 0xFFFF};
  return kUnits[random.Below(std::size(kUnits))];
}

Units RandomUnits(Random& random) {
  Units units(random.Below(6));
  for (uint16_t& unit : units) unit = RandomUnit(random);
  return units;
}

std::string_view TextOf(const test::ExactCopy& copy) { return {copy.span().data(), copy.span().size()}; }

TEST(TextOrder, IsTheOrderOfCodeUnits) {
  EXPECT_LT(CompareText("a", "b"), 0);
  EXPECT_LT(CompareText("a", "aa"), 0);
  EXPECT_EQ(CompareText("", ""), 0);
  EXPECT_LT(CompareText("Z", "a"), 0);
  // U+1F600 comes before U+FF5E, although its bytes do not.
  EXPECT_LT(CompareText("\xF0\x9F\x98\x80", "\xEF\xBD\x9E"), 0);
  Random random(TestSeed());
  for (int round = 0; round < 300000; ++round) {
    const Units left = RandomUnits(random);
    Units right = RandomUnits(random);
    if (random.Below(2) == 0) right.insert(right.begin(), left.begin(), left.end());  // a common beginning
    const test::ExactCopy left_text(Utf8Of(left));
    const test::ExactCopy right_text(Utf8Of(right));
    EXPECT_EQ(Sign(CompareText(TextOf(left_text), TextOf(right_text))), OrderOf(left, right));
    EXPECT_EQ(Sign(CompareText(TextOf(right_text), TextOf(left_text))), OrderOf(right, left));
  }
}

TEST(TextOrder, CharactersOfFourBytesDifferInAnyOfThem) {
  const std::string grinning = "\xF0\x9F\x98\x80";
  for (const char* later : {"\xF0\x9F\x98\x81", "\xF0\x9F\x99\x80", "\xF0\xA0\x80\x80", "\xF4\x80\x80\x80"}) {
    for (const std::string before : {"", "a", "\xC3\xA4", "\xF0\x9F\x98\x80"}) {
      EXPECT_LT(CompareText(before + grinning, before + later), 0);
      EXPECT_GT(CompareText(before + later, before + grinning), 0);
    }
  }
}

TEST(TextOrder, APrefixIsOneOfCodeUnits) {
  EXPECT_TRUE(StartsWith("abc", ""));
  EXPECT_TRUE(StartsWith("abc", "abc"));
  EXPECT_FALSE(StartsWith("abc", "abcd"));
  EXPECT_FALSE(StartsWith("abc", "b"));
  EXPECT_TRUE(StartsWith("\xF0\x9F\x98\x80", "\xED\xA0\xBD"));  // half of a pair
  EXPECT_FALSE(StartsWith("\xF0\x9F\x98\x80", "\xED\xA0\xBE"));
  Random random(TestSeed());
  for (int round = 0; round < 300000; ++round) {
    const Units text = RandomUnits(random);
    Units prefix = random.Below(2) == 0 ? RandomUnits(random) : text;
    prefix.resize(std::min<size_t>(prefix.size(), random.Below(6)));
    const bool expected = prefix.size() <= text.size() && std::equal(prefix.begin(), prefix.end(), text.begin());
    const test::ExactCopy bytes(Utf8Of(text));
    const test::ExactCopy prefix_bytes(Utf8Of(prefix));
    EXPECT_EQ(StartsWith(TextOf(bytes), TextOf(prefix_bytes)), expected);
  }
}

TEST(TextOrder, BytesThatAreNoUtf8HaveSomeOrderAndCrashNothing) {
  Random random(TestSeed());
  for (int round = 0; round < 300000; ++round) {
    std::string bytes[2];
    for (std::string& text : bytes) {
      text.resize(random.Below(7));
      for (char& c : text)
        c = static_cast<char>(random.Below(2) == 0 ? 0x80 + random.Below(128) : 0xE0 + random.Below(32));
    }
    const test::ExactCopy left(bytes[0]);
    const test::ExactCopy right(bytes[1]);
    EXPECT_EQ(Sign(CompareText(TextOf(left), TextOf(right))), -Sign(CompareText(TextOf(right), TextOf(left))));
    EXPECT_EQ(CompareText(TextOf(left), TextOf(left)), 0);
    (void)StartsWith(TextOf(left), TextOf(right));
  }
}

}  // namespace
}  // namespace thermocline::filter
