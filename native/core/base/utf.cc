#include "core/base/utf.h"

#include <cstdint>
#include <cstring>

namespace thermocline {
namespace {

constexpr size_t kLanes = 32;
using Units = uint16_t __attribute__((vector_size(kLanes * 2)));
using Bytes = uint8_t __attribute__((vector_size(kLanes)));

bool IsHighSurrogate(char16_t unit) { return (unit & 0xFC00) == 0xD800; }
bool IsLowSurrogate(char16_t unit) { return (unit & 0xFC00) == 0xDC00; }
bool IsSurrogate(char16_t unit) { return (unit & 0xF800) == 0xD800; }

/// Narrows whole vectors of ASCII from the front. Returns the units done.
size_t NarrowAscii(const char16_t* text, size_t units, char* out) {
  size_t at = 0;
  for (; at + kLanes <= units; at += kLanes) {
    uint64_t words[kLanes / 4];
    std::memcpy(words, text + at, sizeof words);
    uint64_t seen = 0;
    for (const uint64_t word : words) seen |= word;
    if ((seen & 0xFF80FF80FF80FF80ull) != 0) break;
    Units wide;
    std::memcpy(&wide, text + at, sizeof wide);
    const Bytes narrow = __builtin_convertvector(wide, Bytes);
    std::memcpy(out + at, &narrow, sizeof narrow);
  }
  return at;
}

char* Encode(uint32_t code_point, char* out) {
  const auto put = [&out](uint32_t byte) { *out++ = static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
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
