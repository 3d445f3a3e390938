// System calls that fail as a test says: the n-th of a kind, once or from then on, with any error.
//
// Thread rule: one plan at a time; calls of every thread count.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>

#include "power/system_calls.h"

namespace thermocline::power {

struct Fault {
  Call call = Call::kWrite;
  uint64_t count = 1;  // which of these calls, from 1
  int error_number = 0;
  bool for_ever = false;  // all later ones too
  bool half = false;      // no error, a write that writes half
};

/// From its making to its end.
class Faults final : public CallWatcher {
 public:
  /// Nothing fails; calls are counted.
  Faults() { WatchCalls(this); }
  explicit Faults(const Fault& fault) : fault_(fault), armed_(true) { WatchCalls(this); }
  ~Faults() override { UnwatchCalls(this); }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// Calls made or failed so far.
  uint64_t CountOf(Call call) const { return counts_[static_cast<size_t>(call)].load(); }
  uint64_t syncs() const { return CountOf(Call::kSync) + CountOf(Call::kSyncData) + CountOf(Call::kSyncDirectory); }
  bool has_failed() const { return failed_.load(); }
  /// The disk is repaired, or there is room again.
  void Disarm() { armed_.store(false); }
  /// A test looks around: its own calls neither fail nor count.
  void Suspend(bool suspended) { suspended_.store(suspended); }

  Answer Before(const CallInfo& call) override {
    if (suspended_.load()) return {};
    const uint64_t number = counts_[static_cast<size_t>(call.call)].fetch_add(1) + 1;
    Answer answer;
    if (!armed_.load() || call.call != fault_.call) return answer;
    if (number != fault_.count && !(fault_.for_ever && number > fault_.count)) return answer;
    failed_.store(true);
    answer.error_number = fault_.error_number;
    answer.half = fault_.half;
    return answer;
  }
  void After(const CallInfo&, int) override {}

 private:
  const Fault fault_;
  std::atomic<bool> armed_{false};
  std::atomic<bool> failed_{false};
  std::atomic<bool> suspended_{false};
  std::array<std::atomic<uint64_t>, static_cast<size_t>(Call::kCount)> counts_{};
};

}  // namespace thermocline::power
