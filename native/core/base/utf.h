// UTF-16, as JavaScript has strings, to UTF-8, as the log has them.
//
// Why not V8's own conversion: the one of Node 20 goes a character at a time, which is most of what writing a memory
// costs; widening to UTF-16 and narrowing here goes 32 units at a time for ASCII.
#pragma once

#include <cstddef>

namespace thermocline {

inline constexpr size_t kUtf8BytesPerUnitMax = 3;

struct Utf8Text {
  size_t bytes;
  bool ascii;
};

/// `out` has room for kUtf8BytesPerUnitMax bytes a unit. A lone surrogate becomes U+FFFD, as everywhere on the web.
Utf8Text Utf8FromUtf16(const char16_t* text, size_t units, char* out);

/// Writes `units` bytes and returns true when all of the text is ASCII; else false, and `out` holds nothing of use.
bool NarrowIfAscii(const char16_t* text, size_t units, char* out);

}  // namespace thermocline
