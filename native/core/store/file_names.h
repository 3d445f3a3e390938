// Names of the files of a store, and paths in parts.
#pragma once

#include <cstdint>
#include <string>

namespace thermocline::store {

/// The segment of "<n>.log", "<n>.blocks" or "<n>.keys", whatever follows the last; 0 for any other name.
inline uint32_t SegmentOfFileName(const std::string& name) {
  uint64_t number = 0;
  size_t at = 0;
  for (; at < name.size() && at < 10 && name[at] >= '0' && name[at] <= '9'; ++at) {
    number = number * 10 + static_cast<uint64_t>(name[at] - '0');
  }
  if (at == 0 || name[0] == '0' || number > UINT32_MAX) return 0;
  const std::string suffix = name.substr(at);
  // Keys are written beside their place and then renamed: what an interrupted run left has a longer name.
  const bool known = suffix == ".log" || suffix == ".blocks" || suffix.rfind(".keys", 0) == 0;
  return known ? static_cast<uint32_t>(number) : 0;
}

inline bool IsStoreFileName(const std::string& name) {
  return name == "meta" || name == "meta.new" || name == "meta.rewritten" || name == "lock" || name == "cache" ||
         SegmentOfFileName(name) != 0;
}

/// Directory and name of what a path names; slashes at its end do not count.
struct PathParts {
  std::string parent;
  std::string name;
};
inline PathParts SplitPath(const std::string& path) {
  const std::string trimmed = path.substr(0, path.find_last_not_of('/') + 1);
  const size_t slash = trimmed.find_last_of('/');
  if (slash == std::string::npos) return {".", trimmed};
  return {trimmed.substr(0, slash + 1), trimmed.substr(slash + 1)};
}

}  // namespace thermocline::store
