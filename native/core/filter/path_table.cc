#include "core/filter/path_table.h"

#include <algorithm>
#include <cstring>

namespace thermocline::filter {

PathTable::PathTable(std::vector<std::string> paths) : paths_(std::move(paths)) {
  for (const std::string& path : paths_) plain_.push_back(path.find('.') == std::string::npos);
}

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

/// Whether the rest of a path begins with the key.
bool PathTable::Continues(uint32_t path, size_t used, std::string_view key) const {
  const std::string& text = paths_[path];
  if (text.size() < used + key.size()) return false;
  // Most keys differ in their first byte, which costs less to see than a call.
  return key.empty() || (text[used] == key.front() && std::memcmp(text.data() + used, key.data(), key.size()) == 0);
}

PathMatch PathTable::Find(const PathRange& range, std::string_view key) const {
  constexpr uint32_t kFew = 8;
  PathMatch match;
  uint32_t at = range.begin;
  if (range.end - range.begin <= kFew) {
    while (at < range.end && !Continues(at, range.used, key)) ++at;
  } else {
    at = LowerBound(range.begin, range.end, range.used, key, '\0');
  }
  if (at == range.end || !Continues(at, range.used, key)) return match;
  if (paths_[at].size() == range.used + key.size()) match.exact = at++;
  if (at == range.end || !Continues(at, range.used, key)) return match;
  at = LowerBound(at, range.end, range.used, key, '.');
  match.inner = {at, LowerBound(at, range.end, range.used, key, '.' + 1), range.used + key.size() + 1};
  return match;
}

}  // namespace thermocline::filter
