// Order and prefixes of strings as JavaScript has them: by UTF-16 code units, although the strings are UTF-8.
//
// The two orders differ where characters beyond U+FFFF meet U+E000..U+FFFF. Strings are as JsonReader gives them:
// surrogates that stand alone are three bytes each. Bytes that are no UTF-8 have some place in the order. Pure.
#pragma once

#include <string_view>

namespace thermocline::filter {

/// Below 0, 0, above 0: `a` before, equal to, after `b`.
int CompareText(std::string_view a, std::string_view b);

/// Whether the code units of `text` begin with those of `prefix`, which may end in half of a surrogate pair.
bool StartsWith(std::string_view text, std::string_view prefix);

}  // namespace thermocline::filter
