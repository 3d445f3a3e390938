// A store made of memories that were read elsewhere: what backup and salvage write into.
//
// It is made in a directory beside its place, by the store's own writer, and renamed into place when it is whole and
// synced. Until then, and on every error, there is nothing at the place; what a killed process left beside it is
// removed by the next copy to the same place. Sequences are kept. Records between them are not, so the copy's changes
// begin at its own sequence (`changes_floor`).
// Thread rule: one thread. Two copies to one place at a time: the caller sees to it (src/warm/target-lock.ts).
#pragma once

#include <memory>
#include <string>

#include "core/store/batch.h"
#include "core/store/store.h"

namespace thermocline::store {

/// What is taken over from the original besides its memories. Store id and salt are never: the copy is a store of its
/// own, whose history parts from the original's at once, and bytes of the one must not pass in the other.
struct CopyDescription {
  uint32_t dimensions = 0;
  format::Metric metric{};
  double created_at = 0;
  uint64_t features_compatible = 0;
  std::string tlv;
  uint64_t expected_memories = 0;
};

class StoreCopy {
 public:
  /// kExists when the directory is there and not empty, or no directory.
  static Result<std::unique_ptr<StoreCopy>> Begin(const std::string& directory, const CopyDescription& description);
  /// Removes what was not finished.
  ~StoreCopy();
  StoreCopy(const StoreCopy&) = delete;
  StoreCopy& operator=(const StoreCopy&) = delete;

  /// Sequences ascend from call to call. Strings and embedding are copied before it returns or at the next call, so
  /// they stay where they are until then.
  Status Put(const PutInput& put, Sequence sequence);
  /// The store's last write was a deletion: the copy ends with it, so that its next sequence is the original's.
  Status EndWithDeletion(std::string_view id, Sequence sequence);
  /// The same when that deletion is gone, because a compaction dropped it. Costs a segment; nothing, when the copy has
  /// come to the sequence already.
  Status EndAt(Sequence sequence);
  /// Commits what Put holds back; then what the strings of earlier calls point to may go.
  Status Commit();
  /// Synced and in place when it returns.
  Status Finish();
  /// After Finish.
  uint64_t memories() const { return memories_; }

 private:
  StoreCopy() = default;
  Status Prepare(const std::string& directory, const CopyDescription& description);
  Status FinishUntold();
  Status Told(const Status& status) const;
  Status RemoveLeftover();
  Status WriteDescription();
  void Discard();

  io::File parent_;
  io::File made_;       // the directory under its temporary name
  std::string name_;    // of the place, in the parent
  std::string beside_;  // the temporary name
  bool finished_ = false;
  CopyDescription description_;
  std::shared_ptr<Store> store_;
  std::unique_ptr<Batch> batch_;
  Sequence next_ = 0;
  uint64_t memories_ = 0;
};

}  // namespace thermocline::store
