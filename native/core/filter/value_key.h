// What a path leads to in one memory, in 64 bits: the cells of an index over metadata, and what they answer.
//
// A key says of a scalar what it is: of null, booleans and numbers exactly, of a string by a keyed hash of 50 bits.
// What is no single scalar has a key that says no more than that. So a key answers "no" for certain, "yes" for all but
// strings, and where it cannot answer the record is asked: a hash that collides costs time and nothing else.
// Numbers keep their order. Pure; any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/base/hash.h"
#include "core/filter/filter.h"
#include "core/kernels/kernels.h"

namespace thermocline::filter {

using ValueKey = uint64_t;

inline constexpr ValueKey kKeyUnknown = 0;  // nobody looked
inline constexpr ValueKey kKeyMixed = 1;    // several values, an object, an empty array: ask the record
inline constexpr ValueKey kKeyAbsent = 2;   // the path leads nowhere
inline constexpr ValueKey kKeyNull = 3;
inline constexpr ValueKey kKeyFalse = 4;
inline constexpr ValueKey kKeyTrue = 5;
// Below every number's key: those are the bits of the double, flipped so that they sort as the numbers do.
inline constexpr ValueKey kKeyStringFirst = uint64_t{1} << 50;
inline constexpr ValueKey kKeyStringLast = (uint64_t{1} << 51) - 1;

/// Slots that are asked at once.
inline constexpr size_t kKeysAtOnce = 64;

ValueKey KeyOf(const Value& value, const HashKey& hash);

/// The key of each path for a record with this metadata.
void ReadKeys(const PathTable& paths, std::string_view metadata, const HashKey& hash, ValueKey* keys);

/// A condition, asked of keys.
class KeyCondition {
 public:
  KeyCondition(const Condition& condition, const HashKey& hash);

  /// What is certain of kKeysAtOnce slots.
  Lanes Ask(const ValueKey* keys) const;
  /// Whether keys of single scalars answer nearly always: not when strings have to be put in an order.
  bool answers() const { return !strings_are_wanted_ || strings_are_sure_; }

 private:
  struct Range {
    ValueKey first;
    ValueKey last;
  };

  void AddPoint(ValueKey key) { points_.push_back(key); }
  void AddScalars(const Condition& condition, const HashKey& hash);
  void AddNumbers(const Condition& condition);
  void AddStrings(const Condition& condition);
  uint64_t PointBits(const ValueKey* keys) const;

  const kernels::Kernels& kernels_;
  // A key that is none of these answers "no".
  std::vector<ValueKey> points_;  // sorted
  std::vector<Range> ranges_;
  bool numbers_are_sure_ = true;     // a number within a range matches for certain
  bool strings_are_wanted_ = false;  // any of them may match
  bool strings_are_sure_ = false;    // and does
};

}  // namespace thermocline::filter
