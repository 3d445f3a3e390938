// Commits large frames on a thread of their own, so that JavaScript gathers the next one meanwhile.
//
// Thread rule: Start and Wait are called by the owner's thread alone, in turn. Between them the batch, and whatever it
// points to, belongs to the thread here.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/io/thread.h"
#include "core/store/batch.h"
#include "core/store/store.h"

namespace thermocline::binding {

class BackgroundCommit {
 public:
  BackgroundCommit() = default;
  ~BackgroundCommit() { Stop(); }
  BackgroundCommit(const BackgroundCommit&) = delete;
  BackgroundCommit& operator=(const BackgroundCommit&) = delete;

  bool running() const { return store_ != nullptr; }
  /// `store` and `batch` live until Wait. Where no thread is to be had, the caller's commits, here.
  void Start(store::Store& store, store::Batch& batch, uint64_t lock_timeout_us, bool flush);
  /// The outcome of what was started; the batch is empty again.
  Result<Sequence> Wait();
  /// Waits for what runs and ends the thread. In a forked child, which has no such thread, nothing.
  void Stop();

 private:
  void Run();

  store::Store* store_ = nullptr;  // the owner's view: not nullptr from Start to Wait
  io::Thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Under the mutex.
  store::Store* job_store_ = nullptr;
  store::Batch* job_batch_ = nullptr;
  uint64_t job_timeout_us_ = 0;
  bool job_flush_ = false;
  bool stop_ = false;
  std::optional<Result<Sequence>> outcome_;
};

/// Commits and, with `flush`, makes durable. The batch is empty afterwards; `applied`: operations that took effect.
Result<Sequence> CommitAndFlush(store::Store& store, store::Batch& batch, uint64_t lock_timeout_us, bool flush,
                                uint32_t* applied);

}  // namespace thermocline::binding
