#include "binding/background_commit.h"

namespace thermocline::binding {

Result<Sequence> CommitAndFlush(store::Store& store, store::Batch& batch, uint64_t lock_timeout_us, bool flush,
                                uint32_t* applied) {
  batch.with_images = flush;
  Result<Sequence> committed = store.Commit(batch, lock_timeout_us);
  *applied = batch.applied;
  batch.Clear();
  if (!committed.ok() || *applied == 0 || !flush) return committed;
  const Status flushed = store.Flush(lock_timeout_us);
  if (!flushed.ok()) return flushed;
  return committed;
}

void BackgroundCommit::Start(store::Store& store, store::Batch& batch, uint64_t lock_timeout_us, bool flush) {
  store_ = &store;
  if (!thread_.joinable()) {
    ::thermocline::Result<io::Thread> started = io::Thread::Start([this] { Run(); });
    if (!started.ok()) {
      uint32_t applied = 0;
      outcome_ = CommitAndFlush(store, batch, lock_timeout_us, flush, &applied);
      return;
    }
    thread_ = std::move(*started);
  }
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    job_store_ = &store;
    job_batch_ = &batch;
    job_timeout_us_ = lock_timeout_us;
    job_flush_ = flush;
    outcome_.reset();
  }
  changed_.notify_all();
}

Result<Sequence> BackgroundCommit::Wait() {
  std::unique_lock<std::mutex> guard(mutex_);
  changed_.wait(guard, [this] { return outcome_.has_value(); });
  store_ = nullptr;
  return *outcome_;
}

void BackgroundCommit::Stop() {
  if (!thread_.joinable()) return;
  if (running() && store_->forked()) {
    thread_.Detach();
    return;
  }
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.Join();
  store_ = nullptr;
  stop_ = false;
}

void BackgroundCommit::Run() {
  std::unique_lock<std::mutex> guard(mutex_);
  for (;;) {
    changed_.wait(guard, [this] { return job_batch_ != nullptr || stop_; });
    if (job_batch_ == nullptr) return;  // a job that was started is finished first
    store::Store& store = *job_store_;
    store::Batch& batch = *job_batch_;
    job_batch_ = nullptr;
    const uint64_t timeout_us = job_timeout_us_;
    const bool flush = job_flush_;
    guard.unlock();
    uint32_t applied = 0;
    const Result<Sequence> outcome = CommitAndFlush(store, batch, timeout_us, flush, &applied);
    guard.lock();
    outcome_ = outcome;
    changed_.notify_all();
  }
}

}  // namespace thermocline::binding
