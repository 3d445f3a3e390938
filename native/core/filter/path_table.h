// The metadata paths of a filter, found by the keys that an object has.
//
// A path is kept as it was given. At each object the paths still in question are one range of the sorted table, all
// beginning with what the keys above have used up; a key narrows it to the path that ends here and the range of those
// that go on behind a dot. So 'a.b' is found as {a: {b}} and as {'a.b'} alike, and many paths cost a logarithm. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace thermocline::filter {

/// Paths [begin, end) whose first `used` bytes are behind us.
struct PathRange {
  uint32_t begin = 0;
  uint32_t end = 0;
  size_t used = 0;
  bool empty() const { return begin == end; }
};

struct PathMatch {
  std::optional<uint32_t> exact;  // the path that ends with the key
  PathRange inner;                // the paths that go on inside the key's value
};

class PathTable {
 public:
  PathTable() = default;
  /// Sorted, each once; their numbers are their places.
  explicit PathTable(std::vector<std::string> paths);

  size_t size() const { return paths_.size(); }
  const std::string& text(uint32_t path) const { return paths_[path]; }
  PathRange all() const { return {0, static_cast<uint32_t>(paths_.size()), 0}; }
  PathMatch Find(const PathRange& range, std::string_view key) const;
  /// Whether only a key of the outermost object can be this path.
  bool IsPlain(uint32_t path) const { return plain_[path]; }

 private:
  bool Continues(uint32_t path, size_t used, std::string_view key) const;
  /// The first path of the range whose rest is not below `key` followed by `next`; 0 stands for the end.
  uint32_t LowerBound(uint32_t begin, uint32_t end, size_t used, std::string_view key, char next) const;

  std::vector<std::string> paths_;
  std::vector<bool> plain_;
};

}  // namespace thermocline::filter
