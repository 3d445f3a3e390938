#include "kill/writer.h"

#include <algorithm>

#include "core/base/atomic.h"
#include "core/io/system.h"

namespace thermocline::kill {
namespace {

// As long as a compaction of the small stores here takes on a busy host, or another one's.
constexpr uint64_t kCompactionTimeout = 50000;

}  // namespace

Writer::Writer(store::Store& store, Oracle& oracle, uint32_t writer, uint32_t child, uint64_t seed,
               WriterOptions options)
    : store_(store),
      oracle_(oracle),
      region_(oracle.regions[writer]),
      writer_(writer),
      child_(child),
      random_(seed),
      options_(options),
      batch_(store.hash_key()) {}

void Writer::Any() {
  if (random_.Below(1000) < options_.flushes_of_1000) return Flush();
  if (options_.compactions_of_1000 > 0 && random_.Below(1000) < options_.compactions_of_1000) return Compact();
  const uint64_t choice = random_.Below(100);
  if (choice < 60) return Put(RandomId());
  if (choice < 75) {
    uint32_t id = RandomId();
    for (int i = 0; i < 8 && !Value{region_.acknowledged[id]}.present(); ++i) id = RandomId();
    return Put(id);
  }
  if (choice < 85) return Delete(RandomId());
  if (choice < 90) return Update(RandomId());
  if (choice < 93) return Touch();
  if (choice < 97) return WriteSeveral();
  ReadBack();
}

void Writer::Put(uint32_t id) {
  Stage(format::RecordKind::kPut, id);
  Commit();
}

void Writer::Update(uint32_t id) {
  Stage(format::RecordKind::kUpdate, id);
  Commit();
}

void Writer::Delete(uint32_t id) {
  Stage(format::RecordKind::kDelete, id);
  Commit();
}

void Writer::WriteSeveral() {
  constexpr format::RecordKind kKinds[] = {format::RecordKind::kPut, format::RecordKind::kPut,
                                           format::RecordKind::kUpdate, format::RecordKind::kDelete};
  uint32_t id = RandomId();
  for (uint64_t left = 2 + random_.Below(kPendingMax - 2); left > 0; --left) {
    if (random_.Below(4) != 0) id = RandomId();
    Stage(kKinds[random_.Below(4)], id);
  }
  Commit();
}

Value Writer::Staged(uint32_t id) const {
  for (uint32_t i = 0; i < change_count_; ++i) {
    if (changes_[i].id == id) return Value{changes_[i].after};
  }
  return Value{region_.acknowledged[id]};
}

void Writer::Stage(format::RecordKind kind, uint32_t id) {
  const Value before = Staged(id);
  const auto version = static_cast<uint32_t>(++region_.version);
  Value after = before;
  if (kind == format::RecordKind::kPut) {
    after = Value::Present(version, version);
    batch_.Put(test::PutInputOf(MemoryOf(writer_, id, after)), true);
  } else if (kind == format::RecordKind::kUpdate) {
    if (before.present()) after = Value::Present(version, before.embedding());
    const test::Memory memory = MemoryOf(writer_, id, Value::Present(version, version));
    store::PatchInput patch;
    patch.id = memory.id;
    patch.set_content = true;
    patch.has_content = memory.content.has_value();
    if (memory.content) patch.content = *memory.content;
    patch.set_metadata = true;
    patch.metadata = memory.metadata;
    patch.set_confidence = true;
    patch.confidence = memory.confidence;
    batch_.Update(patch, true);
  } else {
    if (before.present()) after = Value{1};  // not 0: it was written once
    batch_.Delete(IdOf(writer_, id), true);
  }
  for (uint32_t i = 0; i < change_count_; ++i) {
    if (changes_[i].id != id) continue;
    changes_[i].after = after.word;
    return;
  }
  changes_[change_count_++] = {id, 0, before.word, after.word};
}

void Writer::Commit() {
  std::copy_n(changes_, change_count_, region_.pending);
  region_.sequence_before = store_.sequence();
  StoreRelease(region_.pending_count, uint64_t{change_count_});
  const uint64_t stopped = LoadAcquire(oracle_.stopped[child_]);
  const uint64_t begin = io::NowMonotonicMicroseconds();
  if (before_commit) before_commit();
  const Result<Sequence> result = store_.Commit(batch_, options_.lock_timeout_us);
  if (after_commit) after_commit();
  Note(region_.worst_us, begin, stopped);
  if (result.ok()) {
    for (uint32_t i = 0; i < change_count_; ++i) StoreRelease(region_.acknowledged[changes_[i].id], changes_[i].after);
    StoreRelaxed(region_.sequence_last, std::max(*result, region_.sequence_last));
    ++region_.calls;
  } else if (result.status().code() == ErrorCode::kBusy && options_.busy_is_right) {
    ++region_.busy;
    // Nothing changed: nobody else writes these ids.
    for (uint32_t i = 0; i < change_count_; ++i) {
      if (!Holds(store_, writer_, changes_[i].id, Value{changes_[i].before})) Fail(ErrorCode::kConflict, __LINE__);
    }
  } else {
    Fail(result.status().code(), __LINE__);
  }
  StoreRelease(region_.pending_count, uint64_t{0});
  batch_.Clear();
  change_count_ = 0;
}

void Writer::Touch() {
  const Result<bool> touched = store_.Touch(IdOf(writer_, RandomId()), 0.5, 1);
  if (!touched.ok()) Fail(touched.status().code(), __LINE__);
}

void Writer::Flush() {
  const uint64_t stopped = LoadAcquire(oracle_.stopped[child_]);
  const uint64_t begin = io::NowMonotonicMicroseconds();
  const Status flushed = store_.Flush(options_.lock_timeout_us);
  Note(region_.worst_flush_us, begin, stopped);
  const bool busy = !flushed.ok() && flushed.code() == ErrorCode::kBusy && options_.busy_is_right;
  if (!flushed.ok() && !busy) Fail(flushed.code(), __LINE__);
}

void Writer::Compact() {
  const std::atomic<bool> never{false};
  ++region_.compactions;
  const Result<store::CompactResult> compacted = store_.Compact(kCompactionTimeout, never);
  // Busy: another one compacts, or an owner sleeps.
  if (!compacted.ok() && compacted.status().code() != ErrorCode::kBusy) Fail(compacted.status().code(), __LINE__);
}

void Writer::ReadBack() {
  const uint32_t id = RandomId();
  if (!Holds(store_, writer_, id, Value{region_.acknowledged[id]})) Fail(ErrorCode::kCorrupt, __LINE__);
}

void Writer::TakeOver() {
  // An index that the dead owner left half applied must not decide what was pending: a write repairs first. Its
  // outcome in doubt would be in doubt once more if this process died too, so the dead one's entries stay until then.
  store::Batch batch(store_.hash_key());
  test::Memory memory;
  memory.id = "takeover-" + std::to_string(writer_);
  batch.Put(test::PutInputOf(memory), true);
  const Result<Sequence> result = store_.Commit(batch, options_.lock_timeout_us);
  if (!result.ok()) {
    if (result.status().code() != ErrorCode::kBusy || !options_.busy_is_right) Fail(result.status().code(), __LINE__);
    return;
  }
  for (uint64_t i = 0; i < region_.pending_count; ++i) {
    const Change& change = region_.pending[i];
    const bool is_new = Holds(store_, writer_, change.id, Value{change.after});
    if (!is_new && !Holds(store_, writer_, change.id, Value{change.before})) Fail(ErrorCode::kCorrupt, __LINE__);
    StoreRelease(region_.acknowledged[change.id], is_new ? change.after : change.before);
  }
  StoreRelease(region_.pending_count, uint64_t{0});
}

void Writer::Note(uint64_t& worst, uint64_t begin, uint64_t stopped) const {
  const uint64_t took = io::NowMonotonicMicroseconds() - begin;
  if (LoadAcquire(oracle_.measuring) == 0) return;
  if ((stopped & 1) != 0 || LoadAcquire(oracle_.stopped[child_]) != stopped) return;  // it was stopped meanwhile
  if (took > worst) worst = took;
}

void Writer::Fail(ErrorCode code, int line) {
  if (region_.error != 0) return;
  region_.error_line = static_cast<uint64_t>(line);
  StoreRelease(region_.error, static_cast<uint64_t>(code) + 1);
}

}  // namespace thermocline::kill
