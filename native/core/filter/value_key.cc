#include "core/filter/value_key.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/filter/metadata_walk.h"

#if defined(__clang__)
// Keys beyond the caller's snapshot may be stored meanwhile, 8 bytes at once; their answers are thrown away.
#define THERMOCLINE_RACY_READS __attribute__((no_sanitize("thread")))
#else
#define THERMOCLINE_RACY_READS
#endif

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

bool IsString(ValueKey key) { return key >= kKeyStringFirst && key <= kKeyStringLast; }

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

KeyCondition::KeyCondition(const Condition& condition, const HashKey& hash) {
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
  strings_are_sure_ = !condition.asks_value();
}

/// Whether any key is one of the points, or says nothing: without a branch per key, since mostly none is.
THERMOCLINE_RACY_READS bool KeyCondition::AnyPoint(const ValueKey* keys) const {
  if (points_.size() > kPointsCompared) return true;
  using Four = uint64_t __attribute__((vector_size(32), aligned(8), may_alias));
  using Truths = int64_t __attribute__((vector_size(32)));
  Truths found = {};
  for (size_t i = 0; i < kKeysAtOnce; i += 4) {
    const Four four = *reinterpret_cast<const Four*>(keys + i);
    found |= (four >> 1) == 0;
    for (const ValueKey point : points_) found |= four == point;
  }
  return (found[0] | found[1] | found[2] | found[3]) != 0;
}

THERMOCLINE_RACY_READS uint64_t KeyCondition::PointBits(const ValueKey* keys) const {
  uint64_t bits = 0;
  if (points_.size() > kPointsCompared) {
    for (size_t i = 0; i < kKeysAtOnce; ++i) {
      bits |= uint64_t{std::binary_search(points_.begin(), points_.end(), keys[i])} << i;
    }
    return bits;
  }
  for (const ValueKey point : points_) {
    for (size_t i = 0; i < kKeysAtOnce; ++i) bits |= uint64_t{keys[i] == point} << i;
  }
  return bits;
}

THERMOCLINE_RACY_READS Lanes KeyCondition::Ask(const ValueKey* keys) const {
  if (ranges_.empty() && !AnyPoint(keys)) return {0, ~uint64_t{0}};
  uint64_t silent = 0;  // keys that say nothing
  uint64_t strings = 0;
  uint64_t numbers = 0;
  for (size_t i = 0; i < kKeysAtOnce; ++i) {
    silent |= uint64_t{keys[i] <= kKeyMixed} << i;
    strings |= uint64_t{IsString(keys[i])} << i;
    numbers |= uint64_t{keys[i] >= kKeyLowestNumber} << i;
  }
  uint64_t unsure = strings_are_sure_ ? 0 : strings;
  if (!numbers_are_sure_) unsure |= numbers;
  uint64_t hits = PointBits(keys);
  // What is compared with a number by itself is sure.
  unsure &= ~(hits & numbers);
  for (const Range& range : ranges_) {
    const uint64_t width = range.last - range.first;
    for (size_t i = 0; i < kKeysAtOnce; ++i) hits |= uint64_t{keys[i] - range.first <= width} << i;
  }
  return {hits & ~unsure & ~silent, ~hits & ~silent};
}

}  // namespace thermocline::filter
