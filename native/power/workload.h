// Random writes to one store, noted in a timeline: everything that puts bytes on the disk, deaths between two steps of
// a commit included.
//
// Deterministic for a seed: the store runs without its helper, whose work is a step like any other.
// Thread rule: one thread.
#pragma once

#include <memory>
#include <string>

#include "power/recorder.h"
#include "power/timeline.h"
#include "test/store_fixture.h"

namespace thermocline::power {

/// Leaves a frame as an owner who was killed between writing it and its commit does (steps 5 and 6 of a put): whole,
/// beyond the tail, its slot claimed and filled. Nothing, when the open segment has no slot for it. Returns its
/// sequence.
Sequence LeaveFrameInDoubt(store::Store& store, const std::string& directory, const test::Memory& memory);

class Workload {
 public:
  Workload(std::string directory, uint32_t dimensions, store::Durability durability, Random& random);
  ~Workload();
  Workload(const Workload&) = delete;
  Workload& operator=(const Workload&) = delete;

  Status Open();
  /// One random operation. `recorder` says when.
  void Step(Recorder& recorder);
  void Compact();
  /// Leaves as a killed process does.
  void Kill() { store_.reset(); }
  Status Close();

  store::Store& store() { return *store_; }
  Timeline timeline;

 private:
  test::Memory RandomMemory();
  std::string RandomId();
  void CommitFrame(Recorder& recorder);
  void Commit(Recorder& recorder, store::Batch& batch, TimelineFrame frame);
  void AddOperation(store::Batch& batch, TimelineFrame* frame, State* state);
  void Flush(Recorder& recorder, store::FlushScope scope);
  void Touch();
  void Doubt(Recorder& recorder);
  void Reopen(Recorder& recorder);

  const std::string directory_;
  Random& random_;
  store::OpenOptions options_;
  std::shared_ptr<store::Store> store_;
  uint64_t made_ = 0;
  bool has_written_ = false;  // since the store was opened: only who has removed the clean marker can die in a commit
};

}  // namespace thermocline::power
