#include "core/store/copy.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/base/hash.h"
#include "core/base/limits.h"
#include "core/store/file_names.h"

namespace thermocline::store {
namespace {

// Nobody else knows the store that is being made.
constexpr uint64_t kLockMicroseconds = 10000000;

/// Always of one length, so that a long name of the place makes no name that is too long; the same for the same place,
/// so that the next copy finds what a killed one left.
std::string NameBeside(const std::string& name) {
  char text[48];
  std::snprintf(text, sizeof text, ".thermocline-copy-%016llx",
                static_cast<unsigned long long>(SipHash13({0, 0}, name.data(), name.size())));
  return text;
}

}  // namespace

Result<std::unique_ptr<StoreCopy>> StoreCopy::Begin(const std::string& directory, const CopyDescription& description) {
  std::unique_ptr<StoreCopy> copy(new StoreCopy());
  THERMOCLINE_RETURN_IF_ERROR(copy->Prepare(directory, description));
  return copy;
}

Status StoreCopy::Prepare(const std::string& directory, const CopyDescription& description) {
  Result<io::PathKind> kind = io::KindOfPath(directory.c_str());
  if (!kind.ok()) return kind.status();
  if (*kind == io::PathKind::kOther) return Status::Error(ErrorCode::kExists);
  if (*kind == io::PathKind::kDirectory) {
    Result<io::File> place = io::File::OpenDirectory(directory.c_str());
    if (!place.ok()) return place.status();
    Result<std::vector<std::string>> names = io::ListDirectory(*place);
    if (!names.ok()) return names.status();
    if (!names->empty()) return Status::Error(ErrorCode::kExists);
  }
  const PathParts parts = SplitPath(directory);
  Result<io::File> parent = io::File::OpenDirectory(parts.parent.c_str());
  if (!parent.ok()) return parent.status();
  parent_ = std::move(*parent);
  name_ = parts.name;
  beside_ = NameBeside(name_);
  THERMOCLINE_RETURN_IF_ERROR(RemoveLeftover());
  THERMOCLINE_RETURN_IF_ERROR(io::MakeDirectoryAt(parent_, beside_.c_str()));
  Result<io::File> made = io::File::OpenDirectoryAt(parent_, beside_.c_str());
  if (!made.ok()) return made.status();
  made_ = std::move(*made);

  description_ = description;
  OpenOptions options;
  options.dimensions = description.dimensions;
  options.metric = description.metric;
  options.expected_records = description.expected_memories;
  options.allow_network_file_system = true;  // it is one writer's alone until it is whole
  Result<std::shared_ptr<Store>> store = Store::Open(parts.parent + "/" + beside_, options);
  if (!store.ok()) return store.status();
  store_ = std::move(*store);
  batch_ = std::make_unique<Batch>(store_->hash_key());
  return Status::Ok();
}

/// What a copy to this place left that was killed. Only files of ours are removed.
Status StoreCopy::RemoveLeftover() {
  if (!io::Exists(parent_, beside_.c_str())) return Status::Ok();
  Result<io::File> leftover = io::File::OpenDirectoryAt(parent_, beside_.c_str());
  if (!leftover.ok()) return leftover.status();
  made_ = std::move(*leftover);
  Discard();
  return io::Exists(parent_, beside_.c_str()) ? Status::Error(ErrorCode::kExists) : Status::Ok();
}

StoreCopy::~StoreCopy() {
  store_.reset();  // leaves as a killed process does: nothing of it is to stay
  if (!finished_) Discard();
}

void StoreCopy::Discard() {
  if (beside_.empty()) return;
  if (made_.is_open()) {
    const Result<std::vector<std::string>> names = io::ListDirectory(made_);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      if (IsStoreFileName(name)) static_cast<void>(io::Unlink(made_, name.c_str()).ok());
    }
  }
  static_cast<void>(io::RemoveDirectory(parent_, beside_.c_str()).ok());
  made_.Close();
}

Status StoreCopy::Put(const PutInput& put, Sequence sequence) {
  const bool full = batch_->size() >= kBatchRecordsMax || batch_->bytes() >= kBatchBytesMax;
  // Records of one frame are numbered one after another.
  if (!batch_->empty() && (full || sequence != next_)) THERMOCLINE_RETURN_IF_ERROR(Commit());
  if (batch_->empty()) batch_->first_sequence = sequence;
  batch_->Put(put, false);
  next_ = sequence + 1;
  return Status::Ok();
}

Status StoreCopy::EndWithDeletion(std::string_view id, Sequence sequence) {
  THERMOCLINE_RETURN_IF_ERROR(Commit());
  batch_->first_sequence = sequence;
  batch_->Delete(id, false);
  return Commit();
}

/// As a compaction leaves a store that drops its last deletion: a frame without records is the last one, so that the
/// words of the cache and the log say the same.
Status StoreCopy::EndAt(Sequence sequence) {
  THERMOCLINE_RETURN_IF_ERROR(Commit());
  if (store_->sequence() >= sequence) return Status::Ok();
  THERMOCLINE_RETURN_IF_ERROR(store_->LockWrite(kLockMicroseconds));
  StoreRelease(store_->boot_->applied, sequence);
  store_->write_lock_->Release();
  return Told(store_->SealOpenSegment(kLockMicroseconds));
}

Status StoreCopy::Commit() {
  if (batch_->empty()) return Status::Ok();
  const Pin pin;
  Result<Sequence> committed = store_->Commit(*batch_, kLockMicroseconds);
  batch_->Clear();
  return Told(committed.status());
}

/// A sync of the copy's helper that failed poisons the copy, which is nobody's yet. To whoever asked for it that is an
/// error of the disk: kPoisoned would be said of the store that they have open.
Status StoreCopy::Told(const Status& status) const {
  if (status.code() != ErrorCode::kPoisoned) return status;
  return Status::FromErrno(store_->poison_errno_.load(std::memory_order_relaxed), FileRole::kDirectory);
}

/// What `meta` says of the original, and that the changes before this are not here.
Status StoreCopy::WriteDescription() {
  Result<std::shared_ptr<const format::Meta>> list = store_->NewestList();
  if (!list.ok()) return list.status();
  format::Meta meta = **list;
  meta.created_at = description_.created_at;
  meta.features_compatible = description_.features_compatible;
  meta.tlv = description_.tlv;
  meta.changes_floor = store_->sequence();
  meta.list_generation += 1;
  return store_->WriteMeta(std::move(meta), true);
}

Status StoreCopy::Finish() { return Told(FinishUntold()); }

Status StoreCopy::FinishUntold() {
  THERMOCLINE_RETURN_IF_ERROR(Commit());
  THERMOCLINE_RETURN_IF_ERROR(store_->LockGrowth(kLockMicroseconds));  // the helper may be listing a segment
  const Status described = WriteDescription();
  store_->growth_lock_->Release();
  THERMOCLINE_RETURN_IF_ERROR(described);
  memories_ = store_->size();
  THERMOCLINE_RETURN_IF_ERROR(store_->Close());
  const Status renamed = io::Rename(parent_, beside_.c_str(), name_.c_str());
  if (!renamed.ok()) {
    const bool taken =
        renamed.error_number() == ENOTEMPTY || renamed.error_number() == EEXIST || renamed.error_number() == ENOTDIR;
    return taken ? Status::Error(ErrorCode::kExists) : renamed;
  }
  beside_ = name_;
  THERMOCLINE_RETURN_IF_ERROR(parent_.Sync());
  finished_ = true;
  return Status::Ok();
}

}  // namespace thermocline::store
