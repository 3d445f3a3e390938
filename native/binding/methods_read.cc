// Methods that read: no lock, no thread pool.

#include <algorithm>
#include <cmath>

#include "binding/handle.h"
#include "core/format/frame.h"
#include "core/search/memory_cursor.h"
#include "core/store/log_reader.h"

namespace thermocline::binding {
namespace {

napi_value SetSlab(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, argument, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float32_array) {
    return Throw(env, Status::Error(ErrorCode::kArgument));
  }
  if (handle->slab_reference != nullptr) napi_delete_reference(env, handle->slab_reference);
  napi_create_reference(env, argument, 1, &handle->slab_reference);
  handle->slab = static_cast<float*>(data);
  handle->slab_length = length;
  return Undefined(env);
}

/// Looks an id up; `found` is empty and an exception pending on failure.
bool FindMemory(napi_env env, Handle* handle, napi_value id_value, store::Store::Fetch fetch,
                std::optional<store::MemoryRef>* found) {
  IdText id;
  const Status read = ReadId(env, id_value, &id);
  if (!read.ok()) {
    Throw(env, read);
    return false;
  }
  Result<std::optional<store::MemoryRef>> result = handle->store().Find(id.view(), fetch);
  if (!result.ok()) {
    Throw(env, result.status());
    return false;
  }
  *found = *result;
  return true;
}

napi_value Get(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Handle* handle = Enter(env, info, arguments, 2);
  std::optional<store::MemoryRef> found;
  if (handle == nullptr || !FindMemory(env, handle, arguments[0], store::Store::Fetch::kMemory, &found)) return nullptr;
  if (!found) return Boolean(env, false);
  return handle->FillFrom(*found, true) ? handle->ReadTexts(*found, arguments[1], false) : nullptr;
}

napi_value Has(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  std::optional<store::MemoryRef> found;
  if (handle == nullptr || !FindMemory(env, handle, argument, store::Store::Fetch::kNothing, &found)) return nullptr;
  return Boolean(env, found.has_value());
}

napi_value Locate(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  std::optional<store::MemoryRef> found;
  if (handle == nullptr || !FindMemory(env, handle, argument, store::Store::Fetch::kNumbers, &found)) return nullptr;
  if (found) handle->FillFrom(*found, false);
  return Boolean(env, found.has_value());
}

/// Numbers in and out: the moment before a look-up, and where that found its memory.
napi_value LocateAgain(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  double* const numbers = handle->numbers;
  const store::Moment now = handle->store().Now();
  const bool same = numbers[kMomentApplied] == static_cast<double>(now.applied) &&
                    numbers[kMomentList] == static_cast<double>(now.list_generation);
  const format::Statistics* statistics =
      same ? handle->store().StatisticsAt(now, static_cast<SegmentNumber>(static_cast<uint32_t>(numbers[kSegment])),
                                          static_cast<Slot>(static_cast<uint32_t>(numbers[kSlot])))
           : nullptr;
  if (statistics == nullptr) {
    numbers[kMomentApplied] = static_cast<double>(now.applied);
    numbers[kMomentList] = static_cast<double>(now.list_generation);
    return Boolean(env, false);
  }
  FillStatistics(*statistics, numbers);
  return Boolean(env, true);
}

constexpr double kLogOffsetMax = 32.0 * 1024 * 1024 * 1024;

bool ReadPlace(napi_env env, Handle* handle, const napi_value* arguments, store::MemoryRef* out) {
  const double segment = GetDouble(env, arguments[0], 0);
  const double offset = GetDouble(env, arguments[1], -1);
  if (!(segment >= 1 && segment <= UINT32_MAX && offset >= 0 && offset < kLogOffsetMax)) {
    Throw(env, Status::Error(ErrorCode::kArgumentRange));
    return false;
  }
  Result<store::MemoryRef> memory =
      handle->store().ReadAt(Position(static_cast<SegmentNumber>(segment), static_cast<uint64_t>(offset)));
  const Status whole = memory.ok() ? handle->store().CheckRecord(*memory) : memory.status();
  if (!whole.ok()) {
    // A place that was right once, in a segment that was rewritten since.
    Throw(env, store::Store::IsGone(whole) ? Status::Error(ErrorCode::kChangesGone) : whole);
    return false;
  }
  *out = *memory;
  return true;
}

napi_value ReadAt(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Handle* handle = Enter(env, info, arguments, 3);
  store::MemoryRef memory;
  if (handle == nullptr || !ReadPlace(env, handle, arguments, &memory)) return nullptr;
  if (memory.record.kind() == format::RecordKind::kDelete || !store::Store::OwnsBlock(memory)) {
    return Throw(env, Status::Corrupt(FileRole::kLog, Raw(memory.segment->number()), memory.log_offset));
  }
  return handle->FillFrom(memory, true) ? handle->ReadTexts(memory, arguments[2], true) : nullptr;
}

/// What keeps a view's segment mapped: its content and metadata are read at first touch, which may be late.
struct SegmentHold final : Holder {
  std::shared_ptr<store::Segment> segment;
  void LetGo() override { segment = nullptr; }
};

napi_value HoldSegment(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  const auto number = static_cast<SegmentNumber>(static_cast<uint32_t>(GetDouble(env, argument, 0)));
  Result<std::shared_ptr<store::Segment>> segment = handle->store().ShareSegment(number);
  if (!segment.ok() && store::Store::IsGone(segment.status())) return Undefined(env);
  if (!segment.ok()) return Throw(env, segment.status());
  auto hold = std::make_unique<SegmentHold>();
  hold->segment = std::move(*segment);
  handle->Join(*hold);
  napi_value object = nullptr;
  napi_create_object(env, &object);
  napi_wrap(env, object, hold.get(), nullptr, nullptr, nullptr);
  return AttachHolder(env, object, std::move(hold)) ? object : nullptr;
}

napi_value StringsAt(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Handle* handle = Enter(env, info, arguments, 3);
  if (handle == nullptr) return nullptr;
  void* hold = nullptr;
  if (napi_unwrap(env, arguments[0], &hold) != napi_ok) return Throw(env, Status::Error(ErrorCode::kArgument));
  store::Segment& segment = *static_cast<SegmentHold*>(hold)->segment;
  const auto offset = static_cast<uint64_t>(std::clamp(GetDouble(env, arguments[1], 0), 0.0, kLogOffsetMax));
  const auto record = store::ReadRecord(segment, offset);
  if (!record) return Throw(env, Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset));
  const store::MemoryRef memory{&segment, offset, *record};
  const Status whole = handle->store().CheckRecord(memory);
  if (!whole.ok()) return Throw(env, whole);
  handle->FillStrings(memory, arguments[2], true);
  return Undefined(env);
}

napi_value SegmentEmbeddings(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  const auto number = static_cast<SegmentNumber>(static_cast<uint32_t>(GetDouble(env, argument, 0)));
  Result<std::shared_ptr<store::Segment>> segment = handle->store().ShareSegment(number);
  if (!segment.ok()) return Throw(env, segment.status());
  const float* embeddings = (*segment)->PrivateEmbeddings();
  if (embeddings == nullptr) return Throw(env, Status::FromErrno(0, FileRole::kBlocks));
  const size_t bytes = (*segment)->CoveredSlots() * (*segment)->layout().embedding_stride;
  auto* keep = new std::shared_ptr<store::Segment>(std::move(*segment));
  napi_value buffer = nullptr;
  // const_cast: the mapping is private and writable; a JavaScript store there reaches neither file nor readers.
  const napi_status status = napi_create_external_arraybuffer(
      env, const_cast<float*>(embeddings), bytes,
      [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<store::Segment>*>(hint); }, keep, &buffer);
  if (status != napi_ok) {
    // Electron and its like forbid external buffers: a copy then.
    void* copy = nullptr;
    napi_create_arraybuffer(env, bytes, &copy, &buffer);
    if (copy != nullptr) std::memcpy(copy, embeddings, bytes);
    delete keep;
    if (buffer == nullptr) return nullptr;
  }
  handle->KeepBuffer(buffer);
  return buffer;
}

napi_value Touch(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Handle* handle = Enter(env, info, arguments, 2);
  if (handle == nullptr) return nullptr;
  if (handle->read_only()) return Throw(env, Status::Error(ErrorCode::kReadOnly));
  IdText id;
  const Status read = ReadId(env, arguments[0], &id);
  if (!read.ok()) return Throw(env, read);
  const double activation = GetDouble(env, arguments[1], NAN);
  Result<bool> touched = handle->store().Touch(
      id.view(), std::isnan(activation) ? std::nullopt : std::optional<double>(activation), io::NowUnixMilliseconds());
  if (!touched.ok()) return Throw(env, touched.status());
  return Boolean(env, *touched);
}

napi_value GetSequence(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  return handle == nullptr ? nullptr : Number(env, static_cast<double>(handle->store().sequence()));
}

napi_value GetSize(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  return handle == nullptr ? nullptr : Number(env, static_cast<double>(handle->store().size()));
}

napi_value GetStats(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  Result<store::StoreStats> stats = handle->store().Stats();
  if (!stats.ok()) return Throw(env, stats.status());
  napi_value object = nullptr;
  napi_create_object(env, &object);
  const auto set = [&](const char* name, uint64_t value) { SetNumber(env, object, name, static_cast<double>(value)); };
  set("memories", stats->memories);
  set("dimensions", handle->store().dimensions());
  set("metric", static_cast<uint64_t>(handle->store().metric()));
  set("sequence", stats->sequence);
  set("durableSequence", stats->durable_sequence);
  set("epoch", stats->epoch);
  set("participants", stats->participants);
  set("segments", stats->segments);
  set("bytesTotal", stats->bytes_total);
  set("bytesBlocks", stats->bytes_blocks);
  set("bytesLog", stats->bytes_log);
  set("bytesIndex", stats->bytes_index);
  set("bytesDead", stats->bytes_dead);
  set("bytesReserved", stats->bytes_reserved);
  set("batches", stats->batches);
  SetNumber(env, object, "openMs", stats->open_ms);
  napi_set_named_property(env, object, "recovered", Boolean(env, stats->recovered));
  return object;
}

napi_value IndexInfo(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  const store::IndexInfo index = handle->store().Index();
  napi_value object = nullptr;
  napi_create_object(env, &object);
  SetNumber(env, object, "cells", static_cast<double>(index.cells));
  SetNumber(env, object, "used", static_cast<double>(index.used));
  SetNumber(env, object, "generation", index.generation);
  return object;
}

napi_value LogTail(napi_env env, napi_callback_info info) {
  Handle* handle = Enter(env, info, nullptr, 0);
  if (handle == nullptr) return nullptr;
  const Position tail = handle->store().LogTail();
  napi_value object = nullptr;
  napi_create_object(env, &object);
  SetNumber(env, object, "segment", Raw(tail.segment()));
  SetNumber(env, object, "offset", static_cast<double>(tail.offset()));
  SetNumber(env, object, "sequence", static_cast<double>(handle->store().sequence()));
  return object;
}

napi_value Changes(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Handle* handle = Enter(env, info, arguments, 2);
  if (handle == nullptr) return nullptr;
  const auto since = static_cast<Sequence>(GetDouble(env, arguments[0], 0));
  const auto max = static_cast<size_t>(GetDouble(env, arguments[1], 0));
  Result<std::vector<store::LogRecord>> records = handle->store().Changes(since, max);
  if (!records.ok()) return Throw(env, records.status());
  napi_value list = nullptr;
  napi_create_array_with_length(env, records->size(), &list);
  for (size_t i = 0; i < records->size(); ++i) {
    const store::LogRecord& record = (*records)[i];
    napi_value row = nullptr;
    napi_create_object(env, &row);
    SetNumber(env, row, "sequence", static_cast<double>(record.sequence));
    SetNumber(env, row, "kind", static_cast<double>(record.kind));
    napi_set_named_property(env, row, "id", Text(env, record.id, format::IsAscii(record.id)));
    SetNumber(env, row, "segment", Raw(record.position.segment()));
    SetNumber(env, row, "offset", static_cast<double>(record.position.offset()));
    SetNumber(env, row, "length", record.length);
    napi_set_element(env, list, static_cast<uint32_t>(i), row);
  }
  return list;
}

// Cursors ------------------------------------------------------------------------------------------------------------

/// A cursor never outlives what it reads: `next` on a closed handle throws before it touches the store. The handle's
/// own object is kept by a reference.
struct EntriesCursor final : Holder {
  napi_ref owner = nullptr;
  std::optional<search::MemoryCursor> cursor;
  void LetGo() override { cursor.reset(); }
};

/// The memory after this one lies behind it in both files, most likely.
void PrefetchNext(const store::MemoryRef& memory) {
  memory.segment->PrefetchLog(memory.log_offset + memory.record.header.length, true);
  memory.segment->PrefetchBlock(static_cast<Slot>(Raw(memory.record.slot()) + 1), true);
}

/// nullptr: src/ gave something else, and an exception is pending.
EntriesCursor* GetCursor(napi_env env, napi_value value) {
  void* cursor = nullptr;
  if (napi_get_value_external(env, value, &cursor) != napi_ok) Throw(env, Status::Error(ErrorCode::kArgument));
  return static_cast<EntriesCursor*>(cursor);
}

napi_value EntriesNext(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Handle* handle = Enter(env, info, arguments, 2);
  EntriesCursor* entries = handle == nullptr ? nullptr : GetCursor(env, arguments[0]);
  if (entries == nullptr) return nullptr;
  if (!entries->cursor) return Boolean(env, false);
  Result<std::optional<store::MemoryRef>> memory = entries->cursor->Next();
  if (!memory.ok()) return Throw(env, memory.status());
  if (!memory->has_value()) {
    entries->cursor.reset();
    return Boolean(env, false);
  }
  PrefetchNext(**memory);
  return handle->FillFrom(**memory, true) ? handle->ReadTexts(**memory, arguments[1], true) : nullptr;
}

napi_value EntriesClose(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument = nullptr;
  napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr);
  EntriesCursor* entries = GetCursor(env, argument);
  if (entries == nullptr) return nullptr;
  entries->cursor.reset();
  return Undefined(env);
}

napi_value Entries(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2] = {nullptr, nullptr};
  napi_value self = nullptr;
  void* data = nullptr;
  napi_get_cb_info(env, info, &count, arguments, &self, &data);
  auto* handle = static_cast<Handle*>(data);
  if (handle->closed()) return Throw(env, Status::Error(ErrorCode::kClosed));
  std::shared_ptr<const filter::Filter> filter;
  const Status read = ReadFilter(env, arguments[1], &filter);
  if (!read.ok()) return Throw(env, read);
  Result<store::Snapshot> snapshot = handle->store().TakeSnapshot();
  if (!snapshot.ok()) return Throw(env, snapshot.status());
  auto* entries = new EntriesCursor();
  handle->Join(*entries);
  entries->cursor.emplace(handle->store(), std::move(*snapshot), static_cast<Sequence>(GetDouble(env, arguments[0], 0)),
                          std::move(filter));
  // The methods that take it are the handle's: V8 compiles calls of a function that it knows, and throws away what it
  // compiled when the function is collected, as each cursor's own would be.
  napi_value external = nullptr;
  napi_create_external(
      env, entries,
      [](napi_env finalize_env, void* finalized, void*) {
        auto* cursor = static_cast<EntriesCursor*>(finalized);
        if (cursor->owner != nullptr) napi_delete_reference(finalize_env, cursor->owner);
        delete cursor;
      },
      nullptr, &external);
  napi_create_reference(env, self, 1, &entries->owner);
  return external;
}

}  // namespace

const std::vector<Method>& ReadMethods() {
  static const std::vector<Method> methods = {
      Method::Of<SetSlab>("setSlab"),
      Method::Of<Get>("get"),
      Method::Of<Has>("has"),
      Method::Of<Locate>("locate"),
      Method::Of<LocateAgain>("locateAgain"),
      Method::Of<ReadAt>("readAt"),
      Method::Of<HoldSegment>("holdSegment"),
      Method::Of<StringsAt>("stringsAt"),
      Method::Of<SegmentEmbeddings>("segmentEmbeddings"),
      Method::Of<Touch>("touch"),
      Method::Of<GetSequence>("sequence"),
      Method::Of<GetSize>("size"),
      Method::Of<GetStats>("stats"),
      Method::Of<IndexInfo>("indexInfo"),
      Method::Of<LogTail>("logTail"),
      Method::Of<Changes>("changes"),
      Method::Of<Entries>("entries"),
      Method::Of<EntriesNext>("entriesNext"),
      Method::Unwatched<EntriesClose>("entriesClose"),
  };
  return methods;
}

}  // namespace thermocline::binding
