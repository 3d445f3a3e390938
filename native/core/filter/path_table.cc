#include "core/filter/path_table.h"

#include <algorithm>

namespace thermocline::filter {

uint32_t PathTable::LowerBound(uint32_t begin, uint32_t end, size_t used, std::string_view key, char next) const {
  const auto below = [&](const std::string& path, std::string_view) {
    const std::string_view rest = std::string_view(path).substr(used);
    const int order = rest.substr(0, key.size()).compare(key);
    if (order != 0 || next == '\0') return order < 0;
    return rest.size() == key.size() || static_cast<unsigned char>(rest[key.size()]) < static_cast<unsigned char>(next);
  };
  const auto first = paths_.begin() + begin;
  return static_cast<uint32_t>(std::lower_bound(first, paths_.begin() + end, key, below) - paths_.begin());
}

PathMatch PathTable::Find(const PathRange& range, std::string_view key) const {
  PathMatch match;
  const uint32_t first = LowerBound(range.begin, range.end, range.used, key, '\0');
  if (first == range.end) return match;
  const std::string_view rest = std::string_view(paths_[first]).substr(range.used);
  if (rest.substr(0, key.size()) != key) return match;
  uint32_t inner = first;
  if (rest.size() == key.size()) {
    match.exact = first;
    ++inner;
  }
  inner = LowerBound(inner, range.end, range.used, key, '.');
  match.inner = {inner, LowerBound(inner, range.end, range.used, key, '.' + 1), range.used + key.size() + 1};
  return match;
}

}  // namespace thermocline::filter
