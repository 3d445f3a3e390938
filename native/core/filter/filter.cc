#include "core/filter/filter.h"

#include <array>
#include <bit>

#include "core/base/atomic.h"
#include "core/filter/metadata_walk.h"

namespace thermocline::filter {
namespace {

/// One state per leaf. Nearly every filter has few leaves, and then nothing is allocated per memory.
class LeafStates {
 public:
  explicit LeafStates(size_t count) {
    if (count > on_stack_.size()) on_heap_.resize(count);
  }
  LeafState* data() { return on_heap_.empty() ? on_stack_.data() : on_heap_.data(); }

 private:
  std::array<LeafState, 32> on_stack_{};
  std::vector<LeafState> on_heap_;
};

/// Notes what a walk finds, for each leaf.
class LeafVisitor {
 public:
  /// `states`: one per leaf of the filter, all as constructed.
  LeafVisitor(const Filter& filter, LeafState* states) : filter_(filter), states_(states) {
    for (const Leaf& leaf : filter.leaves()) undecided_ += leaf.field == Field::kMetadata ? 1 : 0;
  }

  bool done() const { return undecided_ == 0; }

  void NotePresent(uint32_t path) {
    for (const uint32_t leaf : filter_.LeavesOf(path)) {
      LeafState& state = states_[leaf];
      state.present = true;
      const Condition& condition = filter_.leaves()[leaf].condition;
      if (!condition.asks_value() || condition.existence() == Existence::kMustNot) Decide(state);
    }
  }

  void NoteValue(uint32_t path, const Value& value) {
    for (const uint32_t leaf : filter_.LeavesOf(path)) {
      LeafState& state = states_[leaf];
      if (state.decided) continue;
      state.has_value = true;
      if (!filter_.leaves()[leaf].condition.HoldsFor(value)) continue;
      state.matched = true;
      Decide(state);
    }
  }

  void NoteEnd(uint32_t path) {
    for (const uint32_t leaf : filter_.LeavesOf(path)) Decide(states_[leaf]);
  }

 private:
  void Decide(LeafState& state) {
    if (state.decided) return;
    state.decided = true;
    --undecided_;
  }

  const Filter& filter_;
  LeafState* states_;
  uint32_t undecided_ = 0;
};

bool WalkMetadata(const Filter& filter, std::string_view metadata, LeafState* states) {
  LeafVisitor visitor(filter, states);
  return MetadataWalk<LeafVisitor>(filter.paths(), visitor).Run(metadata);
}

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

}  // namespace

double NumberOf(Field field, const Columns& columns) {
  if (field == Field::kLastAccess) return LoadRelaxed(*columns.last_access);
  return std::bit_cast<double>(field == Field::kCreatedAt ? *columns.created_at : *columns.confidence);
}

Truth Filter::TestColumns(const Columns& columns) const { return Evaluate(0, {&columns, nullptr, nullptr}); }

bool Filter::AskRecord(std::string_view id, std::string_view metadata, bool* answers) const {
  LeafStates states(leaves_.size());
  if (!paths_.all().empty() && !WalkMetadata(*this, metadata, states.data())) return false;
  for (size_t i = 0; i < leaves_.size(); ++i) {
    const Leaf& leaf = leaves_[i];
    if (leaf.field == Field::kId) {
      answers[i] = TruthOf(leaf.condition, {ValueKind::kString, 0, id}) == Truth::kTrue;
    } else if (leaf.field == Field::kMetadata) {
      answers[i] = TruthOf(leaf.condition, states.data()[i]) == Truth::kTrue;
    }
  }
  return true;
}

Verdict Filter::Test(const Columns& columns, std::string_view id, std::string_view metadata) const {
  const Truth truth = Evaluate(0, {&columns, &id, nullptr});
  if (truth != Truth::kUnknown) return VerdictOf(truth);
  LeafStates states(leaves_.size());
  if (!WalkMetadata(*this, metadata, states.data())) return Verdict::kCorrupt;
  return VerdictOf(Evaluate(0, {&columns, &id, states.data()}));
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

Lanes Filter::Combine(uint32_t at, const Lanes* leaves) const {
  const Node& node = nodes_[at];
  if (node.kind == NodeKind::kLeaf) return leaves[node.leaf];
  if (node.kind == NodeKind::kNot) {
    const Lanes inner = Combine(at + 1, leaves);
    return {inner.no, inner.yes};
  }
  const bool all = node.kind == NodeKind::kAnd;
  Lanes lanes = all ? Lanes{~uint64_t{0}, 0} : Lanes{0, ~uint64_t{0}};
  for (uint32_t child = at + 1; child < node.end; child = nodes_[child].end) {
    const Lanes other = Combine(child, leaves);
    lanes = all ? Lanes{lanes.yes & other.yes, lanes.no | other.no} : Lanes{lanes.yes | other.yes, lanes.no & other.no};
  }
  return lanes;
}

Truth Filter::EvaluateLeaf(uint32_t leaf, const Known& known) const {
  const auto& [field, path, condition, text] = leaves_[leaf];
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
