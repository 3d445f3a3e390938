// System calls that fail as a test says: the n-th of a kind, once or from then on, with any error; and what others do
// just before a call.
//
// Thread rule: one plan at a time; calls of every thread count.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>

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

/// Does something before a call of the kind that names the file.
class BeforeNamed final : public CallWatcher {
 public:
  BeforeNamed(Call call, std::string name, std::function<void()> act)
      : call_(call), name_(std::move(name)), act_(std::move(act)) {
    WatchCalls(this);
  }
  ~BeforeNamed() override { UnwatchCalls(this); }
  BeforeNamed(const BeforeNamed&) = delete;
  BeforeNamed& operator=(const BeforeNamed&) = delete;

  Answer Before(const CallInfo& call) override {
    if (call.call == call_ && name_ == call.name) act_();
    return {};
  }
  void After(const CallInfo&, int) override {}

 private:
  const Call call_;
  const std::string name_;
  const std::function<void()> act_;
};

}  // namespace thermocline::power
