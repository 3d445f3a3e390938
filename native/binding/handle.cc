#include "binding/handle.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/base/utf.h"
#include "core/search/field_index.h"

namespace thermocline::binding {
Handle::Handle(napi_env env, std::shared_ptr<StoreUse> use, const store::OpenOptions& options)
    : single(use->store().hash_key()),
      stages{Stage(use->store().hash_key()), Stage(use->store().hash_key())},
      env_(env),
      use_(std::move(use)),
      durability_(options.durability),
      read_only_(options.read_only),
      lock_timeout_us_(options.lock_timeout_us) {
  Environment::Of(env).handles.push_back(this);
}

Handle::~Handle() { Close(); }

napi_value Handle::Open(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2] = {nullptr, nullptr};
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  std::vector<char> buffer;
  std::string_view path;
  constexpr uint64_t kPathBytesMax = 1 << 16;
  const Status read = ReadLongText(env, arguments[0], buffer, kPathBytesMax, &path);
  if (!read.ok()) return Throw(env, read);

  store::OpenOptions options;
  const napi_value given = arguments[1];
  options.dimensions = static_cast<uint32_t>(GetNumber(env, given, "dimensions", 0));
  const double metric = GetNumber(env, given, "metric", -1);
  if (metric >= 0) options.metric = static_cast<format::Metric>(static_cast<uint32_t>(metric));
  options.durability = static_cast<store::Durability>(static_cast<uint8_t>(GetNumber(env, given, "durability", 1)));
  options.create = GetBoolean(env, given, "create");
  options.read_only = GetBoolean(env, given, "readOnly");
  options.expected_records = static_cast<uint64_t>(GetNumber(env, given, "expectedRecords", 0));
  options.lock_timeout_us = static_cast<uint64_t>(GetNumber(env, given, "lockTimeout", 5000) * 1000);
  options.allow_network_file_system = GetBoolean(env, given, "allowNetworkFileSystem");

  std::vector<std::string> indexed;
  const Status named = ReadIndexed(env, given, &indexed);
  if (!named.ok()) return Throw(env, named);
  Result<std::shared_ptr<store::Store>> opened = store::AcquireStore(std::string(path), options);
  if (!opened.ok()) return Throw(env, opened.status());
  if (!indexed.empty()) search::FieldIndex::Of(**opened).Declare(indexed, !options.read_only);
  // Not given: what the handles before it have, or the default. A share below 0: never.
  const double dead_share = GetNumber(env, given, "deadShare", NAN);
  if (dead_share < 0) (*opened)->SetAutoCompact(std::nullopt);
  if (dead_share >= 0) {
    const auto dead_bytes = static_cast<uint64_t>(GetNumber(env, given, "deadBytes", 0));
    (*opened)->SetAutoCompact(store::AutoCompact{dead_share, dead_bytes});
  }
  auto* handle = new Handle(env, std::make_shared<StoreUse>(std::move(*opened)), options);
  return handle->MakeObject();
}

napi_value Handle::MakeObject() {
  napi_value object = nullptr;
  napi_create_object(env_, &object);
  napi_wrap(
      env_, object, this, [](napi_env, void* data, void*) { delete static_cast<Handle*>(data); }, nullptr, nullptr);
  napi_value buffer = nullptr;
  void* data = nullptr;
  napi_create_arraybuffer(env_, kNumberPlaces * sizeof(double), &data, &buffer);
  numbers = static_cast<double*>(data);
  napi_value array = nullptr;
  napi_create_typedarray(env_, napi_float64_array, kNumberPlaces, buffer, 0, &array);
  napi_create_reference(env_, array, 1, &numbers_reference_);
  // Defined, not set: of an object to which so many are set V8 makes a dictionary, and each call then looks its
  // function up there and cannot be inlined.
  const auto define = [&](const char* name, napi_callback method, napi_value value) {
    const napi_property_descriptor property = {name, nullptr, method, nullptr, nullptr, value, napi_default_jsproperty,
                                               this};
    napi_define_properties(env_, object, 1, &property);
  };
  define("numbers", nullptr, array);
  define("dimensions", nullptr, Number(env_, store().dimensions()));
  define("metric", nullptr, Number(env_, static_cast<double>(store().metric())));
  for (const std::vector<Method>* methods :
       {&ReadMethods(), &WriteMethods(), &SearchMethods(), &MaintenanceMethods(), &WaitMethods()}) {
    for (const Method& method : *methods) define(method.name(), method.call(), nullptr);
  }
  return object;
}

void Handle::Close() {
  if (closed()) return;
  auto& handles = Environment::Of(env_).handles;
  std::erase(handles, this);
  InterruptJobs();
  background.Stop();  // it may be reading the arrays
  EndWaits(*this);
  for (Holder* holder : holders_) {
    holder->LetGo();
    holder->among_ = nullptr;
  }
  holders_.clear();
  napi_handle_scope scope = nullptr;
  napi_open_handle_scope(env_, &scope);
  for (napi_ref reference : buffers_) {
    napi_value buffer = nullptr;
    if (napi_get_reference_value(env_, reference, &buffer) == napi_ok && buffer != nullptr) {
      napi_detach_arraybuffer(env_, buffer);
    }
    napi_delete_reference(env_, reference);
  }
  buffers_.clear();
  if (slab_reference != nullptr) napi_delete_reference(env_, slab_reference);
  if (numbers_reference_ != nullptr) napi_delete_reference(env_, numbers_reference_);
  for (Stage& stage : stages) {
    if (stage.fields_reference != nullptr) napi_delete_reference(env_, stage.fields_reference);
    if (stage.rows_reference != nullptr) napi_delete_reference(env_, stage.rows_reference);
    stage.fields_reference = nullptr;
    stage.rows_reference = nullptr;
    stage.batch.Clear();
  }
  slab_reference = nullptr;
  numbers_reference_ = nullptr;
  slab = nullptr;
  slab_length = 0;
  if (scope != nullptr) napi_close_handle_scope(env_, scope);
  single.Clear();
  for (const std::shared_ptr<JobUse>& use : job_uses_) use->CloseHandle();
  job_uses_.clear();
  use_.reset();
}

std::shared_ptr<JobUse> Handle::MakeJobUse() {
  std::erase_if(job_uses_, [](const auto& use) { return use.use_count() == 1; });  // those of jobs that are gone
  job_uses_.push_back(std::make_shared<JobUse>(use_));
  return job_uses_.back();
}

void Handle::InterruptJobs() {
  closing->store(true);
  for (auto& [token, cancel] : searches) cancel->store(true);
  for (auto& [token, cancel] : compactions) cancel->store(true);
}

void Handle::Join(Holder& holder) {
  holder.among_ = &holders_;
  holders_.insert(&holder);
}

bool AttachHolder(napi_env env, napi_value object, std::unique_ptr<Holder> holder) {
  const auto collect = [](napi_env, void* data, void*) { delete static_cast<Holder*>(data); };
  if (napi_add_finalizer(env, object, holder.get(), collect, nullptr, nullptr) != napi_ok) return false;
  holder.release();
  return true;
}

void Handle::KeepBuffer(napi_value buffer) {
  // References to buffers that were collected are dropped now and then, so that the list follows what is alive.
  if (buffers_.size() >= 64 && (buffers_.size() & (buffers_.size() - 1)) == 0) {
    std::erase_if(buffers_, [this](napi_ref reference) {
      napi_value value = nullptr;
      if (napi_get_reference_value(env_, reference, &value) == napi_ok && value != nullptr) return false;
      napi_delete_reference(env_, reference);
      return true;
    });
  }
  napi_ref reference = nullptr;
  if (napi_create_reference(env_, buffer, 0, &reference) == napi_ok) buffers_.push_back(reference);
}

void FillStatistics(const format::Statistics& statistics, double* numbers) {
  numbers[kActivation] = LoadRelaxed(statistics.activation);
  numbers[kLastAccess] = LoadRelaxed(statistics.last_access);
  numbers[kRecallCount] = static_cast<double>(LoadRelaxed(statistics.recall_count));
}

bool Handle::FillFrom(const store::MemoryRef& memory, bool with_embedding) {
  // The texts are read last and lie apart from the embedding: on their way meanwhile.
  for (uint64_t at = 0; with_embedding && at < 8; ++at) __builtin_prefetch(memory.record.content.data() + at * 64);
  const format::RecordHeader& header = memory.record.header;
  const Slot slot = memory.record.slot();
  numbers[kConfidence] = header.confidence;
  numbers[kCreatedAt] = header.created_at;
  FillStatistics(memory.segment->statistics(slot), numbers);
  numbers[kSequence] = static_cast<double>(header.sequence);
  numbers[kSegment] = Raw(memory.segment->number());
  numbers[kSlot] = Raw(slot);
  numbers[kLogOffset] = static_cast<double>(memory.log_offset);
  numbers[kLogLength] = header.length;
  const bool has_embedding = memory.record.has(format::kHasEmbedding);
  numbers[kHasEmbedding] = has_embedding ? 1 : 0;
  if (!with_embedding || !has_embedding) return true;
  const size_t dimensions = store().dimensions();
  const double offset = numbers[kSlabOffset];
  // The slab is JavaScript's; a place outside it would be a defect of src/, not of a user.
  if (slab == nullptr || !(offset >= 0) ||
      offset + static_cast<double>(dimensions) > static_cast<double>(slab_length)) {
    Throw(env_, Status::Error(ErrorCode::kArgumentRange));
    return false;
  }
  float* const copy = slab + static_cast<size_t>(offset);
  std::memcpy(copy, memory.segment->embedding(slot), dimensions * sizeof(float));
  // The copy, not the block: what is handed out is what was checked.
  if (Crc32c(format::BlockSeed(store().salt(), memory.segment->number(), slot), copy, dimensions * sizeof(float)) !=
      header.embedding_crc) {
    Throw(env_,
          Status::Corrupt(FileRole::kBlocks, Raw(memory.segment->number()), memory.segment->BlocksBytesFor(Raw(slot))));
    return false;
  }
  return true;
}

void Handle::CutMetadata(const store::MemoryRef& memory) {
  const format::RecordView& record = memory.record;
  MetadataShapes::Shape shape;
  if (record.has(format::kMetadataAscii)) shape = shapes.Cut(record.metadata, numbers + kMetadataValues);
  numbers[kMetadataShape] = shape.number;
  numbers[kMetadataVersion] = shape.version;
}

napi_value Handle::ReadTexts(const store::MemoryRef& memory, napi_value strings, bool with_id) {
  CutMetadata(memory);
  // JavaScript cuts the parts out of the whole, which stays alive with any of them.
  constexpr uint64_t kTogetherBytesMax = 2048;
  const format::RecordView& record = memory.record;
  // They lie one after the other in the log.
  const char* begin = with_id ? record.id.data() : record.content.data();
  const auto bytes = static_cast<uint64_t>(record.metadata.data() + record.metadata.size() - begin);
  const bool ascii = (record.content.empty() || record.has(format::kContentAscii)) &&
                     (record.metadata.empty() || record.has(format::kMetadataAscii)) &&
                     (!with_id || format::IsAscii(record.id));
  if (!ascii || bytes > kTogetherBytesMax) {
    return FillStrings(memory, strings, with_id) ? Boolean(env_, true) : nullptr;
  }
  numbers[kIdLength] = with_id ? static_cast<double>(record.id.size()) : 0;
  numbers[kContentLength] = record.has(format::kHasContent) ? static_cast<double>(record.content.size()) : -1;
  return Text(env_, {begin, bytes}, true);
}

bool Handle::FillStrings(const store::MemoryRef& memory, napi_value strings, bool with_id) {
  const format::RecordView& record = memory.record;
  napi_value content =
      record.has(format::kHasContent) ? Text(env_, record.content, record.has(format::kContentAscii)) : Null(env_);
  napi_value metadata =
      record.metadata.empty() ? Undefined(env_) : Text(env_, record.metadata, record.has(format::kMetadataAscii));
  if (content == nullptr || metadata == nullptr) return false;
  napi_set_element(env_, strings, 0, content);
  napi_set_element(env_, strings, 1, metadata);
  if (with_id) napi_set_element(env_, strings, 2, Text(env_, record.id, format::IsAscii(record.id)));
  return true;
}

Status Handle::CommitBatch(store::Batch& batch, Sequence* last) {
  uint32_t applied = 0;
  const Result<Sequence> committed = CommitAndFlush(store(), batch, lock_timeout_us_, flushes_commits(), &applied);
  numbers[kApplied] = applied;
  if (!committed.ok()) return committed.status();
  *last = *committed;
  return Status::Ok();
}

napi_value AnswerUnlessLost(napi_env env, napi_callback_info info, Handle* (*handle_of)(void*), napi_value answer) {
  void* data = nullptr;
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, &data);
  const Handle* handle = handle_of(data);
  if (handle->closed()) return answer;
  const Status files = handle->store().CheckFiles();
  if (files.ok()) return answer;
  // Whatever else was thrown came of bytes that nobody wrote.
  bool pending = false;
  napi_value thrown = nullptr;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) napi_get_and_clear_last_exception(env, &thrown);
  return Throw(env, files);
}

Handle* Enter(napi_env env, napi_callback_info info, napi_value* arguments, size_t count) {
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, arguments, nullptr, &data);
  auto* handle = static_cast<Handle*>(data);
  if (handle->closed()) {
    Throw(env, Status::Error(ErrorCode::kClosed));
    return nullptr;
  }
  if (handle->store().forked()) {
    Throw(env, Status::Error(ErrorCode::kForked));
    return nullptr;
  }
  return handle;
}

Status ReadLongText(napi_env env, napi_value value, std::vector<char>& buffer, uint64_t bytes_max,
                    std::string_view* out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) {
    return Status::Error(ErrorCode::kArgument);
  }
  if (length > bytes_max) return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(bytes_max));
  buffer.resize(length + 1);
  napi_get_value_string_utf8(env, value, buffer.data(), buffer.size(), &length);
  *out = {buffer.data(), length};
  return Status::Ok();
}

Status ReadText(napi_env env, napi_value value, Handle* handle, std::vector<char>& buffer, uint64_t bytes_max,
                std::string_view* out, bool* ascii) {
  constexpr size_t kFirstUnits = 8192;
  constexpr size_t kKeptBytesMax = 1 << 20;
  std::vector<char16_t>& units = handle->units_buffer;
  if (units.size() < kFirstUnits) units.resize(kFirstUnits);
  if (buffer.size() < kFirstUnits || buffer.size() > kKeptBytesMax) {
    buffer.resize(kFirstUnits);
    buffer.shrink_to_fit();
  }
  size_t length = 0;
  if (napi_get_value_string_utf16(env, value, units.data(), units.size(), &length) != napi_ok) {
    return Status::Error(ErrorCode::kArgument);
  }
  // A full buffer may have cut the text: long ones take V8's own, slower way, which needs no second copy.
  if (length + 1 >= units.size()) return ReadLongText(env, value, buffer, bytes_max, out);
  if (length * kUtf8BytesPerUnitMax > buffer.size()) buffer.resize(length * kUtf8BytesPerUnitMax);
  const Utf8Text converted = Utf8FromUtf16(units.data(), length, buffer.data());
  length = converted.bytes;
  *ascii = converted.ascii;
  if (length > bytes_max) return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(bytes_max));
  *out = {buffer.data(), length};
  return Status::Ok();
}

Status ReadFilter(napi_env env, napi_value value, std::shared_ptr<const filter::Filter>* filter) {
  if (TypeOf(env, value) == napi_undefined) return Status::Ok();
  std::vector<char> buffer;
  std::string_view text;
  THERMOCLINE_RETURN_IF_ERROR(ReadLongText(env, value, buffer, kFilterBytesMax, &text));
  Result<filter::Filter> compiled = filter::Filter::Compile(text);
  if (!compiled.ok()) return compiled.status();
  *filter = std::make_shared<const filter::Filter>(std::move(*compiled));
  return Status::Ok();
}

Status ReadIndexed(napi_env env, napi_value options, std::vector<std::string>* paths) {
  napi_value value = nullptr;
  napi_get_named_property(env, options, "indexed", &value);
  std::vector<char> buffer;
  std::string_view text;
  THERMOCLINE_RETURN_IF_ERROR(ReadLongText(env, value, buffer, kFilterBytesMax, &text));
  Result<std::vector<std::string>> read = search::ReadPaths(text);
  if (!read.ok()) return read.status();
  *paths = std::move(*read);
  return Status::Ok();
}

Status ReadId(napi_env env, napi_value value, IdText* id) {
  if (napi_get_value_string_utf8(env, value, id->bytes, sizeof id->bytes, &id->length) != napi_ok) {
    return Status::Error(ErrorCode::kArgument);
  }
  if (id->length == 0 || id->length > kIdBytesMax) return Status::Error(ErrorCode::kKeySize);
  return Status::Ok();
}

}  // namespace thermocline::binding
