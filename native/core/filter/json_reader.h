// Reads JSON text value by value, without a tree and without allocating.
//
// Accepts what JSON.parse accepts, nested at most as deep as it is told to. Text may come from a damaged disk: whatever
// is wrong sets failed(), for good, and no byte outside the text is ever read. Strings come out in one canonical form:
// UTF-8, surrogates that stand alone as three bytes each, so that equal strings have equal bytes however they were
// escaped. Bytes that are no UTF-8 pass as they are. Not here: what a value means.
// What is called for every key lies in this header, because calls would cost more than the reading.
// Thread rule: a value, used by one thread.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace thermocline::filter {

class JsonReader {
 public:
  enum class Kind : uint8_t { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull, kNone };

  /// A string as it stands between its quotes.
  struct Text {
    std::string_view raw;
    bool escaped = false;
  };

  JsonReader(std::string_view text, uint32_t depth_max)
      : at_(text.data()), end_(text.data() + text.size()), depth_max_(depth_max) {}

  bool failed() const { return failed_; }
  /// The first byte that was not read.
  const char* at() const { return at_; }
  /// Nothing but white space is left.
  bool AtEnd() {
    SkipSpace();
    return at_ == end_ && !failed_;
  }

  /// Kind of the value that comes next, which is not read yet. kNone: failed, or there is none.
  Kind Peek() {
    SkipSpace();
    const Kind kind = at_ == end_ ? Kind::kNone : KindOf(*at_);
    if (kind == Kind::kNone) Fail();
    return kind;
  }

  /// After Peek said kObject or kArray.
  void Open() {
    if (++depth_ > depth_max_) {
      Fail();
      return;
    }
    ++at_;
    just_opened_ = true;
  }
  /// To the next member, whose value is then read or skipped. False: the object has ended and is read, or failed.
  bool NextMember(Text* key) {
    if (!NextItem('}')) return false;
    SkipSpace();
    if (at_ == end_ || *at_ != '"') return Fail();
    *key = ReadString();
    SkipSpace();
    if (at_ == end_ || *at_ != ':') return Fail();
    ++at_;
    return true;
  }
  /// To the next element, likewise.
  bool NextElement() { return NextItem(']'); }

  /// After Peek said kString.
  Text ReadString();
  /// After Peek said kNumber: the double nearest to it, as JSON.parse has it (an infinity beyond the largest).
  double ReadNumber();
  /// Any value, nested ones included.
  void Skip();

  /// The string in its canonical form: in the text itself, or in `scratch` when it had escapes.
  static std::string_view Decode(const Text& text, std::string& scratch);

 private:
  static bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
  static Kind KindOf(char first);

  void SkipSpace() {
    while (at_ < end_ && IsSpace(*at_)) ++at_;
  }

  bool Fail() {
    failed_ = true;
    at_ = end_;
    return false;
  }

  /// Past the comma, or past the closing bracket: false.
  bool NextItem(char close) {
    SkipSpace();
    if (at_ == end_) return Fail();
    const bool first = just_opened_;
    just_opened_ = false;
    if (*at_ == close) {
      ++at_;
      --depth_;
      return false;
    }
    if (first) return true;
    if (*at_ != ',') return Fail();
    ++at_;
    return true;
  }

  bool SkipEscape();
  struct Number {
    std::string_view text;
    bool integer = false;  // neither a fraction nor an exponent
  };
  Number ScanNumber();
  void ReadLiteral(std::string_view word);

  const char* at_;
  const char* end_;
  uint32_t depth_ = 0;
  uint32_t depth_max_;
  bool just_opened_ = false;  // no comma before the next item
  bool failed_ = false;
};

inline JsonReader::Kind JsonReader::KindOf(char first) {
  switch (first) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
      return Kind::kTrue;
    case 'f':
      return Kind::kFalse;
    case 'n':
      return Kind::kNull;
    default:
      return first == '-' || (first >= '0' && first <= '9') ? Kind::kNumber : Kind::kNone;
  }
}

/// Plain bytes of a string, of the eight at `at`, before the first that is a quote, a backslash or below 0x20.
inline uint32_t CountPlainBytes(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  constexpr uint64_t kOnes = 0x0101010101010101u;
  constexpr uint64_t kHighs = 0x8080808080808080u;
  // Sets the high bit of every byte that is zero, and of none below the first such (Warren, Hacker's Delight, 6-1).
  const auto zeros = [](uint64_t bytes) { return (bytes - kOnes) & ~bytes & kHighs; };
  const uint64_t found =
      zeros(word ^ kOnes * '"') | zeros(word ^ kOnes * '\\') | ((word - kOnes * 0x20) & ~word & kHighs);
  return static_cast<uint32_t>(std::countr_zero(found)) / 8;
}

inline JsonReader::Text JsonReader::ReadString() {
  Text text;
  const char* const begin = ++at_;
  for (;;) {
    while (end_ - at_ >= 8) {
      const uint32_t plain = CountPlainBytes(at_);
      at_ += plain;
      if (plain < 8) break;
    }
    if (at_ == end_) break;
    const char c = *at_;
    if (c == '"') {
      text.raw = {begin, static_cast<size_t>(at_ - begin)};
      ++at_;
      return text;
    }
    if (c == '\\') {
      text.escaped = true;
      if (!SkipEscape()) return Text();
    } else if (static_cast<unsigned char>(c) < 0x20) {
      break;
    } else {
      ++at_;
    }
  }
  Fail();
  return Text();
}

}  // namespace thermocline::filter
