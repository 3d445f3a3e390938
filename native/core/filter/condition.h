// What one value must fulfil, and how values compare. Pure.
//
// Values compare as JavaScript compares them when both are of one kind: numbers as doubles, strings by code units,
// false before true. Values of different kinds are unequal and have no order; an object equals nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace thermocline::filter {

enum class ValueKind : uint8_t { kNull, kBoolean, kNumber, kString, kObject };

struct Value {
  ValueKind kind = ValueKind::kNull;
  double number = 0;      // of kNumber; 0 or 1 of kBoolean
  std::string_view text;  // of kString, in the canonical form of JsonReader
};

/// A value that a condition names; owns its text.
struct Operand {
  ValueKind kind = ValueKind::kNull;
  double number = 0;
  std::string text;
  Value value() const { return {kind, number, text}; }
};

enum class Operator : uint8_t { kEq, kNe, kIn, kGt, kGte, kLt, kLte, kPrefix };

/// Whether the key must be there, whatever it leads to.
enum class Existence : uint8_t { kAny, kMust, kMustNot };

class Condition {
 public:
  struct Check {
    Operator operation;
    std::vector<Operand> operands;  // of kIn: sorted
  };

  /// One operand; any number of kIn.
  void Add(Operator operation, std::vector<Operand> operands);
  void set_existence(Existence existence) { existence_ = existence; }

  const std::vector<Check>& checks() const { return checks_; }
  Existence existence() const { return existence_; }
  /// Whether it asks anything of the value itself.
  bool asks_value() const { return !checks_.empty(); }
  /// All that is asked of the value holds for this one.
  bool HoldsFor(const Value& value) const;
  /// The same of `count` numbers, at most 64: bit i tells of the i-th.
  uint64_t HoldsForNumbers(const double* numbers, size_t count) const;
  /// All that is asked of the value holds where there is none: nothing is unequal to everything.
  bool holds_for_nothing() const { return holds_for_nothing_; }

 private:
  static bool Holds(const Check& check, const Value& value);
  static uint64_t HoldsForNumbers(const Check& check, const double* numbers, size_t count);

  Existence existence_ = Existence::kAny;
  bool holds_for_nothing_ = true;
  std::vector<Check> checks_;
};

}  // namespace thermocline::filter
