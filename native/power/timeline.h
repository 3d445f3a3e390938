// The oracle of the power tests: what was committed in which order, when it began, and what a returned flush covered.
//
// After a cut the store must be the state after some prefix of the frames: at least those that were durable by then,
// at most those that had begun, the last one possibly a frame in doubt, whose writer was killed before its commit (R7).
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "power/recorder.h"
#include "test/store_fixture.h"

namespace thermocline::power {

/// What must be true of a memory.
struct Expected {
  test::Memory memory;
  std::set<double> activations;  // its own and those that a touch gave it: statistics may be lost (design R2)
};

struct Change {
  std::string id;
  std::shared_ptr<const test::Memory> memory;  // nullptr: a deletion
  bool keeps_statistics = false;               // an update: those of the memory before it
};

struct TimelineFrame {
  Moment begun = 0;
  Sequence last = 0;
  std::vector<Change> changes;
  bool in_danger = false;  // not durable when the power went: kept perhaps, its statistics perhaps back at the default
};

using State = std::map<std::string, Expected>;

class Timeline {
 public:
  struct Range {
    size_t frames_min = 0;
    size_t frames_max = 0;
  };

  void Commit(TimelineFrame frame) { frames_.push_back(std::move(frame)); }
  /// A frame that is whole in the log, beyond the tail.
  void LeaveInDoubt(TimelineFrame frame) { doubts_.push_back({frames_.size(), std::move(frame)}); }
  /// Of the memory with that sequence. In no order with the frames: statistics reach the disk when they do.
  void Touch(const std::string& id, Sequence sequence, double activation) {
    touches_[{id, sequence}].push_back(activation);
  }
  /// A flush returned that covers everything up to a sequence.
  void Flushed(Moment when, Sequence up_to);

  size_t size() const { return frames_.size(); }
  Sequence last() const { return frames_.empty() ? 0 : frames_.back().last; }
  Range RangeAt(Moment cut) const;
  State StateAfter(size_t frames) const;

  /// What a store holds that was opened after a cut, as frames kept; the problem otherwise. The store's history ends
  /// there: later frames are forgotten, a frame in doubt that was kept is one of them.
  std::optional<std::string> Settle(store::Store& store, Range range);
  /// Whether the store holds what this says, all of it.
  std::optional<std::string> Compare(store::Store& store) const;
  /// All frames are durable from the beginning of another recording on.
  void BeginAnew();

 private:
  struct Doubt {
    size_t after;  // frames
    TimelineFrame frame;
  };
  struct Mark {
    Moment when;
    Sequence up_to;
  };

  void Apply(const TimelineFrame& frame, State* state) const;
  std::optional<std::string> CompareWith(store::Store& store, const State& state) const;

  std::vector<TimelineFrame> frames_;
  std::vector<Doubt> doubts_;
  std::map<std::pair<std::string, Sequence>, std::vector<double>> touches_;
  std::vector<Mark> marks_;
};

}  // namespace thermocline::power
