// One walk over the metadata of a memory, which finds what every path of a filter leads to.
//
// Arrays are looked through wherever a path meets one, so a path leads to any number of values. The walk ends early
// once nothing that follows can matter, so damage behind that is not seen. Recursion is bounded by the depth that
// JsonReader accepts. Thread rule: one walk is one thread's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/filter/filter.h"
#include "core/filter/json_reader.h"

namespace thermocline::filter {

class MetadataWalk {
 public:
  /// `states`: one per leaf of the filter, all as constructed.
  MetadataWalk(const Filter& filter, LeafState* states);

  /// False: not the text of a JSON object. Empty text stands for {}.
  bool Run(std::string_view metadata);

 private:
  void VisitMembers(const PathRange& paths);
  void VisitValue(std::optional<uint32_t> exact, const PathRange& inner);
  void VisitScalar(JsonReader::Kind kind, uint32_t path);
  void NotePresent(uint32_t path);
  void NoteValue(uint32_t path, const Value& value);
  void DecideAll(uint32_t path);
  void Decide(LeafState& state);

  const Filter& filter_;
  LeafState* states_;
  JsonReader reader_{{}, 0};
  uint32_t undecided_ = 0;
  std::string key_scratch_;
  std::string value_scratch_;
};

}  // namespace thermocline::filter
