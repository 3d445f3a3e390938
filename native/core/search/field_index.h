// The index over metadata paths that were named in `indexed`: for each memory the key of what the path leads to.
//
// A column of 8 bytes per slot and path (core/filter/value_key.h), so that a condition is one pass over numbers that
// lie side by side, for open and sealed segments alike. It is a cache of the log: made from records, never needed,
// never asked for what a record alone can say. A committed record never changes and no slot is used twice (R1, R2), so
// a key is true for ever: updates, deletions and compaction, which give slots other memories never had, leave it alone.
// Keys of sealed segments are kept in files of their own, one per segment, written once and believed by their checksum;
// those of others are made when a search or the store's helper first meets a record. docs/decisions/0051.
//
// Thread rule: any thread. Keys are written under the mutex, each from unknown to the one right value, and read
// without.
#pragma once

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/filter/value_key.h"
#include "core/io/mapping.h"
#include "core/store/store.h"

namespace thermocline::search {

/// Paths from a JSON array of strings; empty text stands for none. kArgument, kArgumentRange: too many.
Result<std::vector<std::string>> ReadPaths(std::string_view text);

/// Indexed paths; their numbers are their places in the table.
class IndexedPaths {
 public:
  explicit IndexedPaths(std::vector<std::string> sorted) : table_(std::move(sorted)) {}
  const filter::PathTable& table() const { return table_; }
  std::optional<size_t> Find(const std::string& path) const;

 private:
  filter::PathTable table_;
};

/// The keys of one segment's slots.
class SegmentKeys {
 public:
  SegmentKeys(uint32_t slots, size_t paths);
  /// Over the columns of a file, which are never written to.
  SegmentKeys(uint32_t slots, size_t paths, io::Mapping mapping, uint64_t offset);

  /// Of all slots, and unknown ones up to a multiple of filter::kKeysAtOnce.
  const filter::ValueKey* Column(size_t path) const { return columns_ + path * stride_; }
  size_t stride() const { return stride_; }
  /// False: there was no memory for a cache.
  bool usable() const { return columns_ != nullptr; }
  /// Makes keys of what was claimed since the last time and of what was not committed then, of few new slots at once:
  /// call it until it is true, which means of all. One thread at a time.
  bool Look(const filter::PathTable& paths, const HashKey& hash, const store::Snapshot::Part& part);
  static size_t StrideOf(uint32_t slots) {
    return (slots + filter::kKeysAtOnce - 1) / filter::kKeysAtOnce * filter::kKeysAtOnce;
  }

 private:
  friend class FieldIndex;

  bool LookAt(const filter::PathTable& paths, const HashKey& hash, const store::Segment& segment, uint32_t slot);

  size_t stride_;
  size_t paths_;
  struct Free {
    void operator()(filter::ValueKey* keys) const { std::free(keys); }
  };
  std::unique_ptr<filter::ValueKey, Free> owned_;
  io::Mapping mapping_;
  filter::ValueKey* columns_;

  // Under the mutex of whoever keeps this.
  uint32_t looked_at_ = 0;              // slots below it have keys, or are among the waiting
  std::vector<uint32_t> waiting_;       // claimed, and not committed when they were looked at
  bool kept_ = false;                   // in a file, or not to be
  std::vector<filter::ValueKey> read_;  // of one slot
};

class FieldIndex {
 public:
  static FieldIndex& Of(store::Store& store);

  /// More paths. Keys that were made go, when any is new. `may_write`: files may be written.
  void Declare(const std::vector<std::string>& paths, bool may_write);
  /// nullptr: none were declared.
  std::shared_ptr<const IndexedPaths> paths() const;

  /// The keys of every memory of a part of a snapshot. nullptr: not for these paths (others were declared meanwhile);
  /// then records are asked; nor once `cancel` is true. Cost: a walk over the metadata of records that nobody met yet;
  /// else nothing.
  std::shared_ptr<const SegmentKeys> KeysOf(store::Store& store, const IndexedPaths& paths,
                                            const store::Snapshot::Part& part, const std::atomic<bool>& cancel);
  /// What searches would do otherwise, and the files; for the store's helper.
  void Tend(store::Store& store, const std::atomic<bool>& stop);

 private:
  void Keep(store::Store& store, const IndexedPaths& paths, const store::Segment& segment);
  void ForgetUnlisted(store::Store& store, const store::Snapshot& snapshot, const std::vector<uint32_t>& known);
  void WriteFile(store::Store& store, const store::Segment& segment, const SegmentKeys& keys,
                 uint64_t paths_hash) const;
  std::shared_ptr<SegmentKeys> ReadFile(store::Store& store, const store::Segment& segment) const;
  uint64_t PathsHash(const store::Store& store) const;

  mutable std::mutex mutex_;
  std::shared_ptr<const IndexedPaths> paths_;
  std::vector<std::string> names_;  // of paths_, sorted
  bool may_write_ = false;
  std::map<uint32_t, std::shared_ptr<SegmentKeys>> of_segment_;
  std::optional<store::Moment> tended_;  // when the helper found nothing left to do
};

}  // namespace thermocline::search
