// Module initialisation: what `src/native.ts` declares as Addon, and how errors cross.

#include <iterator>
#include <string>

#include "binding/handle.h"
#include "binding/node.h"
#include "core/base/limits.h"
#include "core/kernels/kernels.h"

namespace thermocline::binding {
namespace {

/// Words for people. Codes are the interface; these may change.
std::string DescribeStatus(const Status& status) {
  std::string text;
  switch (status.code()) {
    case ErrorCode::kArgument:
      text = "an argument is missing or of the wrong type";
      break;
    case ErrorCode::kArgumentRange:
      text = "an argument is out of range (a zero query has no cosine)";
      break;
    case ErrorCode::kNotFinite:
      text = "an embedding holds a number that is not finite";
      break;
    case ErrorCode::kDimension:
      text = "the embedding's length is not the store's dimensions";
      break;
    case ErrorCode::kKeySize:
      text = "an id must be 1 to 511 bytes of UTF-8";
      break;
    case ErrorCode::kTooLarge:
      text = "a value is larger than the store takes";
      break;
    case ErrorCode::kNotSupported:
      text = "not supported";
      break;
    case ErrorCode::kCorrupt:
      text = "the store's bytes are damaged; `salvage` writes what can be read of it into a new store";
      break;
    case ErrorCode::kClosed:
      text = "the store is closed";
      break;
    case ErrorCode::kFull:
      text = "the disk or the quota is full";
      break;
    case ErrorCode::kIo:
      text = "the operating system refused an operation on the store";
      break;
    case ErrorCode::kPoisoned:
      text = "a sync failed earlier: what was written since then may be lost, so the store takes no more writes";
      break;
    case ErrorCode::kBusy:
      text = "the store's lock was not free in time";
      break;
    case ErrorCode::kVersion:
      text = "the store was written by a version that this one does not understand";
      break;
    case ErrorCode::kMismatch:
      text = "the store was created with another metric";
      break;
    case ErrorCode::kReadOnly:
      text = "the store was opened read-only";
      break;
    case ErrorCode::kNotFound:
      text = "there is no store";
      break;
    case ErrorCode::kNotAStore:
      text =
          status.role() == FileRole::kNone
              ? "the path is not a store, nor empty"
              : "the files are hard links to those of another store, which would be written with this one: copy them";
      break;
    case ErrorCode::kExists:
      text = "the target is there and is not an empty directory";
      break;
    case ErrorCode::kConflict:
      text = "the memory has another sequence than asked for";
      break;
    case ErrorCode::kAborted:
      text = "the operation was aborted";
      break;
    case ErrorCode::kChangesGone:
      text = "changes since then are not available";
      break;
    case ErrorCode::kForked:
      text = "the store was opened before this process was forked";
      break;
    case ErrorCode::kNetworkFs:
      text = "the store would lie on a network file system (allowNetworkFileSystem)";
      break;
    case ErrorCode::kCount:
      break;
  }
  if (status.role() != FileRole::kNone) text += std::string(" (") + FileRoleName(status.role()) + ")";
  return text;
}

napi_value SetErrorFactory(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  Environment& environment = Environment::Of(env);
  if (environment.make_error != nullptr) napi_delete_reference(env, environment.make_error);
  environment.make_error = nullptr;
  napi_create_reference(env, argument, 1, &environment.make_error);
  return Undefined(env);
}

/// A process or worker that exits waits for the thread pool: what nobody will hear of any more is not worth the wait.
napi_value InterruptJobs(napi_env env, napi_callback_info) {
  for (Handle* handle : Environment::Of(env).handles) handle->InterruptJobs();
  return Undefined(env);
}

void CleanUp(void* data) {
  // Handles first: their buffers are detached and their waits ended while the environment still exists.
  auto* environment = static_cast<Environment*>(data);
  while (!environment->handles.empty()) {
    Handle* handle = environment->handles.back();
    handle->Close();
    if (!environment->handles.empty() && environment->handles.back() == handle) environment->handles.pop_back();
  }
}

napi_value MakeErrorList(napi_env env) {
  napi_value list = nullptr;
  const auto count = static_cast<uint32_t>(ErrorCode::kCount);
  napi_create_array_with_length(env, count, &list);
  for (uint32_t i = 0; i < count; ++i) {
    const ErrorKind& kind = DescribeError(static_cast<ErrorCode>(i));
    napi_value row = nullptr;
    napi_create_object(env, &row);
    napi_set_named_property(env, row, "code", Text(env, kind.code, true));
    napi_set_named_property(env, row, "kind", Text(env, kind.kind, true));
    napi_set_named_property(env, row, "retryable", Boolean(env, kind.retryable));
    napi_set_element(env, list, i, row);
  }
  return list;
}

napi_value MakeNumberPlaces(napi_env env) {
  constexpr const char* kNames[] = {"confidence",    "createdAt", "activation",    "lastAccess",    "recallCount",
                                    "ifSequence",    "sequence",  "hasEmbedding",  "segment",       "slot",
                                    "logOffset",     "logLength", "slabOffset",    "applied",       "momentApplied",
                                    "momentList",    "idLength",  "contentLength", "metadataShape", "metadataVersion",
                                    "metadataValues"};
  static_assert(std::size(kNames) == kMetadataValues + 1);
  napi_value places = nullptr;
  napi_create_object(env, &places);
  for (size_t i = 0; i < std::size(kNames); ++i) SetNumber(env, places, kNames[i], static_cast<double>(i));
  return places;
}

napi_value MakeLimits(napi_env env) {
  napi_value limits = nullptr;
  napi_create_object(env, &limits);
  SetNumber(env, limits, "dimensionsMax", kDimensionsMax);
  SetNumber(env, limits, "idBytesMax", static_cast<double>(kIdBytesMax));
  SetNumber(env, limits, "contentBytesMax", static_cast<double>(kContentBytesMax));
  SetNumber(env, limits, "metadataBytesMax", static_cast<double>(kMetadataBytesMax));
  SetNumber(env, limits, "metadataDepthMax", kMetadataDepthMax);
  SetNumber(env, limits, "filterDepthMax", kFilterDepthMax);
  SetNumber(env, limits, "filterConditionsMax", kFilterConditionsMax);
  SetNumber(env, limits, "filterBytesMax", static_cast<double>(kFilterBytesMax));
  SetNumber(env, limits, "indexedPathsMax", kIndexedPathsMax);
  return limits;
}

void SetFunction(napi_env env, napi_value object, const char* name, napi_callback call) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
  napi_set_named_property(env, object, name, function);
}

napi_value Init(napi_env env, napi_value exports) {
  auto* environment = new Environment();
  environment->env = env;
  napi_set_instance_data(
      env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr);
  napi_add_env_cleanup_hook(env, CleanUp, environment);
  napi_set_named_property(env, exports, "errors", MakeErrorList(env));
  napi_set_named_property(env, exports, "numberAt", MakeNumberPlaces(env));
  napi_set_named_property(env, exports, "limits", MakeLimits(env));
  napi_set_named_property(env, exports, "kernel", Text(env, kernels::Best().name, true));
  SetFunction(env, exports, "setErrorFactory", SetErrorFactory);
  SetFunction(env, exports, "interruptJobs", InterruptJobs);
  SetFunction(env, exports, "open", Handle::Open);
  SetFunction(env, exports, "salvage", Salvage);
  return exports;
}

}  // namespace

Environment& Environment::Of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

napi_value MakeError(napi_env env, const Status& status) {
  const Environment& environment = Environment::Of(env);
  napi_value factory = nullptr;
  napi_value receiver = Undefined(env);
  napi_value details = nullptr;
  napi_create_object(env, &details);
  if (status.error_number() != 0) SetNumber(env, details, "errno", status.error_number());
  if (status.role() == FileRole::kLog || status.role() == FileRole::kBlocks) {
    SetNumber(env, details, "segment", static_cast<double>(status.segment()));
  }
  if (status.code() == ErrorCode::kCorrupt) SetNumber(env, details, "offset", static_cast<double>(status.offset()));
  if (status.value() >= 0) {
    const char* name = "value";
    if (status.code() == ErrorCode::kDimension) name = "dimensions";
    if (status.code() == ErrorCode::kConflict || status.code() == ErrorCode::kChangesGone) name = "sequence";
    if (status.code() == ErrorCode::kTooLarge) name = "limit";
    SetNumber(env, details, name, static_cast<double>(status.value()));
  }
  napi_value arguments[3] = {Number(env, static_cast<double>(status.code())), Text(env, DescribeStatus(status), true),
                             details};
  napi_value error = nullptr;
  if (environment.make_error == nullptr || napi_get_reference_value(env, environment.make_error, &factory) != napi_ok ||
      factory == nullptr) {
    napi_create_error(env, Text(env, DescribeError(status.code()).code, true), arguments[1], &error);
    return error;
  }
  napi_call_function(env, receiver, factory, 3, arguments, &error);
  return error;
}

napi_value Throw(napi_env env, const Status& status) {
  napi_value error = MakeError(env, status);
  if (error != nullptr) napi_throw(env, error);
  return nullptr;
}

}  // namespace thermocline::binding

NAPI_MODULE_INIT() { return thermocline::binding::Init(env, exports); }
