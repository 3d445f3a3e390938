// What a similarity search is asked and what it answers, whichever way it scans.
//
// Not here: the scans (exact.h). Thread rule: values; a filter is called by several threads at once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/base/ids.h"
#include "core/store/segment.h"

namespace thermocline::search {

/// Which memories may be hits at all. The scans ask before a memory takes a place among the best, so that `limit` hits
/// are returned when so many match. What it is asked about belongs to the snapshot that is searched and has an
/// embedding.
class CandidateFilter {
 public:
  virtual ~CandidateFilter() = default;
  /// `record_offset`: of its record in the segment's log; `sequence`: of that record. Any thread, several at once, no
  /// order; most often not for every memory, and never twice for one.
  virtual bool Matches(const store::Segment& segment, Slot slot, uint64_t record_offset, Sequence sequence) const = 0;
};

struct SearchRequest {
  std::span<const float> query = {};  // as many finite numbers as the store has dimensions; not all 0 under cosine
  uint64_t limit = 10;
  std::optional<double> score_min = {};     // inclusive
  const CandidateFilter* filter = nullptr;  // nullptr: all
};

struct SearchHit {
  double score;
  Sequence sequence;
  Position position;
};

}  // namespace thermocline::search
