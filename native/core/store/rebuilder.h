// One rebuild of the cache; its parts are in recovery.cc and recovery_blocks.cc.
//
// Thread rule: the first opener, under the gate, alone.
#pragma once

#include <unordered_map>
#include <vector>

#include "core/format/image.h"
#include "core/store/store.h"

namespace thermocline::store {

struct Store::FoundFrame {
  size_t part;  // index in the list
  uint64_t offset;
  format::FrameHeader header;
};

class Store::Rebuilder {
 public:
  Rebuilder(Store& store, format::Meta meta, bool poisoned)
      : store_(store), meta_(std::move(meta)), poisoned_(poisoned) {}

  Status Run(const io::BootIdentity& boot, bool created);

 private:
  /// Where the reading of a log ended before its listed end.
  struct Stop {
    size_t part;
    uint64_t offset;
    Position names;  // what a frame there names as before it, when that was not kept; none: there is no such frame
  };

  Status MapAll();
  void FindFrames();
  void FindFramesIn(size_t part);
  void LookBeyond(size_t part, uint64_t offset, uint64_t end);
  void RaiseMarks(const format::FrameHeader& header);
  bool Keeps(const format::FrameHeader& header) const;
  bool NamesRewritten(const format::FrameHeader& header) const;
  bool Link(size_t part, uint64_t offset, const format::FrameHeader& header);
  Status Damage() const;
  void CollectImages();
  uint64_t RecordsMax() const;
  Status ClearColumns();
  Status StartCache(uint64_t entries);
  Status Grow();
  Result<bool> RestoreBlocks(const FoundFrame& frame);
  Result<bool> RestoreBlock(Segment& segment, const format::RecordView& record);
  static void RestoreStatistics(Segment& segment, const format::RecordView& record, const format::ImageView* image);
  Status Apply(const FoundFrame& frame);
  Status Finish(bool created);
  Status WriteEpochFrame(SegmentNumber number, uint64_t epoch);
  /// Also for a handle that never syncs, when somebody's flush has promised something: it hangs on the list of now.
  bool Syncs() const { return store_.Syncs() || !meta_.watermark.none(); }
  SegmentNumber NumberOf(size_t part) const { return static_cast<SegmentNumber>(meta_.segments[part].number); }
  static uint64_t BlockKey(uint32_t segment, uint32_t slot) { return (uint64_t{segment} << 32) | slot; }

  Store& store_;
  format::Meta meta_;
  const bool poisoned_;
  std::vector<Segment*> segments_;
  std::vector<FoundFrame> frames_;
  std::vector<Stop> stops_;
  std::unordered_map<uint64_t, format::ImageView> images_;
  uint64_t used_ = 0;
  uint64_t memories_ = 0;
  uint64_t dead_bytes_ = 0;
  Sequence applied_ = 0;
  uint64_t batches_ = 0;
};

}  // namespace thermocline::store
