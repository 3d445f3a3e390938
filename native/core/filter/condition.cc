#include "core/filter/condition.h"

#include <algorithm>
#include <optional>

#include "core/filter/text_order.h"

namespace thermocline::filter {
namespace {

bool Equal(const Value& a, const Value& b) {
  if (a.kind != b.kind || a.kind == ValueKind::kObject) return false;
  return a.number == b.number && a.text == b.text;  // what the kind does not have is 0 and empty in both
}

/// Below 0, 0, above 0; nullopt: there is no order between them.
std::optional<int> Compare(const Value& a, const Value& b) {
  if (a.kind != b.kind || a.kind == ValueKind::kObject) return std::nullopt;
  if (a.kind == ValueKind::kString) return CompareText(a.text, b.text);
  if (a.number < b.number) return -1;
  if (a.number > b.number) return 1;
  if (a.number == b.number) return 0;
  return std::nullopt;  // NaN, which only damaged columns hold
}

/// Any total order would do: operands of `in` are sorted to be found, not to be compared.
bool SortsBefore(const Value& a, const Value& b) {
  if (a.kind != b.kind) return a.kind < b.kind;
  return a.number != b.number ? a.number < b.number : a.text < b.text;
}

bool IsIn(const std::vector<Operand>& sorted, const Value& value) {
  const auto found = std::lower_bound(
      sorted.begin(), sorted.end(), value,
      [](const Operand& operand, const Value& wanted) { return SortsBefore(operand.value(), wanted); });
  return found != sorted.end() && Equal(found->value(), value);
}

}  // namespace

void Condition::Add(Operator operation, std::vector<Operand> operands) {
  if (operation == Operator::kIn) {
    std::sort(operands.begin(), operands.end(),
              [](const Operand& a, const Operand& b) { return SortsBefore(a.value(), b.value()); });
  }
  if (operation != Operator::kNe) holds_for_nothing_ = false;
  checks_.push_back({operation, std::move(operands)});
}

bool Condition::HoldsFor(const Value& value) const {
  return std::all_of(checks_.begin(), checks_.end(), [&](const Check& check) { return Holds(check, value); });
}

uint64_t Condition::HoldsForNumbers(const double* numbers, size_t count) const {
  uint64_t holds = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
  for (const Check& check : checks_) holds &= HoldsForNumbers(check, numbers, count);
  return holds;
}

/// Without a branch per number: columns are asked as fast as they are read.
uint64_t Condition::HoldsForNumbers(const Check& check, const double* numbers, size_t count) {
  const auto each = [&](auto holds) {
    uint64_t bits = 0;
    for (size_t i = 0; i < count; ++i) bits |= uint64_t{holds(numbers[i])} << i;
    return bits;
  };
  const bool numeric = check.operation != Operator::kIn && check.operands.front().kind == ValueKind::kNumber;
  if (!numeric) return each([&](double number) { return Holds(check, {ValueKind::kNumber, number, {}}); });
  const double operand = check.operands.front().number;
  switch (check.operation) {
    case Operator::kEq:
      return each([=](double number) { return number == operand; });
    case Operator::kNe:
      return each([=](double number) { return !(number == operand); });
    case Operator::kGt:
      return each([=](double number) { return number > operand; });
    case Operator::kGte:
      return each([=](double number) { return number >= operand; });
    case Operator::kLt:
      return each([=](double number) { return number < operand; });
    default:
      return each([=](double number) { return number <= operand; });
  }
}

bool Condition::Holds(const Check& check, const Value& value) {
  if (check.operation == Operator::kIn) return IsIn(check.operands, value);
  const Value operand = check.operands.front().value();
  switch (check.operation) {
    case Operator::kEq:
      return Equal(value, operand);
    case Operator::kNe:
      return !Equal(value, operand);
    case Operator::kPrefix:
      return value.kind == ValueKind::kString && StartsWith(value.text, operand.text);
    default:
      break;
  }
  const std::optional<int> order = Compare(value, operand);
  if (!order) return false;
  switch (check.operation) {
    case Operator::kGt:
      return *order > 0;
    case Operator::kGte:
      return *order >= 0;
    case Operator::kLt:
      return *order < 0;
    default:
      return *order <= 0;
  }
}

}  // namespace thermocline::filter
