#include "core/filter/json_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace thermocline::filter {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

/// Value of a hexadecimal digit, or -1.
int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// Of four digits that were checked.
uint32_t HexUnit(const char* digits) {
  uint32_t unit = 0;
  for (int i = 0; i < 4; ++i) unit = unit << 4 | static_cast<uint32_t>(HexDigit(digits[i]));
  return unit;
}

bool IsHighSurrogate(uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool IsLowSurrogate(uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

void AppendUtf8(uint32_t point, std::string& out) {
  const auto tail = [&](int shift) { out.push_back(static_cast<char>(0x80 | (point >> shift & 0x3F))); };
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | point >> 6));
    tail(0);
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | point >> 12));
    tail(6);
    tail(0);
  } else {
    out.push_back(static_cast<char>(0xF0 | point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

char UnescapedChar(char c) {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return c;  // quote, backslash and slash stand for themselves
  }
}

// Every integer of so many digits is a double, and so is each step on the way to it.
constexpr size_t kExactDigits = 15;

/// Of at most kExactDigits characters.
double Integer(std::string_view number) {
  const bool negative = number.front() == '-';
  int64_t value = 0;
  for (const char digit : number.substr(negative ? 1 : 0)) value = value * 10 + (digit - '0');
  return negative ? -static_cast<double>(value) : static_cast<double>(value);
}

/// What a number becomes that no double is near: an infinity or a zero. By the decimal exponent of its first digit
/// that is not 0, because std::from_chars does not say on which side it left the range.
double OutOfRange(std::string_view number) {
  const bool negative = number.front() == '-';
  const size_t exponent_at = number.find_first_of("eE");
  const std::string_view mantissa = number.substr(negative ? 1 : 0, exponent_at - (negative ? 1 : 0));
  const size_t first = mantissa.find_first_of("123456789");
  const auto point = static_cast<int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  int64_t exponent = 0;
  if (exponent_at != std::string_view::npos) {
    std::string_view digits = number.substr(exponent_at + 1);
    const bool down = digits.front() == '-';
    if (down || digits.front() == '+') digits.remove_prefix(1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    // Beyond what any mantissa makes up for, and far enough from the end of int64 to be added to its digits.
    constexpr int64_t kExponentMax = std::numeric_limits<int64_t>::max() / 4;
    exponent = error == std::errc() ? std::min(exponent, kExponentMax) : kExponentMax;
    if (down) exponent = -exponent;
  }
  const bool large = first != std::string_view::npos && point - static_cast<int64_t>(first) + exponent > 0;
  const double size = large ? std::numeric_limits<double>::infinity() : 0;
  return negative ? -size : size;
}

}  // namespace

/// Past an escape whose backslash is at hand.
bool JsonReader::SkipEscape() {
  if (end_ - at_ < 2) return Fail();
  const char kind = at_[1];
  if (kind != 'u') {
    if (std::string_view("\"\\/bfnrt").find(kind) == std::string_view::npos) return Fail();
    at_ += 2;
    return true;
  }
  if (end_ - at_ < 6) return Fail();
  for (int i = 2; i < 6; ++i) {
    if (HexDigit(at_[i]) < 0) return Fail();
  }
  at_ += 6;
  return true;
}

std::string_view JsonReader::Decode(const Text& text, std::string& scratch) {
  if (!text.escaped) return text.raw;
  scratch.clear();
  const char* at = text.raw.data();
  const char* const end = at + text.raw.size();
  while (at < end) {
    if (*at != '\\') {
      scratch.push_back(*at++);
      continue;
    }
    if (at[1] != 'u') {
      scratch.push_back(UnescapedChar(at[1]));
      at += 2;
      continue;
    }
    uint32_t point = HexUnit(at + 2);
    at += 6;
    if (IsHighSurrogate(point) && end - at >= 6 && at[0] == '\\' && at[1] == 'u' && IsLowSurrogate(HexUnit(at + 2))) {
      point = 0x10000 + ((point - 0xD800) << 10) + (HexUnit(at + 2) - 0xDC00);
      at += 6;
    }
    AppendUtf8(point, scratch);
  }
  return scratch;
}

/// Past a number by the grammar of JSON, which std::from_chars alone would not keep. Empty: failed.
JsonReader::Number JsonReader::ScanNumber() {
  const char* const begin = at_;
  bool integer = true;
  const auto digits = [this] {
    const char* const first = at_;
    while (at_ < end_ && IsDigit(*at_)) ++at_;
    return at_ > first;
  };
  if (at_ < end_ && *at_ == '-') ++at_;
  const bool zero = at_ < end_ && *at_ == '0';
  bool good = digits();
  if (zero && at_ - begin > (*begin == '-' ? 2 : 1)) good = false;  // no digits after a leading 0
  if (good && at_ < end_ && *at_ == '.') {
    integer = false;
    ++at_;
    good = digits();
  }
  if (good && at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
    integer = false;
    ++at_;
    if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    good = digits();
  }
  if (good) return {{begin, static_cast<size_t>(at_ - begin)}, integer};
  Fail();
  return {};
}

double JsonReader::ReadNumber() {
  const auto [number, integer] = ScanNumber();
  if (number.empty()) return 0;
  if (integer && number.size() <= kExactDigits) return Integer(number);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  return error == std::errc() ? value : OutOfRange(number);
}

void JsonReader::ReadLiteral(std::string_view word) {
  if (static_cast<size_t>(end_ - at_) < word.size() || std::string_view(at_, word.size()) != word) {
    Fail();
    return;
  }
  at_ += word.size();
}

void JsonReader::Skip() {
  Text key;
  switch (Peek()) {
    case Kind::kObject:
      Open();
      while (NextMember(&key)) Skip();
      return;
    case Kind::kArray:
      Open();
      while (NextElement()) Skip();
      return;
    case Kind::kString:
      ReadString();
      return;
    case Kind::kNumber:
      ScanNumber();
      return;
    case Kind::kTrue:
      return ReadLiteral("true");
    case Kind::kFalse:
      return ReadLiteral("false");
    case Kind::kNull:
      return ReadLiteral("null");
    case Kind::kNone:
      return;
  }
}

}  // namespace thermocline::filter
