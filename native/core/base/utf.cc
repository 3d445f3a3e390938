#include "core/base/utf.h"

#include <cstdint>
#include <cstring>

namespace thermocline {
namespace {

constexpr size_t kLanes = 32;
constexpr size_t kFewLanes = 8;
constexpr uint64_t kBeyondAscii = 0xFF80FF80FF80FF80ull;  // of four units
using Words = uint64_t __attribute__((vector_size(16)));

bool IsHighSurrogate(char16_t unit) { return (unit & 0xFC00) == 0xD800; }
bool IsLowSurrogate(char16_t unit) { return (unit & 0xFC00) == 0xDC00; }
bool IsSurrogate(char16_t unit) { return (unit & 0xF800) == 0xD800; }

/// A loop of known length over arrays of its own: what compilers make packing instructions of, while they take a
/// conversion of longer vectors than the machine has apart into single elements.
template <size_t lanes>
inline void Narrow(const void* text, char* out) {
  uint16_t wide[lanes];
  std::memcpy(wide, text, sizeof wide);
  uint8_t narrow[lanes];
  for (size_t i = 0; i < lanes; ++i) narrow[i] = static_cast<uint8_t>(wide[i]);
  std::memcpy(out, narrow, sizeof narrow);
}

/// Narrows ASCII from the front, all but a few units. Returns the units done.
size_t NarrowAscii(const char16_t* text, size_t units, char* out) {
  size_t at = 0;
  for (; at + kLanes <= units; at += kLanes) {
    Words words[kLanes / 8];
    std::memcpy(words, text + at, sizeof words);
    const Words seen = (words[0] | words[1]) | (words[2] | words[3]);
    if (((seen[0] | seen[1]) & kBeyondAscii) != 0) break;
    Narrow<kLanes>(words, out + at);
  }
  for (; at + kFewLanes <= units; at += kFewLanes) {
    Words words;
    std::memcpy(&words, text + at, sizeof words);
    if (((words[0] | words[1]) & kBeyondAscii) != 0) break;
    Narrow<kFewLanes>(&words, out + at);
  }
  return at;
}

/// From U+0080 on.
char* Encode(uint32_t code_point, char* out) {
  const auto put = [&out](uint32_t byte) { *out++ = static_cast<char>(byte); };
  if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
  return out;
}

}  // namespace

bool NarrowIfAscii(const char16_t* text, size_t units, char* out) {
  size_t at = NarrowAscii(text, units, out);
  if (at + kFewLanes <= units) return false;
  char16_t seen = 0;
  for (; at < units; ++at) {
    seen |= text[at];
    out[at] = static_cast<char>(text[at]);
  }
  return seen < 0x80;
}

Utf8Text Utf8FromUtf16(const char16_t* text, size_t units, char* out) {
  char* const begin = out;
  bool ascii = true;
  size_t at = 0;
  while (at < units) {
    const size_t narrowed = NarrowAscii(text + at, units - at, out);
    at += narrowed;
    out += narrowed;
    // A vector's length by the unit, then in bulk again: text in other scripts has long stretches of either kind.
    const size_t end = at + kLanes < units ? at + kLanes : units;
    while (at < end) {
      const char16_t unit = text[at++];
      if (unit < 0x80) {
        *out++ = static_cast<char>(unit);
        continue;
      }
      ascii = false;
      uint32_t code_point = unit;
      if (IsHighSurrogate(unit) && at < units && IsLowSurrogate(text[at])) {
        code_point = 0x10000 + ((uint32_t{unit} & 0x3FF) << 10) + (uint32_t{text[at++]} & 0x3FF);
      } else if (IsSurrogate(unit)) {
        code_point = 0xFFFD;
      }
      out = Encode(code_point, out);
    }
  }
  return {static_cast<size_t>(out - begin), ascii};
}

}  // namespace thermocline
