#include "power/timeline.h"

#include <algorithm>
#include <sstream>

namespace thermocline::power {

void Timeline::Flushed(Moment when, Sequence up_to) { marks_.push_back({when, up_to}); }

Timeline::Range Timeline::RangeAt(Moment cut) const {
  Sequence durable = 0;
  for (const Mark& mark : marks_) {
    if (mark.when <= cut) durable = std::max(durable, mark.up_to);
  }
  Range range;
  while (range.frames_min < frames_.size() && frames_[range.frames_min].last <= durable) ++range.frames_min;
  range.frames_max = range.frames_min;
  while (range.frames_max < frames_.size() && frames_[range.frames_max].begun <= cut) ++range.frames_max;
  return range;
}

void Timeline::Apply(const TimelineFrame& frame, State* state) const {
  Sequence sequence = frame.last - frame.changes.size();
  for (const Change& change : frame.changes) {
    ++sequence;
    if (change.memory == nullptr) {
      state->erase(change.id);
      continue;
    }
    Expected expected;
    expected.memory = *change.memory;
    expected.memory.sequence = sequence;
    if (const auto before = state->find(change.id); change.keeps_statistics && before != state->end()) {
      expected.activations = before->second.activations;
    }
    expected.activations.insert(change.memory->activation);
    // A page that was never written, and what a recovery makes of one.
    if (frame.in_danger) expected.activations.insert({0, test::Memory().activation});
    if (const auto touched = touches_.find({change.id, sequence}); touched != touches_.end()) {
      expected.activations.insert(0);
      expected.activations.insert(touched->second.begin(), touched->second.end());
    }
    (*state)[change.id] = std::move(expected);
  }
}

State Timeline::StateAfter(size_t frames) const {
  State state;
  for (size_t i = 0; i < frames; ++i) Apply(frames_[i], &state);
  return state;
}

std::optional<std::string> Timeline::CompareWith(store::Store& store, const State& state) const {
  std::ostringstream problem;
  if (store.size() != state.size()) {
    problem << store.size() << " memories instead of " << state.size();
    return problem.str();
  }
  for (const auto& [id, expected] : state) {
    std::optional<test::Memory> memory = test::Get(store, id);
    if (!memory) return "'" + id + "' is lost";
    if (!expected.activations.contains(memory->activation)) {
      problem << "'" << id << "' has activation " << memory->activation << ", which nobody gave it";
      return problem.str();
    }
    test::Memory wanted = expected.memory;
    // Lossy beyond that, and not the subject here.
    wanted.activation = memory->activation;
    wanted.last_access = memory->last_access;
    wanted.recall_count = memory->recall_count;
    if (*memory == wanted) continue;
    problem << *memory << " instead of " << wanted;
    return problem.str();
  }
  return std::nullopt;
}

std::optional<std::string> Timeline::Compare(store::Store& store) const {
  if (store.sequence() != last()) {
    return "sequence " + std::to_string(store.sequence()) + " instead of " + std::to_string(last());
  }
  return CompareWith(store, StateAfter(frames_.size()));
}

std::optional<std::string> Timeline::Settle(store::Store& store, Range range) {
  const Sequence sequence = store.sequence();
  for (size_t i = range.frames_min; i < frames_.size(); ++i) frames_[i].in_danger = true;
  for (Doubt& doubt : doubts_) doubt.frame.in_danger = true;
  std::string problem = "sequence " + std::to_string(sequence) + " ends no frame of " +
                        std::to_string(range.frames_min) + " to " + std::to_string(range.frames_max) + " frames";
  for (size_t kept = range.frames_min; kept <= range.frames_max; ++kept) {
    if ((kept == 0 ? 0 : frames_[kept - 1].last) != sequence) continue;
    const auto difference = CompareWith(store, StateAfter(kept));
    if (!difference) {
      frames_.resize(kept);
      return std::nullopt;
    }
    problem = "after " + std::to_string(kept) + " frames: " + *difference;
  }
  for (const Doubt& doubt : doubts_) {
    if (doubt.frame.last != sequence || doubt.after < range.frames_min || doubt.after > range.frames_max) continue;
    State state = StateAfter(doubt.after);
    Apply(doubt.frame, &state);
    const auto difference = CompareWith(store, state);
    if (difference) {
      problem += "; with a frame in doubt: " + *difference;
      continue;
    }
    frames_.resize(doubt.after);
    frames_.push_back(doubt.frame);
    return std::nullopt;
  }
  return problem;
}

void Timeline::BeginAnew() {
  doubts_.clear();
  marks_.clear();
  std::erase_if(touches_, [&](const auto& touch) { return touch.first.second > last(); });
  for (TimelineFrame& frame : frames_) frame.begun = 0;
  marks_.push_back({0, last()});
}

}  // namespace thermocline::power
