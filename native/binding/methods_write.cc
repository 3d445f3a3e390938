// Methods that write. One native call from the claim to the commit, no JavaScript inside.

#include <cmath>

#include "binding/handle.h"
#include "core/base/limits.h"

namespace thermocline::binding {
namespace {

/// A handle that may write, or nullptr with an exception pending.
Handle* EnterToWrite(napi_env env, napi_callback_info info, napi_value* arguments, size_t count) {
  Handle* handle = Enter(env, info, arguments, count);
  if (handle != nullptr && handle->read_only()) {
    Throw(env, Status::Error(ErrorCode::kReadOnly));
    return nullptr;
  }
  return handle;
}

Status ReadMetadata(napi_env env, Handle* handle, napi_value value, std::string_view* out) {
  if (TypeOf(env, value) == napi_undefined) return Status::Ok();
  THERMOCLINE_RETURN_IF_ERROR(ReadText(env, value, handle->metadata_buffer, kMetadataBytesMax, out));
  if (*out == "{}") *out = {};  // one form on disk for the empty object
  return Status::Ok();
}

Status ReadPut(napi_env env, Handle* handle, const napi_value* arguments, IdText* id, store::PutInput* put) {
  THERMOCLINE_RETURN_IF_ERROR(ReadId(env, arguments[0], id));
  put->id = id->view();
  if (TypeOf(env, arguments[1]) == napi_object) {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, arguments[1], &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != napi_float32_array) {
      return Status::Error(ErrorCode::kArgument);
    }
    if (length != handle->store().dimensions() || data == nullptr) {
      return Status::Error(ErrorCode::kDimension).set_value(handle->store().dimensions());
    }
    put->embedding = {static_cast<const float*>(data), length};
  }
  if (TypeOf(env, arguments[2]) == napi_string) {
    put->has_content = true;
    THERMOCLINE_RETURN_IF_ERROR(ReadText(env, arguments[2], handle->content_buffer, kContentBytesMax, &put->content));
  }
  THERMOCLINE_RETURN_IF_ERROR(ReadMetadata(env, handle, arguments[3], &put->metadata));
  put->confidence = handle->numbers[kConfidence];
  put->created_at = handle->numbers[kCreatedAt];
  put->activation = handle->numbers[kActivation];
  put->last_access = handle->numbers[kLastAccess];
  put->recall_count = static_cast<uint64_t>(handle->numbers[kRecallCount]);
  return Status::Ok();
}

Status ReadPatch(napi_env env, Handle* handle, const napi_value* arguments, IdText* id, store::PatchInput* patch) {
  THERMOCLINE_RETURN_IF_ERROR(ReadId(env, arguments[0], id));
  patch->id = id->view();
  const napi_valuetype content = TypeOf(env, arguments[1]);
  patch->set_content = content != napi_undefined;
  patch->has_content = content == napi_string;
  if (patch->has_content) {
    THERMOCLINE_RETURN_IF_ERROR(ReadText(env, arguments[1], handle->content_buffer, kContentBytesMax, &patch->content));
  }
  patch->set_metadata = TypeOf(env, arguments[2]) != napi_undefined;
  THERMOCLINE_RETURN_IF_ERROR(ReadMetadata(env, handle, arguments[2], &patch->metadata));
  patch->confidence = handle->numbers[kConfidence];
  patch->set_confidence = !std::isnan(patch->confidence);
  return Status::Ok();
}

int64_t IfSequence(const Handle* handle) {
  const double value = handle->numbers[kIfSequence];
  return value >= 0 ? static_cast<int64_t>(value) : store::kAnySequence;
}

napi_value Put(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  Handle* handle = EnterToWrite(env, info, arguments, 4);
  if (handle == nullptr) return nullptr;
  IdText id;
  store::PutInput put;
  Status status = ReadPut(env, handle, arguments, &id, &put);
  if (!status.ok()) return Throw(env, status);
  // Not copied: the buffers and the embedding stay where they are during this call.
  handle->single.Put(put, false, IfSequence(handle));
  Sequence last = 0;
  status = handle->CommitBatch(handle->single, &last);
  return status.ok() ? Number(env, static_cast<double>(last)) : Throw(env, status);
}

napi_value Update(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Handle* handle = EnterToWrite(env, info, arguments, 3);
  if (handle == nullptr) return nullptr;
  IdText id;
  store::PatchInput patch;
  Status status = ReadPatch(env, handle, arguments, &id, &patch);
  if (!status.ok()) return Throw(env, status);
  handle->single.Update(patch, false, IfSequence(handle));
  Sequence last = 0;
  status = handle->CommitBatch(handle->single, &last);
  return status.ok() ? Boolean(env, handle->numbers[kApplied] > 0) : Throw(env, status);
}

napi_value Delete(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = EnterToWrite(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  IdText id;
  Status status = ReadId(env, argument, &id);
  if (!status.ok()) return Throw(env, status);
  handle->single.Delete(id.view(), false, IfSequence(handle));
  Sequence last = 0;
  status = handle->CommitBatch(handle->single, &last);
  return status.ok() ? Boolean(env, handle->numbers[kApplied] > 0) : Throw(env, status);
}

napi_value BatchPut(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  Handle* handle = EnterToWrite(env, info, arguments, 4);
  if (handle == nullptr) return nullptr;
  IdText id;
  store::PutInput put;
  Status status = ReadPut(env, handle, arguments, &id, &put);
  // Here already, so that the error names the item and not the batch.
  if (status.ok()) status = store::CheckPut(put, handle->store().dimensions());
  if (!status.ok()) return Throw(env, status);
  handle->staged.Put(put, true);
  return Number(env, static_cast<double>(handle->staged.bytes()));
}

napi_value BatchUpdate(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Handle* handle = EnterToWrite(env, info, arguments, 3);
  if (handle == nullptr) return nullptr;
  IdText id;
  store::PatchInput patch;
  const Status status = ReadPatch(env, handle, arguments, &id, &patch);
  if (!status.ok()) return Throw(env, status);
  handle->staged.Update(patch, true);
  return Number(env, static_cast<double>(handle->staged.bytes()));
}

napi_value BatchDelete(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = EnterToWrite(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  IdText id;
  const Status status = ReadId(env, argument, &id);
  if (!status.ok()) return Throw(env, status);
  handle->staged.Delete(id.view(), true);
  return Number(env, static_cast<double>(handle->staged.bytes()));
}

napi_value BatchCommit(napi_env env, napi_callback_info info) {
  Handle* handle = EnterToWrite(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  Sequence last = 0;
  const Status status = handle->CommitBatch(handle->staged, &last);
  return status.ok() ? Number(env, static_cast<double>(last)) : Throw(env, status);
}

napi_value BatchReset(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  static_cast<Handle*>(data)->staged.Clear();
  return Undefined(env);
}

napi_value CloseHandle(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  static_cast<Handle*>(data)->Close();
  return Undefined(env);
}

}  // namespace

const std::vector<Method>& WriteMethods() {
  static const std::vector<Method> methods = {
      {"put", Put},
      {"update", Update},
      {"delete", Delete},
      {"batchPut", BatchPut},
      {"batchUpdate", BatchUpdate},
      {"batchDelete", BatchDelete},
      {"batchCommit", BatchCommit},
      {"batchReset", BatchReset},
      {"close", CloseHandle},
  };
  return methods;
}

}  // namespace thermocline::binding
