#include "core/search/exact.h"

#include <algorithm>

#include "core/store/log_reader.h"

namespace thermocline::search {

Status Offer(const store::Snapshot& snapshot, const MemoryFilter* filter, const Candidate& candidate,
             TopCandidates& top) {
  store::Segment& segment = *candidate.segment;
  if (!snapshot.Holds(segment, candidate.slot)) return Status::Ok();
  // Whether there is an embedding at all is in the record, so only what is wanted pays for the look.
  const uint64_t offset = LoadRelaxed(segment.record(candidate.slot));
  const auto record = store::ReadRecord(segment, offset);
  if (!record) return Status::Corrupt(FileRole::kLog, Raw(segment.number()), offset);
  if (!record->has(format::kHasEmbedding)) return Status::Ok();
  if (filter == nullptr || filter->Matches(segment, candidate.slot, offset)) top.Add(candidate);
  return Status::Ok();
}

Status ScanExactly(const store::Snapshot& snapshot, const Chunk& chunk, const RowScorer& scorer,
                   const MemoryFilter* filter, TopCandidates& top) {
  store::Segment& segment = *chunk.segment;
  const uint32_t end = segment.Covers(static_cast<Slot>(chunk.end - 1))
                           ? chunk.end
                           : static_cast<uint32_t>(std::min<uint64_t>(segment.CoveredSlots(), chunk.end));
  ScannedScore scores[RowScorer::kRowsMax];
  for (uint32_t slot = chunk.first; slot < end;) {
    // Runs of slots that belong to the snapshot: the bytes of others may be changing at this moment.
    if (!snapshot.Holds(segment, static_cast<Slot>(slot))) {
      ++slot;
      continue;
    }
    uint32_t run_end = slot + 1;
    while (run_end < end && run_end - slot < RowScorer::kRowsMax &&
           snapshot.Holds(segment, static_cast<Slot>(run_end))) {
      ++run_end;
    }
    scorer.Score(segment.embedding(static_cast<Slot>(slot)), run_end - slot, scores);
    for (uint32_t i = 0; i < run_end - slot; ++i) {
      if (!top.Wants(scores[i])) continue;
      THERMOCLINE_RETURN_IF_ERROR(Offer(snapshot, filter, {scores[i], &segment, static_cast<Slot>(slot + i)}, top));
    }
    slot = run_end;
  }
  return Status::Ok();
}

}  // namespace thermocline::search
