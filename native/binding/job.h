// A job on the thread pool whose promise JavaScript has.
//
// It holds a use of the store, so the store stays open until it has run, and a shared flag that close sets. It touches
// nothing of the handle's JavaScript side. When the environment goes down while a job runs, its completion may not
// call JavaScript: statuses then fail and are passed over.
#pragma once

#include "binding/handle.h"

namespace thermocline::binding {

class Job {
 public:
  virtual ~Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Runs on the thread pool.
  virtual void Run() = 0;
  /// On the JavaScript thread, after Run was ok.
  virtual napi_value Result(napi_env env) = 0;
  /// On the JavaScript thread, whatever came of it.
  virtual void Done() {}

  /// Queues the job, which deletes itself; returns its promise.
  static napi_value Start(napi_env env, std::unique_ptr<Job> job, const char* name) {
    napi_value promise = nullptr;
    if (napi_create_promise(env, &job->deferred_, &promise) != napi_ok) return nullptr;
    Job* raw = job.release();
    napi_create_async_work(
        env, nullptr, Text(env, name, true), [](napi_env, void* data) { static_cast<Job*>(data)->Execute(); }, Complete,
        raw, &raw->work_);
    if (napi_queue_async_work(env, raw->work_) != napi_ok) {
      napi_delete_async_work(env, raw->work_);
      delete raw;
      return nullptr;
    }
    return promise;
  }

 protected:
  Job() = default;  // of no store
  explicit Job(Handle& handle)
      : use_(handle.MakeJobUse()),
        store_(&handle.store()),
        closing_(handle.closing),
        lock_timeout_us_(handle.lock_timeout_us()) {}

  /// Until Run has returned.
  store::Store& store() { return *store_; }

  std::shared_ptr<JobUse> use_;
  store::Store* store_ = nullptr;
  std::shared_ptr<std::atomic<bool>> closing_;
  uint64_t lock_timeout_us_ = 0;
  Status status_;

 private:
  void Execute() {
    Run();
    if (use_ == nullptr) return;
    // What was found in files that are lost is not handed out, nor an error that came of it.
    const bool closed = !status_.ok() && status_.code() == ErrorCode::kClosed;
    if (io::AnyPageLost() && !closed) {
      const Status files = store().CheckFiles();
      if (!files.ok()) status_ = files;
    }
    use_->EndJob();
  }

  static void Complete(napi_env env, napi_status status, void* data) {
    std::unique_ptr<Job> job(static_cast<Job*>(data));
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    if (status == napi_cancelled) job->status_ = Status::Error(ErrorCode::kClosed);
    job->Done();
    if (job->use_ != nullptr) job->use_->GiveBack();  // the handle may keep what is left of it for a while
    if (job->status_.ok()) {
      napi_value result = job->Result(env);
      if (result != nullptr) napi_resolve_deferred(env, job->deferred_, result);
    } else {
      napi_value error = MakeError(env, job->status_);
      if (error != nullptr) napi_reject_deferred(env, job->deferred_, error);
    }
    napi_delete_async_work(env, job->work_);
    if (scope != nullptr) napi_close_handle_scope(env, scope);
  }

  napi_deferred deferred_ = nullptr;
  napi_async_work work_ = nullptr;
};

}  // namespace thermocline::binding
