// One walk over the metadata of a memory, which finds what every path of a table leads to.
//
// Arrays are looked through wherever a path meets one, so a path leads to any number of values. The walk ends early
// once nothing that follows can matter, so damage behind that is not seen. Recursion is bounded by the depth that
// JsonReader accepts. Thread rule: one walk is one thread's.
//
// A Visitor has: done() - nothing that follows matters; NotePresent(path) - the path leads somewhere;
// NoteValue(path, value) - to this value, among others perhaps; NoteEnd(path) - to nothing that was not told.
// A template and not an interface, because a walk takes less than a tenth of a microsecond.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/limits.h"
#include "core/filter/condition.h"
#include "core/filter/json_reader.h"
#include "core/filter/path_table.h"

namespace thermocline::filter {

template <typename Visitor>
class MetadataWalk {
 public:
  MetadataWalk(const PathTable& paths, Visitor& visitor) : paths_(paths), visitor_(visitor) {}

  /// False: not the text of a JSON object. Empty text stands for {}.
  bool Run(std::string_view metadata) {
    if (metadata.empty()) return true;
    reader_ = JsonReader(metadata, kMetadataDepthMax);
    if (reader_.Peek() != Kind::kObject) return false;
    VisitMembers(paths_.all());
    return !reader_.failed() && (visitor_.done() || reader_.AtEnd());
  }

 private:
  using Kind = JsonReader::Kind;

  void VisitMembers(const PathRange& paths) {
    reader_.Open();
    JsonReader::Text key;
    while (!visitor_.done() && reader_.NextMember(&key)) {
      const auto [exact, inner] = paths_.Find(paths, JsonReader::Decode(key, key_scratch_));
      if (exact) visitor_.NotePresent(*exact);
      VisitValue(exact, inner);
      // No other key can be this path, so what was not found in it is not there.
      if (exact && paths_.IsPlain(*exact)) visitor_.NoteEnd(*exact);
    }
  }

  void VisitValue(std::optional<uint32_t> exact, const PathRange& inner) {
    if (!exact && inner.empty()) return reader_.Skip();
    const Kind kind = reader_.Peek();
    if (kind == Kind::kArray) {
      reader_.Open();
      while (!visitor_.done() && reader_.NextElement()) VisitValue(exact, inner);
    } else if (kind == Kind::kObject) {
      if (exact) visitor_.NoteValue(*exact, {ValueKind::kObject, 0, {}});
      if (inner.empty()) return reader_.Skip();
      VisitMembers(inner);
    } else if (exact) {
      VisitScalar(kind, *exact);
    } else {
      reader_.Skip();
    }
  }

  void VisitScalar(Kind kind, uint32_t path) {
    Value value;
    if (kind == Kind::kString) {
      value = {ValueKind::kString, 0, JsonReader::Decode(reader_.ReadString(), value_scratch_)};
    } else if (kind == Kind::kNumber) {
      value = {ValueKind::kNumber, reader_.ReadNumber(), {}};
    } else {
      if (kind != Kind::kNull) value = {ValueKind::kBoolean, kind == Kind::kTrue ? 1.0 : 0.0, {}};
      reader_.Skip();
    }
    if (!reader_.failed()) visitor_.NoteValue(path, value);
  }

  const PathTable& paths_;
  Visitor& visitor_;
  JsonReader reader_{{}, 0};
  std::string key_scratch_;
  std::string value_scratch_;
};

}  // namespace thermocline::filter
