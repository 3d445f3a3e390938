// The store's description: who it is, which segments it has, up to where it is durable.
//
// Pure: bytes in, struct out. Whoever writes the bytes to disk does so whole (store/meta_file.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/format/layout.h"

namespace thermocline::format {

struct Meta {
  StoreId store_id{};
  Salt salt{};
  uint32_t dimensions = 0;
  Metric metric = Metric::kCosine;
  uint64_t epoch = 1;
  uint64_t list_generation = 1;
  Position watermark;
  Sequence watermark_sequence = 0;
  Position checkpoint;
  Sequence changes_floor = 0;
  double created_at = 0;
  uint32_t next_segment = 1;
  uint64_t features_compatible = 0;
  uint64_t features_read_only = 0;
  std::vector<SegmentEntry> segments;
  std::vector<ReplacedEntry> replaced;
  std::string tlv;  // options of later versions, carried on untouched

  /// Index in the list, or -1.
  int IndexOf(SegmentNumber segment) const;
  /// Whether `a` comes before `b` in commit order. Positions in unlisted segments come before all others.
  bool Before(Position a, Position b) const;
  /// From now on somebody may have been told that something is durable: a watermark before all frames, if there is
  /// none. The last flush before a loss of power may be known by nothing else, and hangs on the list like any.
  void NotePromises();
  /// The segment that holds what is left of one that is not listed; kNone when nothing is known of it.
  SegmentNumber ReplacedBy(SegmentNumber segment) const;
  /// Enters that `segments`, which have left the list, are replaced by `by`, which is in it. Whatever they had replaced
  /// is replaced by it too, so that no entry leads to another and the entries stay few.
  void Replace(const std::vector<uint32_t>& segments, uint32_t by);
};

std::string EncodeMeta(const Meta& meta);
/// kNotAStore without the magic, kVersion for an unknown version or feature, kCorrupt for anything else.
Result<Meta> DecodeMeta(std::span<const char> bytes);

/// True when every header and value lies within `bytes` and no critical type is unknown.
bool CheckTlv(std::span<const char> bytes);

}  // namespace thermocline::format
