#include "core/filter/text_order.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace thermocline::filter {
namespace {

bool IsTail(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// Hands out the UTF-16 code units of UTF-8. A byte that begins no character is a unit by itself.
class UnitReader {
 public:
  explicit UnitReader(std::string_view text) : text_(text) {}

  bool done() const { return low_surrogate_ == 0 && text_.empty(); }

  uint32_t Next() {
    if (low_surrogate_ != 0) {
      const uint32_t unit = low_surrogate_;
      low_surrogate_ = 0;
      return unit;
    }
    const uint32_t point = NextPoint();
    if (point < 0x10000) return point;
    low_surrogate_ = 0xDC00 | ((point - 0x10000) & 0x3FF);
    return 0xD800 + ((point - 0x10000) >> 10);
  }

 private:
  uint32_t NextPoint() {
    const auto lead = static_cast<unsigned char>(text_[0]);
    const size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
    uint32_t point = length == 1 ? lead : lead & (0x7Fu >> length);
    for (size_t i = 1; i < length; ++i) {
      if (i >= text_.size() || !IsTail(text_[i])) {
        text_.remove_prefix(1);
        return lead;
      }
      point = point << 6 | (static_cast<unsigned char>(text_[i]) & 0x3F);
    }
    text_.remove_prefix(length);
    // 0xF4 can lead beyond U+10FFFF, for which there are no code units.
    return std::min(point, 0x10FFFFu);
  }

  std::string_view text_;
  uint32_t low_surrogate_ = 0;
};

struct Comparison {
  int order;
  bool a_ended;  // no unit of `a` differs from that of `b` at its place
};

Comparison Compare(std::string_view a, std::string_view b) {
  const size_t shared = std::min(a.size(), b.size());
  size_t at = static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(shared), b.begin()).first - a.begin());
  if (at == shared) return {a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0, at == a.size()};
  const auto byte_a = static_cast<unsigned char>(a[at]);
  const auto byte_b = static_cast<unsigned char>(b[at]);
  if (byte_a < 0x80 && byte_b < 0x80) return {byte_a < byte_b ? -1 : 1, false};
  // From the first byte of the character in which they differ.
  for (int back = 0; back < 3 && at > 0 && (IsTail(a[at]) || IsTail(b[at])); ++back) --at;
  UnitReader units_a(a.substr(at));
  UnitReader units_b(b.substr(at));
  while (!units_a.done() && !units_b.done()) {
    const uint32_t unit_a = units_a.Next();
    const uint32_t unit_b = units_b.Next();
    if (unit_a != unit_b) return {unit_a < unit_b ? -1 : 1, false};
  }
  return {units_a.done() ? (units_b.done() ? 0 : -1) : 1, units_a.done()};
}

}  // namespace

int CompareText(std::string_view a, std::string_view b) { return Compare(a, b).order; }

bool StartsWith(std::string_view text, std::string_view prefix) { return Compare(prefix, text).a_ended; }

}  // namespace thermocline::filter
