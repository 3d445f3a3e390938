// Flush, verify, compact, backup and salvage, on the thread pool.

#include "binding/job.h"
#include "core/store/salvage.h"

namespace thermocline::binding {
namespace {

// Flush and verify ---------------------------------------------------------------------------------------------------

class FlushJob final : public Job {
 public:
  explicit FlushJob(Handle& handle)
      : Job(handle), syncs_(handle.durability() != store::Durability::kNone), wanted_(store().sequence()) {}
  void Run() override {
    if (syncs_) status_ = store().FlushUpTo(wanted_, lock_timeout_us_);
  }
  napi_value Result(napi_env env) override { return Undefined(env); }

 private:
  bool syncs_;
  Sequence wanted_;
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
  explicit VerifyJob(Handle& handle) : Job(handle) {}
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
  CompactJob(Handle& handle, std::shared_ptr<std::atomic<bool>> cancel) : Job(handle), cancel_(std::move(cancel)) {}
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
  BackupJob(Handle& handle, std::string directory) : Job(handle), directory_(std::move(directory)) {}
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

const std::vector<Method>& MaintenanceMethods() {
  static const std::vector<Method> methods = {
      Method::Unwatched<Flush>("flush"),     Method::Unwatched<Verify>("verify"),
      Method::Unwatched<Compact>("compact"), Method::Unwatched<CompactCancel>("compactCancel"),
      Method::Unwatched<Backup>("backup"),
  };
  return methods;
}

}  // namespace thermocline::binding
