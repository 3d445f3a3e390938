// Methods that write. One native call from the claim to the commit, no JavaScript inside.

#include <algorithm>
#include <cmath>
#include <span>

#include "binding/handle.h"
#include "core/base/limits.h"
#include "core/base/utf.h"

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

Status ReadMetadata(napi_env env, Handle* handle, napi_value value, std::string_view* out, bool* ascii) {
  const Status read = ReadText(env, value, handle, handle->metadata_buffer, kMetadataBytesMax, out, ascii);
  if (!read.ok()) return TypeOf(env, value) == napi_undefined ? Status::Ok() : read;
  if (*out == "{}") *out = {};  // one form on disk for the empty object
  return Status::Ok();
}

/// Asked for what it is expected to be: what it is otherwise is looked at only then, because asking costs as much.
Status ReadEmbedding(napi_env env, const Handle* handle, napi_value value, store::PutInput* put) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    return TypeOf(env, value) == napi_object ? Status::Error(ErrorCode::kArgument) : Status::Ok();
  }
  if (type != napi_float32_array) return Status::Error(ErrorCode::kArgument);
  if (length != handle->store().dimensions() || data == nullptr) {
    return Status::Error(ErrorCode::kDimension).set_value(handle->store().dimensions());
  }
  put->embedding = {static_cast<const float*>(data), length};
  // Checked only after the texts were read: on its way meanwhile, as much as is asked for without a wait.
  constexpr size_t kPrefetchedFloats = 1024;
  for (size_t at = 0; at < std::min(length, kPrefetchedFloats); at += 64 / sizeof(float)) {
    __builtin_prefetch(put->embedding.data() + at);
  }
  return Status::Ok();
}

Status ReadPut(napi_env env, Handle* handle, const napi_value* arguments, IdText* id, store::PutInput* put) {
  THERMOCLINE_RETURN_IF_ERROR(ReadEmbedding(env, handle, arguments[1], put));
  THERMOCLINE_RETURN_IF_ERROR(ReadId(env, arguments[0], id));
  put->id = id->view();
  const Status content =
      ReadText(env, arguments[2], handle, handle->content_buffer, kContentBytesMax, &put->content, &put->content_ascii);
  put->has_content = content.ok();
  if (!content.ok() && (content.code() != ErrorCode::kArgument || TypeOf(env, arguments[2]) == napi_string)) {
    return content;
  }
  THERMOCLINE_RETURN_IF_ERROR(ReadMetadata(env, handle, arguments[3], &put->metadata, &put->metadata_ascii));
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
    THERMOCLINE_RETURN_IF_ERROR(ReadText(env, arguments[1], handle, handle->content_buffer, kContentBytesMax,
                                         &patch->content, &patch->content_ascii));
  }
  patch->set_metadata = TypeOf(env, arguments[2]) != napi_undefined;
  THERMOCLINE_RETURN_IF_ERROR(ReadMetadata(env, handle, arguments[2], &patch->metadata, &patch->metadata_ascii));
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
  handle->stage().batch.Put(put, true, IfSequence(handle));
  return Number(env, static_cast<double>(handle->stage().batch.bytes()));
}

/// Memories a frame at most (`capacity`), by its bytes too.
size_t BatchCapacity(uint32_t dimensions) {
  constexpr size_t kMemoriesMax = 256;
  constexpr size_t kRowsBytesMax = 1 << 20;
  return std::clamp<size_t>(kRowsBytesMax / (dimensions * sizeof(float)), 1, kMemoriesMax);
}

/// A typed array kept alive by `reference`; nullptr with an exception pending.
napi_value MakeArray(napi_env env, napi_typedarray_type type, size_t count, void** data, napi_ref* reference) {
  const size_t element = type == napi_float64_array ? sizeof(double) : sizeof(float);
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  if (napi_create_arraybuffer(env, element * count, data, &buffer) != napi_ok) return nullptr;
  if (napi_create_typedarray(env, type, count, buffer, 0, &array) != napi_ok) return nullptr;
  napi_create_reference(env, array, 1, reference);
  return array;
}

napi_value BatchArrays(napi_env env, napi_callback_info info) {
  Handle* handle = EnterToWrite(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  Handle::Stage& stage = handle->stage();
  napi_value fields = nullptr;
  napi_value rows = nullptr;
  if (stage.fields_reference != nullptr) {
    napi_get_reference_value(env, stage.fields_reference, &fields);
    napi_get_reference_value(env, stage.rows_reference, &rows);
  } else {
    const uint32_t dimensions = handle->store().dimensions();
    stage.capacity = BatchCapacity(dimensions);
    void* data = nullptr;
    fields = MakeArray(env, napi_float64_array, stage.capacity * kBatchFields, &data, &stage.fields_reference);
    stage.fields = static_cast<double*>(data);
    rows = MakeArray(env, napi_float32_array, stage.capacity * dimensions, &data, &stage.rows_reference);
    stage.rows = static_cast<float*>(data);
  }
  if (fields == nullptr || rows == nullptr) return nullptr;
  napi_value result = nullptr;
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "fields", fields);
  napi_set_named_property(env, result, "rows", rows);
  SetNumber(env, result, "capacity", static_cast<double>(stage.capacity));
  return result;
}

/// The texts of a group of memories, one after the other, as UTF-16; cut up as their fields say.
class GroupText {
 public:
  GroupText(store::Batch& batch, std::span<const char16_t> units) : units_(units) {
    out_ = batch.AllocateText(units.size() * kUtf8BytesPerUnitMax);
    ascii_ = NarrowIfAscii(units.data(), units.size(), out_);
  }

  /// Whether all texts are ASCII. They are converted at once then, and only cut up.
  bool ascii() const { return ascii_; }

  /// False when the fields name more than there is.
  bool Take(double count, std::string_view* text) {
    if (!(count >= 0 && count <= static_cast<double>(units_.size() - at_))) return false;
    const auto units = static_cast<size_t>(count);
    const size_t bytes = ascii_ ? units : Utf8FromUtf16(units_.data() + at_, units, out_).bytes;
    *text = {out_, bytes};
    out_ += bytes;
    at_ += units;
    return true;
  }

 private:
  std::span<const char16_t> units_;
  size_t at_ = 0;
  char* out_ = nullptr;
  bool ascii_ = false;
};

Status StageOne(Handle* handle, const double* fields, const float* row, GroupText& text) {
  store::PutInput put;
  if (!text.Take(fields[kFieldIdUnits], &put.id)) return Status::Error(ErrorCode::kArgument);
  put.has_content = fields[kFieldContentUnits] >= 0;
  if (put.has_content && !text.Take(fields[kFieldContentUnits], &put.content)) {
    return Status::Error(ErrorCode::kArgument);
  }
  if (!text.Take(fields[kFieldMetadataUnits], &put.metadata)) return Status::Error(ErrorCode::kArgument);
  put.content_ascii = text.ascii();
  put.metadata_ascii = text.ascii();
  if (fields[kFieldHasEmbedding] != 0) put.embedding = {row, handle->store().dimensions()};
  put.confidence = fields[kFieldConfidence];
  put.created_at = fields[kFieldCreatedAt];
  put.activation = fields[kFieldActivation];
  put.last_access = fields[kFieldLastAccess];
  put.recall_count = static_cast<uint64_t>(fields[kFieldRecallCount]);
  THERMOCLINE_RETURN_IF_ERROR(store::CheckPut(put, handle->store().dimensions()));
  handle->stage().batch.Put(put, false);
  return Status::Ok();
}

/// (text, first, count): stages memories [first, first + count) of the arrays. On an error numbers[applied] says how
/// many of them are sound.
napi_value BatchPutGroup(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Handle* handle = EnterToWrite(env, info, arguments, 3);
  if (handle == nullptr) return nullptr;
  const double first = GetDouble(env, arguments[1], -1);
  const double count = GetDouble(env, arguments[2], -1);
  Handle::Stage& stage = handle->stage();
  if (!(first >= 0 && count >= 0 && first + count <= static_cast<double>(stage.capacity))) {
    return Throw(env, Status::Error(ErrorCode::kArgumentRange));
  }
  size_t length = 0;
  if (napi_get_value_string_utf16(env, arguments[0], nullptr, 0, &length) != napi_ok) {
    return Throw(env, Status::Error(ErrorCode::kArgument));
  }
  constexpr size_t kKeptUnitsMax = 128 * 1024;
  std::vector<char16_t>& units = handle->units_buffer;
  if (units.size() > kKeptUnitsMax) std::vector<char16_t>().swap(units);
  if (units.size() < length + 1) units.resize(length + 1 + length / 4);
  napi_get_value_string_utf16(env, arguments[0], units.data(), units.size(), &length);
  GroupText text(stage.batch, {units.data(), length});
  const uint32_t dimensions = handle->store().dimensions();
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    const size_t at = static_cast<size_t>(first) + i;
    const Status status = StageOne(handle, stage.fields + at * kBatchFields, stage.rows + at * dimensions, text);
    if (!status.ok()) {
      handle->numbers[kApplied] = static_cast<double>(i);
      return Throw(env, status);
    }
  }
  if (handle->stage().batch.size() == static_cast<size_t>(first + count)) handle->stage().batch.SetRows(stage.rows);
  return Number(env, static_cast<double>(handle->stage().batch.bytes()));
}

napi_value BatchUpdate(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Handle* handle = EnterToWrite(env, info, arguments, 3);
  if (handle == nullptr) return nullptr;
  IdText id;
  store::PatchInput patch;
  const Status status = ReadPatch(env, handle, arguments, &id, &patch);
  if (!status.ok()) return Throw(env, status);
  handle->stage().batch.Update(patch, true, IfSequence(handle));
  return Number(env, static_cast<double>(handle->stage().batch.bytes()));
}

napi_value BatchDelete(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = EnterToWrite(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  IdText id;
  const Status status = ReadId(env, argument, &id);
  if (!status.ok()) return Throw(env, status);
  handle->stage().batch.Delete(id.view(), true, IfSequence(handle));
  return Number(env, static_cast<double>(handle->stage().batch.bytes()));
}

napi_value BatchCheck(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = EnterToWrite(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  IdText id;
  const Status status = ReadId(env, argument, &id);
  if (!status.ok()) return Throw(env, status);
  handle->stage().batch.Check(id.view(), true, IfSequence(handle));
  return Undefined(env);
}

napi_value BatchCommit(napi_env env, napi_callback_info info) {
  Handle* handle = EnterToWrite(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  Sequence last = 0;
  const Status status = handle->CommitBatch(handle->stage().batch, &last);
  return status.ok() ? Number(env, static_cast<double>(last)) : Throw(env, status);
}

/// Hands the staged frame to the background and goes on with the other stage. Nothing is in the background.
napi_value BatchSubmit(napi_env env, napi_callback_info info) {
  Handle* handle = EnterToWrite(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  if (handle->background.running()) return Throw(env, Status::Error(ErrorCode::kArgument));
  handle->background.Start(handle->store(), handle->stage().batch, handle->lock_timeout_us(),
                           handle->flushes_commits());
  handle->current_stage ^= 1;
  return Undefined(env);
}

napi_value BatchWait(napi_env env, napi_callback_info info) {
  Handle* handle = EnterToWrite(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  if (!handle->background.running()) return Throw(env, Status::Error(ErrorCode::kArgument));
  const Result<Sequence> outcome = handle->background.Wait();
  return outcome.ok() ? Number(env, static_cast<double>(*outcome)) : Throw(env, outcome.status());
}

napi_value BatchReset(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  static_cast<Handle*>(data)->stage().batch.Clear();
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
      Method::Of<Put>("put"),
      Method::Of<Update>("update"),
      Method::Of<Delete>("delete"),
      Method::Of<BatchPut>("batchPut"),
      Method::Of<BatchArrays>("batchArrays"),
      Method::Of<BatchPutGroup>("batchPutGroup"),
      Method::Of<BatchUpdate>("batchUpdate"),
      Method::Of<BatchDelete>("batchDelete"),
      Method::Of<BatchCheck>("batchCheck"),
      Method::Of<BatchCommit>("batchCommit"),
      Method::Of<BatchSubmit>("batchSubmit"),
      Method::Of<BatchWait>("batchWait"),
      Method::Unwatched<BatchReset>("batchReset"),
      Method::Unwatched<CloseHandle>("close"),
  };
  return methods;
}

}  // namespace thermocline::binding
