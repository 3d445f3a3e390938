#include "core/filter/value_key.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/base/atomic.h"
#include "core/filter/metadata_walk.h"

namespace thermocline::filter {
namespace {

// More single keys than these are looked up, fewer compared one after another.
constexpr size_t kPointsCompared = 8;

ValueKey KeyOfNumber(double number) {
  const uint64_t bits = std::bit_cast<uint64_t>(number == 0 ? 0.0 : number);  // 0 and -0 are equal
  return (bits >> 63) != 0 ? ~bits : bits | uint64_t{1} << 63;
}

const ValueKey kKeyLowestNumber = KeyOfNumber(-std::numeric_limits<double>::infinity());
const ValueKey kKeyHighestNumber = KeyOfNumber(std::numeric_limits<double>::infinity());

/// Notes the one value that a path leads to.
class KeyVisitor {
 public:
  KeyVisitor(size_t paths, const HashKey& hash, ValueKey* keys) : hash_(hash), keys_(keys), open_(paths) {
    std::fill(keys, keys + paths, kKeyAbsent);
  }

  bool done() const { return open_ == 0; }
  /// Whether there is a value is not known yet; an empty array has none and is there all the same.
  void NotePresent(uint32_t path) {
    if (keys_[path] == kKeyAbsent) keys_[path] = kKeyUnknown;
  }
  void NoteValue(uint32_t path, const Value& value) {
    keys_[path] = keys_[path] == kKeyUnknown ? KeyOf(value, hash_) : kKeyMixed;
  }
  void NoteEnd(uint32_t path) {
    --open_;
    if (keys_[path] == kKeyUnknown) keys_[path] = kKeyMixed;
  }

 private:
  const HashKey& hash_;
  ValueKey* keys_;
  size_t open_;
};

}  // namespace

ValueKey KeyOf(const Value& value, const HashKey& hash) {
  switch (value.kind) {
    case ValueKind::kNull:
      return kKeyNull;
    case ValueKind::kBoolean:
      return value.number != 0 ? kKeyTrue : kKeyFalse;
    case ValueKind::kNumber:
      return KeyOfNumber(value.number);
    case ValueKind::kString:
      return kKeyStringFirst | (SipHash13(hash, value.text.data(), value.text.size()) & (kKeyStringFirst - 1));
    default:
      return kKeyMixed;
  }
}

void ReadKeys(const PathTable& paths, std::string_view metadata, const HashKey& hash, ValueKey* keys) {
  KeyVisitor visitor(paths.size(), hash, keys);
  const bool read = MetadataWalk<KeyVisitor>(paths, visitor).Run(metadata);
  for (size_t path = 0; path < paths.size(); ++path) {
    // Who asks the record itself meets its damage and tells of it.
    if (!read || keys[path] == kKeyUnknown) keys[path] = kKeyMixed;
  }
}

KeyCondition::KeyCondition(const Condition& condition, const HashKey& hash) : kernels_(kernels::Best()) {
  const bool absent_matches =
      condition.existence() != Existence::kMust && (!condition.asks_value() || condition.holds_for_nothing());
  if (absent_matches) AddPoint(kKeyAbsent);
  if (condition.existence() != Existence::kMustNot) AddScalars(condition, hash);
  std::sort(points_.begin(), points_.end());
  points_.erase(std::unique(points_.begin(), points_.end()), points_.end());
}

void KeyCondition::AddScalars(const Condition& condition, const HashKey& hash) {
  const auto add_if_held = [&](const Value& value) {
    if (condition.HoldsFor(value)) AddPoint(KeyOf(value, hash));
  };
  add_if_held({ValueKind::kNull, 0, {}});
  add_if_held({ValueKind::kBoolean, 0, {}});
  add_if_held({ValueKind::kBoolean, 1, {}});
  const auto listing = std::find_if(condition.checks().begin(), condition.checks().end(), [](const auto& check) {
    return check.operation == Operator::kEq || check.operation == Operator::kIn;
  });
  if (listing == condition.checks().end()) {
    AddNumbers(condition);
    AddStrings(condition);
    return;
  }
  for (const Operand& operand : listing->operands) {
    if (operand.kind == ValueKind::kNumber || operand.kind == ValueKind::kString) add_if_held(operand.value());
  }
}

/// The numbers between all bounds, when nothing else is asked.
void KeyCondition::AddNumbers(const Condition& condition) {
  Range range{kKeyLowestNumber, kKeyHighestNumber};
  for (const auto& [operation, operands] : condition.checks()) {
    const bool number = operands.front().kind == ValueKind::kNumber;
    if (operation == Operator::kNe) {
      numbers_are_sure_ = numbers_are_sure_ && !number;
      continue;
    }
    if (!number) return;
    const ValueKey key = KeyOfNumber(operands.front().number);
    switch (operation) {
      case Operator::kGt:
        range.first = std::max(range.first, key + 1);
        break;
      case Operator::kGte:
        range.first = std::max(range.first, key);
        break;
      case Operator::kLt:
        range.last = std::min(range.last, key - 1);
        break;
      default:
        range.last = std::min(range.last, key);
    }
  }
  if (range.first <= range.last) ranges_.push_back(range);
}

/// All strings or none: hashes have no order.
void KeyCondition::AddStrings(const Condition& condition) {
  const bool possible = std::all_of(condition.checks().begin(), condition.checks().end(), [](const auto& check) {
    return check.operation == Operator::kNe || check.operands.front().kind == ValueKind::kString;
  });
  if (possible) ranges_.push_back({kKeyStringFirst, kKeyStringLast});
  strings_are_wanted_ = possible;
  strings_are_sure_ = !condition.asks_value();
}

uint64_t KeyCondition::PointBits(const ValueKey* keys) const {
  uint64_t bits = 0;
  if (points_.size() <= kPointsCompared) {
    for (const ValueKey point : points_) bits |= kernels_.keys_within(keys, point, 0);
    return bits;
  }
  for (size_t i = 0; i < kKeysAtOnce; ++i) {
    bits |= uint64_t{std::binary_search(points_.begin(), points_.end(), LoadRelaxed(keys[i]))} << i;
  }
  return bits;
}

Lanes KeyCondition::Ask(const ValueKey* keys) const {
  const uint64_t silent = kernels_.keys_within(keys, kKeyUnknown, kKeyMixed - kKeyUnknown);
  const uint64_t points = PointBits(keys);
  if (ranges_.empty() && points == 0) return {0, ~silent};
  uint64_t unsure = 0;
  uint64_t hits = points;
  for (const Range& range : ranges_) {
    const uint64_t within = kernels_.keys_within(keys, range.first, range.last - range.first);
    hits |= within;
    if (!numbers_are_sure_ && range.first >= kKeyLowestNumber) unsure |= within & ~points;
  }
  if (!strings_are_sure_) unsure |= kernels_.keys_within(keys, kKeyStringFirst, kKeyStringLast - kKeyStringFirst);
  return {hits & ~unsure & ~silent, ~hits & ~silent};
}

}  // namespace thermocline::filter
