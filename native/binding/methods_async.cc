// Search, flush, verify, compact, backup and salvage on the thread pool, and waits for commits; in one file, because
// all are jobs of the one kind that stands at the top.
//
// A job holds a use of the store, so the store stays open until it ends, and a shared flag that close sets. It touches
// nothing of the handle's JavaScript side. When the environment goes down while a job runs, its completion may not
// call JavaScript: statuses then fail and are passed over.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "binding/handle.h"
#include "core/search/search.h"
#include "core/store/salvage.h"

namespace thermocline::binding {
namespace {

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
        env, nullptr, Text(env, name, true), [](napi_env, void* data) { static_cast<Job*>(data)->Run(); }, Complete,
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
  explicit Job(const Handle& handle)
      : use_(handle.use()), closing_(handle.closing), lock_timeout_us_(handle.lock_timeout_us()) {}

  store::Store& store() { return use_->store(); }

  std::shared_ptr<StoreUse> use_;
  std::shared_ptr<std::atomic<bool>> closing_;
  uint64_t lock_timeout_us_ = 0;
  Status status_;

 private:
  static void Complete(napi_env env, napi_status status, void* data) {
    std::unique_ptr<Job> job(static_cast<Job*>(data));
    napi_handle_scope scope = nullptr;
    napi_open_handle_scope(env, &scope);
    if (status == napi_cancelled) job->status_ = Status::Error(ErrorCode::kClosed);
    job->Done();
    // What was found in files that are lost is not handed out, nor an error that came of it.
    const bool closed = !job->status_.ok() && job->status_.code() == ErrorCode::kClosed;
    if (io::AnyPageLost() && job->use_ != nullptr && !closed) {
      const Status files = job->store().CheckFiles();
      if (!files.ok()) job->status_ = files;
    }
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

// Search -------------------------------------------------------------------------------------------------------------

napi_value HitsArray(napi_env env, const std::vector<search::SearchHit>& hits) {
  napi_value buffer = nullptr;
  void* data = nullptr;
  if (napi_create_arraybuffer(env, hits.size() * 3 * sizeof(double), &data, &buffer) != napi_ok) return nullptr;
  auto* numbers = static_cast<double*>(data);
  for (const search::SearchHit& hit : hits) {
    *numbers++ = hit.score;
    *numbers++ = Raw(hit.position.segment());
    *numbers++ = static_cast<double>(hit.position.offset());
  }
  napi_value array = nullptr;
  napi_create_typedarray(env, napi_float64_array, hits.size() * 3, buffer, 0, &array);
  return array;
}

/// What keeps the segments of hits mapped until they are decoded.
struct HitsHold final : Holder {
  std::vector<std::shared_ptr<store::Segment>> segments;
  void LetGo() override { segments.clear(); }
};

/// The segments of the hits. The caller's pin stood when they were found, so each is there.
std::unique_ptr<HitsHold> HoldHits(store::Store& store, const std::vector<search::SearchHit>& hits) {
  auto hold = std::make_unique<HitsHold>();
  for (const search::SearchHit& hit : hits) {
    const SegmentNumber number = hit.position.segment();
    const bool held = std::any_of(hold->segments.begin(), hold->segments.end(),
                                  [&](const auto& segment) { return segment->number() == number; });
    if (held) continue;
    ::thermocline::Result<std::shared_ptr<store::Segment>> segment = store.ShareSegment(number);
    if (segment.ok()) hold->segments.push_back(std::move(*segment));
  }
  return hold;
}

/// The hits for JavaScript, which keep their segments mapped. nullptr with an exception pending.
napi_value HeldHitsArray(napi_env env, Handle& handle, const std::vector<search::SearchHit>& hits,
                         std::unique_ptr<HitsHold> hold) {
  napi_value array = HitsArray(env, hits);
  if (array == nullptr) return nullptr;
  handle.Join(*hold);
  return AttachHolder(env, array, std::move(hold)) ? array : nullptr;
}

struct SearchArguments {
  std::vector<float> vectors;  // of all queries, one after another
  size_t dimensions = 0;
  search::SearchRequest request;
  std::shared_ptr<const filter::Filter> filter;  // what request.filter points to

  std::vector<std::span<const float>> Queries() const {
    std::vector<std::span<const float>> queries;
    for (size_t at = 0; at < vectors.size(); at += dimensions) queries.push_back({&vectors[at], dimensions});
    return queries;
  }
};

constexpr size_t kSearchArguments = 7;

/// vectors, limit, least score (NaN: none), exact, recall (NaN: as usual), threads (0: as usual), filter.
Status ReadSearch(napi_env env, const Handle& handle, const napi_value* arguments, SearchArguments* out) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, arguments[0], &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float32_array) {
    return Status::Error(ErrorCode::kArgument);
  }
  out->dimensions = handle.store().dimensions();
  if (length % out->dimensions != 0) return Status::Error(ErrorCode::kDimension);
  out->vectors.assign(static_cast<const float*>(data), static_cast<const float*>(data) + length);
  constexpr double kLimitMax = 4294967296.0;
  constexpr double kThreadsMax = 1024;
  search::SearchRequest& request = out->request;
  request.limit = static_cast<uint64_t>(std::clamp(GetDouble(env, arguments[1], 10), 0.0, kLimitMax));
  const double score_min = GetDouble(env, arguments[2], NAN);
  if (!std::isnan(score_min)) request.score_min = score_min;
  napi_get_value_bool(env, arguments[3], &request.exact);
  const double recall = GetDouble(env, arguments[4], NAN);
  if (!std::isnan(recall)) request.recall = recall;
  request.threads = static_cast<uint32_t>(std::clamp(GetDouble(env, arguments[5], 0), 0.0, kThreadsMax));
  THERMOCLINE_RETURN_IF_ERROR(ReadFilter(env, arguments[6], &out->filter));
  request.filter = out->filter.get();
  return Status::Ok();
}

napi_value SearchSync(napi_env env, napi_callback_info info) {
  napi_value arguments[kSearchArguments];
  Handle* handle = Enter(env, info, arguments, kSearchArguments);
  if (handle == nullptr) return nullptr;
  SearchArguments search;
  const Status read = ReadSearch(env, *handle, arguments, &search);
  if (!read.ok()) return Throw(env, read);
  const std::atomic<bool> never{false};
  search.request.query = search.vectors;
  Result<std::vector<search::SearchHit>> hits = search::Search(handle->store(), search.request, never);
  if (!hits.ok()) return Throw(env, hits.status());
  return HeldHitsArray(env, *handle, *hits, HoldHits(handle->store(), *hits));
}

/// Any number of queries on one snapshot; its result is an array with the hits of each.
class SearchJob final : public Job {
 public:
  SearchJob(Handle& handle, SearchArguments arguments, std::shared_ptr<std::atomic<bool>> cancel)
      : Job(handle), handle_(&handle), arguments_(std::move(arguments)), cancel_(std::move(cancel)) {}

  void Run() override {
    const store::Pin pin;
    ::thermocline::Result<std::vector<std::vector<search::SearchHit>>> hits =
        search::SearchMany(store(), arguments_.request, arguments_.Queries(), *cancel_);
    if (hits.ok()) {
      hits_ = std::move(*hits);
      for (const auto& each : hits_) holds_.push_back(HoldHits(store(), each));
    } else {
      status_ = closing_->load() ? Status::Error(ErrorCode::kClosed) : hits.status();
    }
  }
  napi_value Result(napi_env env) override {
    napi_value array = nullptr;
    if (napi_create_array_with_length(env, hits_.size(), &array) != napi_ok) return nullptr;
    for (size_t i = 0; i < hits_.size(); ++i) {
      // Closed meanwhile: nobody decodes them, and the handle may be gone.
      napi_value hits =
          closing_->load() ? HitsArray(env, hits_[i]) : HeldHitsArray(env, *handle_, hits_[i], std::move(holds_[i]));
      if (hits == nullptr) return nullptr;
      napi_set_element(env, array, static_cast<uint32_t>(i), hits);
    }
    return array;
  }

 private:
  Handle* handle_;  // looked at only while it is not closing, on its own thread
  SearchArguments arguments_;
  std::shared_ptr<std::atomic<bool>> cancel_;
  std::vector<std::vector<search::SearchHit>> hits_;
  std::vector<std::unique_ptr<HitsHold>> holds_;
};

napi_value SearchMany(napi_env env, napi_callback_info info) {
  napi_value arguments[kSearchArguments + 1];
  Handle* handle = Enter(env, info, arguments, kSearchArguments + 1);
  if (handle == nullptr) return nullptr;
  SearchArguments search;
  const Status read = ReadSearch(env, *handle, arguments, &search);
  if (!read.ok()) return Throw(env, read);
  const auto token = static_cast<uint32_t>(GetDouble(env, arguments[kSearchArguments], 0));
  // Flags of jobs that ended are held by the map alone.
  std::erase_if(handle->searches, [](const auto& entry) { return entry.second.use_count() == 1; });
  auto cancel = std::make_shared<std::atomic<bool>>(false);
  handle->searches[token] = cancel;
  return Job::Start(env, std::make_unique<SearchJob>(*handle, std::move(search), std::move(cancel)),
                    "thermocline.search");
}

napi_value SearchCancel(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  const auto found = handle->searches.find(static_cast<uint32_t>(GetDouble(env, argument, 0)));
  if (found != handle->searches.end()) found->second->store(true);
  return Undefined(env);
}

// Flush and verify ---------------------------------------------------------------------------------------------------

class FlushJob final : public Job {
 public:
  explicit FlushJob(const Handle& handle) : Job(handle), syncs_(handle.durability() != store::Durability::kNone) {}
  void Run() override {
    if (syncs_) status_ = store().Flush(lock_timeout_us_);
  }
  napi_value Result(napi_env env) override { return Undefined(env); }

 private:
  bool syncs_;
};

napi_value Flush(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  // The disk works while the job finds its thread.
  if (handle->durability() != store::Durability::kNone) handle->store().BeginFlush();
  return Job::Start(env, std::make_unique<FlushJob>(*handle), "thermocline.flush");
}

class VerifyJob final : public Job {
 public:
  explicit VerifyJob(const Handle& handle) : Job(handle) {}
  void Run() override {
    ::thermocline::Result<store::VerifyReport> report = store().Verify(*closing_);
    if (report.ok()) {
      report_ = std::move(*report);
    } else {
      status_ = report.status();
    }
  }
  napi_value Result(napi_env env) override {
    napi_value object = nullptr;
    napi_value problems = nullptr;
    napi_create_object(env, &object);
    SetNumber(env, object, "memories", static_cast<double>(report_.memories));
    napi_create_array_with_length(env, report_.problems.size(), &problems);
    for (size_t i = 0; i < report_.problems.size(); ++i) {
      const store::Problem& problem = report_.problems[i];
      napi_value row = nullptr;
      napi_create_object(env, &row);
      SetNumber(env, row, "code", static_cast<double>(problem.code));
      napi_set_named_property(env, row, "file", Text(env, problem.file, true));
      SetNumber(env, row, "offset", static_cast<double>(problem.offset));
      if (!problem.id.empty()) napi_set_named_property(env, row, "id", Text(env, problem.id, false));
      napi_set_element(env, problems, static_cast<uint32_t>(i), row);
    }
    napi_set_named_property(env, object, "problems", problems);
    return object;
  }

 private:
  store::VerifyReport report_;
};

napi_value Verify(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  return handle == nullptr ? nullptr : Job::Start(env, std::make_unique<VerifyJob>(*handle), "thermocline.verify");
}

// Compact ------------------------------------------------------------------------------------------------------------

class CompactJob final : public Job {
 public:
  CompactJob(const Handle& handle, std::shared_ptr<std::atomic<bool>> cancel)
      : Job(handle), cancel_(std::move(cancel)) {}
  void Run() override {
    ::thermocline::Result<store::CompactResult> compacted = store().Compact(lock_timeout_us_, *cancel_);
    if (compacted.ok()) {
      result_ = *compacted;
    } else {
      const bool closed = compacted.status().code() == ErrorCode::kAborted && closing_->load();
      status_ = closed ? Status::Error(ErrorCode::kClosed) : compacted.status();
    }
  }
  napi_value Result(napi_env env) override {
    napi_value object = nullptr;
    napi_create_object(env, &object);
    SetNumber(env, object, "bytesBefore", static_cast<double>(result_.bytes_before));
    SetNumber(env, object, "bytesAfter", static_cast<double>(result_.bytes_after));
    SetNumber(env, object, "moved", static_cast<double>(result_.moved));
    SetNumber(env, object, "longestHoldMicroseconds", static_cast<double>(result_.longest_hold_us));
    return object;
  }

 private:
  std::shared_ptr<std::atomic<bool>> cancel_;
  store::CompactResult result_;
};

napi_value Compact(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  if (handle->read_only()) return Throw(env, Status::Error(ErrorCode::kReadOnly));
  std::erase_if(handle->compactions, [](const auto& entry) { return entry.second.use_count() == 1; });
  auto cancel = std::make_shared<std::atomic<bool>>(false);
  handle->compactions[static_cast<uint32_t>(GetDouble(env, argument, 0))] = cancel;
  return Job::Start(env, std::make_unique<CompactJob>(*handle, std::move(cancel)), "thermocline.compact");
}

napi_value CompactCancel(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  const auto found = handle->compactions.find(static_cast<uint32_t>(GetDouble(env, argument, 0)));
  if (found != handle->compactions.end()) found->second->store(true);
  return Undefined(env);
}

// Copies -------------------------------------------------------------------------------------------------------------

constexpr uint64_t kPathBytesMax = 1 << 16;

Status ReadPath(napi_env env, napi_value value, std::string* out) {
  std::vector<char> buffer;
  std::string_view path;
  const Status read = ReadLongText(env, value, buffer, kPathBytesMax, &path);
  *out = path;
  return read;
}

class BackupJob final : public Job {
 public:
  BackupJob(const Handle& handle, std::string directory) : Job(handle), directory_(std::move(directory)) {}
  void Run() override {
    ::thermocline::Result<store::CopyResult> copied = store().Backup(directory_, *closing_);
    if (copied.ok()) {
      result_ = *copied;
    } else {
      status_ = copied.status().code() == ErrorCode::kAborted ? Status::Error(ErrorCode::kClosed) : copied.status();
    }
  }
  napi_value Result(napi_env env) override {
    napi_value object = nullptr;
    napi_create_object(env, &object);
    SetNumber(env, object, "memories", static_cast<double>(result_.memories));
    SetNumber(env, object, "sequence", static_cast<double>(result_.sequence));
    return object;
  }

 private:
  std::string directory_;
  store::CopyResult result_;
};

napi_value Backup(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  std::string directory;
  const Status read = ReadPath(env, argument, &directory);
  if (!read.ok()) return Throw(env, read);
  return Job::Start(env, std::make_unique<BackupJob>(*handle, std::move(directory)), "thermocline.backup");
}

class SalvageJob final : public Job {
 public:
  SalvageJob(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void Run() override {
    ::thermocline::Result<store::SalvageResult> salvaged = store::Salvage(from_, to_);
    if (salvaged.ok()) {
      result_ = *salvaged;
    } else {
      status_ = salvaged.status();
    }
  }
  napi_value Result(napi_env env) override {
    napi_value object = nullptr;
    napi_create_object(env, &object);
    SetNumber(env, object, "memories", static_cast<double>(result_.memories));
    SetNumber(env, object, "lost", static_cast<double>(result_.lost));
    return object;
  }

 private:
  std::string from_;
  std::string to_;
  store::SalvageResult result_;
};

// Waits --------------------------------------------------------------------------------------------------------------

/// On the JavaScript thread. `data`: a shared pointer of its own to the wait.
void CallWaiter(napi_env env, napi_value callback, void*, void* data) {
  std::unique_ptr<std::shared_ptr<ChangeWait>> wait(static_cast<std::shared_ptr<ChangeWait>*>(data));
  if (env == nullptr || callback == nullptr || (*wait)->cancelled.load()) return;
  napi_call_function(env, Undefined(env), callback, 0, nullptr, nullptr);
}

/// Queues the callback once and lets the function go. Any thread.
void Fire(const std::shared_ptr<ChangeWait>& wait) {
  if (wait->fired.exchange(true)) return;
  auto* data = new std::shared_ptr<ChangeWait>(wait);
  if (napi_call_threadsafe_function(wait->function, data, napi_tsfn_nonblocking) != napi_ok) delete data;
  napi_release_threadsafe_function(wait->function, napi_tsfn_release);
}

napi_value ChangesWait(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Handle* handle = Enter(env, info, arguments, 2);
  if (handle == nullptr) return nullptr;
  std::erase_if(handle->waits, [](const auto& entry) { return entry.second->fired.load(); });
  auto wait = std::make_shared<ChangeWait>();
  if (napi_create_threadsafe_function(env, arguments[1], nullptr, Text(env, "thermocline.changes", true), 0, 1, nullptr,
                                      nullptr, nullptr, CallWaiter, &wait->function) != napi_ok) {
    return nullptr;
  }
  const uint32_t token = handle->next_wait++;
  handle->waits[token] = wait;
  wait->store_token =
      handle->store().NotifyAbove(static_cast<Sequence>(GetDouble(env, arguments[0], 0)), [wait] { Fire(wait); });
  return Number(env, token);
}

napi_value ChangesCancel(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  const auto found = handle->waits.find(static_cast<uint32_t>(GetDouble(env, argument, 0)));
  if (found == handle->waits.end()) return Undefined(env);
  const std::shared_ptr<ChangeWait> wait = found->second;
  wait->cancelled.store(true);
  handle->store().CancelNotify(wait->store_token);
  if (!wait->fired.exchange(true)) napi_release_threadsafe_function(wait->function, napi_tsfn_abort);
  handle->waits.erase(found);
  return Undefined(env);
}

}  // namespace

napi_value Salvage(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2] = {nullptr, nullptr};
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  std::string from;
  std::string to;
  Status read = ReadPath(env, arguments[0], &from);
  if (read.ok()) read = ReadPath(env, arguments[1], &to);
  if (!read.ok()) return Throw(env, read);
  return Job::Start(env, std::make_unique<SalvageJob>(std::move(from), std::move(to)), "thermocline.salvage");
}

void EndWaits(Handle& handle) {
  for (auto& [token, wait] : handle.waits) {
    handle.store().CancelNotify(wait->store_token);
    Fire(wait);
  }
  handle.waits.clear();
}

const std::vector<Method>& AsyncMethods() {
  static const std::vector<Method> methods = {
      Method::Of<SearchSync>("searchSync"),
      Method::Unwatched<SearchMany>("searchMany"),
      Method::Unwatched<SearchCancel>("searchCancel"),
      Method::Unwatched<Flush>("flush"),
      Method::Unwatched<Verify>("verify"),
      Method::Unwatched<Compact>("compact"),
      Method::Unwatched<CompactCancel>("compactCancel"),
      Method::Unwatched<Backup>("backup"),
      Method::Unwatched<ChangesWait>("changesWait"),
      Method::Unwatched<ChangesCancel>("changesCancel"),
  };
  return methods;
}

}  // namespace thermocline::binding
