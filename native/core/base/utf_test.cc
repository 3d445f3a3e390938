#include "core/base/utf.h"

#include <string>

#include "test/harness.h"

namespace thermocline {
namespace {

std::string Convert(const std::u16string& text, bool* ascii = nullptr) {
  std::string out(text.size() * kUtf8BytesPerUnitMax, '\0');
  const Utf8Text converted = Utf8FromUtf16(text.data(), text.size(), out.data());
  if (ascii != nullptr) *ascii = converted.ascii;
  out.resize(converted.bytes);
  return out;
}

TEST(Utf8FromUtf16, NarrowsAsciiOfEveryLength) {
  for (size_t length = 0; length < 200; ++length) {
    std::u16string text;
    std::string expected;
    for (size_t i = 0; i < length; ++i) {
      text += static_cast<char16_t>(i % 128);
      expected += static_cast<char>(i % 128);
    }
    bool ascii = false;
    EXPECT_TRUE(Convert(text, &ascii) == expected);
    EXPECT_TRUE(ascii);
  }
}

TEST(Utf8FromUtf16, SeesWhatIsNotAsciiAtEveryPlace) {
  struct Case {
    std::u16string text;
    std::string expected;
  };
  const Case cases[] = {
      {u"\u0080", "\xC2\x80"},
      {u"\u07FF", "\xDF\xBF"},
      {u"\u0800", "\xE0\xA0\x80"},
      {u"\uFFFF", "\xEF\xBF\xBF"},
      {u"\U00010000", "\xF0\x90\x80\x80"},
      {u"\U0010FFFF", "\xF4\x8F\xBF\xBF"},
  };
  for (const Case& example : cases) {
    for (size_t before = 0; before < 70; ++before) {
      for (const size_t after : {size_t{0}, size_t{1}, size_t{40}}) {
        bool ascii = true;
        const std::u16string text = std::u16string(before, u'a') + example.text + std::u16string(after, u'z');
        EXPECT_TRUE(Convert(text, &ascii) == std::string(before, 'a') + example.expected + std::string(after, 'z'));
        EXPECT_FALSE(ascii);
      }
    }
  }
}

TEST(NarrowIfAscii, AgreesWithTheConversionAtEveryLengthAndPlace) {
  for (size_t length = 0; length < 200; ++length) {
    const std::u16string plain(length, u'a');
    std::string out(length + 1, '#');
    EXPECT_TRUE(NarrowIfAscii(plain.data(), length, out.data()));
    EXPECT_TRUE(out == std::string(length, 'a') + "#");
    for (size_t at = 0; at < length; ++at) {
      for (const char16_t unit : {u'\u0080', u'\u0100', u'\uFF00', char16_t{0xD800}}) {
        std::u16string text = plain;
        text[at] = unit;
        EXPECT_FALSE(NarrowIfAscii(text.data(), length, out.data()));
      }
    }
  }
}

TEST(Utf8FromUtf16, ReplacesALoneSurrogate) {
  const std::string replacement = "\xEF\xBF\xBD";
  EXPECT_TRUE(Convert(std::u16string(1, char16_t{0xD800})) == replacement);
  EXPECT_TRUE(Convert(std::u16string(1, char16_t{0xDC00})) == replacement);
  EXPECT_TRUE(Convert(std::u16string(1, char16_t{0xD800}) + u"a") == replacement + "a");
}

}  // namespace
}  // namespace thermocline
