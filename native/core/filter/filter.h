// A filter: which memories are meant. docs/filters.md says what each part means; this holds it ready to be asked.
//
// Its text is JSON in the shape of the public `Filter`, with a Condition at every path:
//   {"metadata": {"a.b": {"gte": 1, "lt": 5}}, "createdAt": {"gt": 0}, "not": {"id": {"prefix": "x"}}}
// What is asked about a memory goes from cheap to dear and ends as soon as the answer is certain: the columns, then the
// id, then one walk over the metadata that looks for all paths at once (metadata_walk.h).
// Thread rule: immutable once compiled, so any number of threads may ask at once. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/filter/condition.h"
#include "core/filter/path_table.h"

namespace thermocline::filter {

/// What is known of an answer so far.
enum class Truth : uint8_t { kFalse, kTrue, kUnknown };

/// An answer. kCorrupt: the metadata is no JSON object, as far as it had to be read.
enum class Verdict : uint8_t { kNo, kYes, kCorrupt };

/// Where the numbers of a memory lie; only those that are asked for are read.
struct Columns {
  const uint64_t* created_at;  // bits of a double that never changes
  const uint64_t* confidence;  // likewise
  const double* last_access;   // changes at any time, eight bytes at once
};

enum class Field : uint8_t { kCreatedAt, kLastAccess, kConfidence, kId, kMetadata };

/// Of a field that is a column.
double NumberOf(Field field, const Columns& columns);

/// One Condition and what it is asked about.
struct Leaf {
  Field field = Field::kMetadata;
  uint32_t path = 0;  // of kMetadata
  Condition condition;
  std::string text;  // equal texts are the same question

  /// Whether a record answers it, which never changes, and not a column.
  bool of_record() const { return field == Field::kId || field == Field::kMetadata; }
};

/// What is known of up to 64 memories at once: a bit each. Neither bit: unknown.
struct Lanes {
  uint64_t yes = 0;
  uint64_t no = 0;
};

/// What a walk over metadata found of a leaf.
struct LeafState {
  bool present = false;    // its path leads somewhere
  bool has_value = false;  // to a value, not to empty arrays alone
  bool matched = false;    // one value fulfils all that is asked of it
  bool decided = false;    // nothing that follows can change the answer
};

class Filter {
 public:
  /// kArgument: not a filter. kArgumentRange: a number beyond all doubles, or more than limits.h allows.
  static Result<Filter> Compile(std::string_view text);

  /// kUnknown: the record must be looked at.
  Truth TestColumns(const Columns& columns) const;
  /// The answer, whatever TestColumns said. `metadata`: JSON text, empty for {}.
  Verdict Test(const Columns& columns, std::string_view id, std::string_view metadata) const;

  /// Answers of all leaves that a record answers; those of other leaves are left alone. False: the metadata is corrupt.
  bool AskRecord(std::string_view id, std::string_view metadata, bool* answers) const;
  /// What follows for the filter from what is known of each leaf.
  Lanes Combine(const Lanes* leaves) const { return Combine(0, leaves); }

  const std::vector<Leaf>& leaves() const { return leaves_; }
  const PathTable& paths() const { return paths_; }
  /// The path that a leaf asks about, as it was given.
  const std::string& PathOf(const Leaf& leaf) const { return paths_.text(leaf.path); }
  /// Leaves that ask about a path.
  const std::vector<uint32_t>& LeavesOf(uint32_t path) const { return leaves_of_path_[path]; }

 private:
  friend class Compiler;

  enum class NodeKind : uint8_t { kAnd, kOr, kNot, kLeaf };
  /// Nodes stand before their children, which follow one another up to `end`.
  struct Node {
    NodeKind kind;
    uint32_t leaf;
    uint32_t end;
  };
  /// What may be looked at; nullptr: not yet.
  struct Known {
    const Columns* columns;
    const std::string_view* id;
    const LeafState* metadata;  // one per leaf
  };

  Filter() = default;
  Truth Evaluate(uint32_t at, const Known& known) const;
  Truth EvaluateLeaf(uint32_t leaf, const Known& known) const;
  Lanes Combine(uint32_t at, const Lanes* leaves) const;

  std::vector<Node> nodes_;  // the first is the root
  std::vector<Leaf> leaves_;
  PathTable paths_;
  std::vector<std::vector<uint32_t>> leaves_of_path_;
};

}  // namespace thermocline::filter
