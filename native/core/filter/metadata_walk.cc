#include "core/filter/metadata_walk.h"

#include "core/base/limits.h"

namespace thermocline::filter {

using Kind = JsonReader::Kind;

MetadataWalk::MetadataWalk(const Filter& filter, LeafState* states) : filter_(filter), states_(states) {
  for (const Leaf& leaf : filter.leaves()) undecided_ += leaf.field == Field::kMetadata ? 1 : 0;
}

bool MetadataWalk::Run(std::string_view metadata) {
  if (metadata.empty()) return true;
  reader_ = JsonReader(metadata, kMetadataDepthMax);
  if (reader_.Peek() != Kind::kObject) return false;
  VisitMembers(filter_.paths().all());
  return !reader_.failed() && (undecided_ == 0 || reader_.AtEnd());
}

void MetadataWalk::VisitMembers(const PathRange& paths) {
  reader_.Open();
  JsonReader::Text key;
  while (undecided_ > 0 && reader_.NextMember(&key)) {
    const auto [exact, inner] = filter_.paths().Find(paths, JsonReader::Decode(key, key_scratch_));
    if (exact) NotePresent(*exact);
    VisitValue(exact, inner);
    // No other key can be this path, so what was not found in it is not there.
    if (exact && filter_.paths().IsPlain(*exact)) DecideAll(*exact);
  }
}

void MetadataWalk::VisitValue(std::optional<uint32_t> exact, const PathRange& inner) {
  if (!exact && inner.empty()) return reader_.Skip();
  const Kind kind = reader_.Peek();
  if (kind == Kind::kArray) {
    reader_.Open();
    while (undecided_ > 0 && reader_.NextElement()) VisitValue(exact, inner);
  } else if (kind == Kind::kObject) {
    if (exact) NoteValue(*exact, {ValueKind::kObject, 0, {}});
    if (inner.empty()) return reader_.Skip();
    VisitMembers(inner);
  } else if (exact) {
    VisitScalar(kind, *exact);
  } else {
    reader_.Skip();
  }
}

void MetadataWalk::VisitScalar(Kind kind, uint32_t path) {
  Value value;
  if (kind == Kind::kString) {
    value = {ValueKind::kString, 0, JsonReader::Decode(reader_.ReadString(), value_scratch_)};
  } else if (kind == Kind::kNumber) {
    value = {ValueKind::kNumber, reader_.ReadNumber(), {}};
  } else {
    if (kind != Kind::kNull) value = {ValueKind::kBoolean, kind == Kind::kTrue ? 1.0 : 0.0, {}};
    reader_.Skip();
  }
  if (!reader_.failed()) NoteValue(path, value);
}

void MetadataWalk::NotePresent(uint32_t path) {
  for (const uint32_t leaf : filter_.LeavesOf(path)) {
    LeafState& state = states_[leaf];
    state.present = true;
    const Condition& condition = filter_.leaves()[leaf].condition;
    if (!condition.asks_value() || condition.existence() == Existence::kMustNot) Decide(state);
  }
}

void MetadataWalk::NoteValue(uint32_t path, const Value& value) {
  for (const uint32_t leaf : filter_.LeavesOf(path)) {
    LeafState& state = states_[leaf];
    if (state.decided) continue;
    state.has_value = true;
    if (!filter_.leaves()[leaf].condition.HoldsFor(value)) continue;
    state.matched = true;
    Decide(state);
  }
}

void MetadataWalk::DecideAll(uint32_t path) {
  for (const uint32_t leaf : filter_.LeavesOf(path)) Decide(states_[leaf]);
}

void MetadataWalk::Decide(LeafState& state) {
  if (state.decided) return;
  state.decided = true;
  --undecided_;
}

}  // namespace thermocline::filter
