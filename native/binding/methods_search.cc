// Searches: at once, and on the thread pool.

#include <cmath>

#include "binding/job.h"
#include "core/search/search.h"

namespace thermocline::binding {
namespace {

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

}  // namespace

const std::vector<Method>& SearchMethods() {
  static const std::vector<Method> methods = {
      Method::Of<SearchSync>("searchSync"),
      Method::Unwatched<SearchMany>("searchMany"),
      Method::Unwatched<SearchCancel>("searchCancel"),
  };
  return methods;
}

}  // namespace thermocline::binding
