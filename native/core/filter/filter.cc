#include "core/filter/filter.h"

#include <array>
#include <bit>

#include "core/base/atomic.h"
#include "core/filter/metadata_walk.h"

namespace thermocline::filter {
namespace {

Truth TruthOf(bool holds) { return holds ? Truth::kTrue : Truth::kFalse; }

Verdict VerdictOf(Truth truth) { return truth == Truth::kTrue ? Verdict::kYes : Verdict::kNo; }

/// Of a value that every memory has.
Truth TruthOf(const Condition& condition, const Value& value) {
  return TruthOf(condition.existence() != Existence::kMustNot && condition.HoldsFor(value));
}

Truth TruthOf(const Condition& condition, const LeafState& state) {
  if (condition.existence() == Existence::kMust && !state.present) return Truth::kFalse;
  if (condition.existence() == Existence::kMustNot && state.present) return Truth::kFalse;
  if (!condition.asks_value()) return Truth::kTrue;
  return TruthOf(state.has_value ? state.matched : condition.holds_for_nothing());
}

double NumberOf(Field field, const Columns& columns) {
  if (field == Field::kLastAccess) return LoadRelaxed(*columns.last_access);
  return std::bit_cast<double>(field == Field::kCreatedAt ? *columns.created_at : *columns.confidence);
}

}  // namespace

Truth Filter::TestColumns(const Columns& columns) const { return Evaluate(0, {&columns, nullptr, nullptr}); }

Verdict Filter::Test(const Columns& columns, std::string_view id, std::string_view metadata) const {
  const Truth truth = Evaluate(0, {&columns, &id, nullptr});
  if (truth != Truth::kUnknown) return VerdictOf(truth);
  // Nearly every filter has fewer leaves than this, and then nothing is allocated per memory.
  constexpr size_t kLeavesOnStack = 32;
  std::array<LeafState, kLeavesOnStack> on_stack{};
  std::vector<LeafState> on_heap;
  if (leaves_.size() > kLeavesOnStack) on_heap.resize(leaves_.size());
  LeafState* const states = on_heap.empty() ? on_stack.data() : on_heap.data();
  if (!MetadataWalk(*this, states).Run(metadata)) return Verdict::kCorrupt;
  return VerdictOf(Evaluate(0, {&columns, &id, states}));
}

Truth Filter::Evaluate(uint32_t at, const Known& known) const {
  const Node& node = nodes_[at];
  if (node.kind == NodeKind::kLeaf) return EvaluateLeaf(node.leaf, known);
  if (node.kind == NodeKind::kNot) {
    const Truth truth = Evaluate(at + 1, known);
    if (truth == Truth::kUnknown) return truth;
    return TruthOf(truth == Truth::kFalse);
  }
  // What one child must be for the others not to matter.
  const Truth decisive = TruthOf(node.kind == NodeKind::kOr);
  bool unknown = false;
  for (uint32_t child = at + 1; child < node.end; child = nodes_[child].end) {
    const Truth truth = Evaluate(child, known);
    if (truth == decisive) return truth;
    unknown = unknown || truth == Truth::kUnknown;
  }
  return unknown ? Truth::kUnknown : TruthOf(node.kind == NodeKind::kAnd);
}

Truth Filter::EvaluateLeaf(uint32_t leaf, const Known& known) const {
  const auto& [field, path, condition] = leaves_[leaf];
  switch (field) {
    case Field::kMetadata:
      return known.metadata == nullptr ? Truth::kUnknown : TruthOf(condition, known.metadata[leaf]);
    case Field::kId:
      return known.id == nullptr ? Truth::kUnknown : TruthOf(condition, {ValueKind::kString, 0, *known.id});
    default:
      return TruthOf(condition, {ValueKind::kNumber, NumberOf(field, *known.columns), {}});
  }
}

}  // namespace thermocline::filter
