// A writer of the kill tests: writes its own ids at random and tells the oracle before and after each call.
//
// Thread rule: one thread, in a child or in the parent.
#pragma once

#include <cstdint>
#include <functional>

#include "kill/oracle.h"

namespace thermocline::kill {

struct WriterOptions {
  uint64_t lock_timeout_us = 10000000;
  uint32_t flushes_of_1000 = 5;
  uint32_t compactions_of_1000 = 0;
  bool busy_is_right = false;  // a stopped owner makes calls fail with kBusy and nothing changed
};

class Writer {
 public:
  Writer(store::Store& store, Oracle& oracle, uint32_t writer, uint32_t child, uint64_t seed, WriterOptions options);

  /// One call, chosen at random: 60 % put, 15 % replace, 10 % delete, the rest update, touch, write of several, get.
  void Any();
  void Put(uint32_t id);
  void Update(uint32_t id);
  void Delete(uint32_t id);
  /// One write of several operations, ids at random, some of them twice.
  void WriteSeveral();
  /// After another process died as this writer: repairs by writing, then settles what was pending.
  void TakeOver();
  uint32_t RandomId() { return static_cast<uint32_t>(random_.Below(kIdsPerWriter)); }

  /// Called right before and right after the store's Commit.
  std::function<void()> before_commit, after_commit;

 private:
  Value Staged(uint32_t id) const;
  void Stage(format::RecordKind kind, uint32_t id);
  void Commit();
  void Touch();
  void Flush();
  void Compact();
  void ReadBack();
  void Note(uint64_t& worst, uint64_t begin, uint64_t stopped) const;
  void Fail(ErrorCode code, int line);

  store::Store& store_;
  Oracle& oracle_;
  Region& region_;
  const uint32_t writer_;
  const uint32_t child_;
  Random random_;
  const WriterOptions options_;
  store::Batch batch_;
  Change changes_[kPendingMax] = {};
  uint32_t change_count_ = 0;
};

}  // namespace thermocline::kill
