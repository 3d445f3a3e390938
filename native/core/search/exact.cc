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
  if (filter == nullptr || filter->Matches(segment, candidate.slot)) top.Add(candidate);
  return Status::Ok();
}

Status ScanExactly(const store::Snapshot& snapshot, const Chunk& chunk, const RowScorer& scorer, const SlotMask* mask,
                   const MemoryFilter* filter, TopCandidates& top) {
  store::Segment& segment = *chunk.segment;
  const uint32_t end = segment.Covers(static_cast<Slot>(chunk.end - 1))
                           ? chunk.end
                           : static_cast<uint32_t>(std::min<uint64_t>(segment.CoveredSlots(), chunk.end));
  const auto next = [&](uint32_t slot) { return mask == nullptr ? slot : mask->Next(slot, end); };
  ScannedScore scores[RowScorer::kRowsMax];
  for (uint32_t slot = next(chunk.first); slot < end;) {
    // Runs of slots that belong to the snapshot: the bytes of others may be changing at this moment.
    if (!snapshot.Holds(segment, static_cast<Slot>(slot))) {
      slot = next(slot + 1);
      continue;
    }
    uint32_t run_end = slot + 1;
    while (run_end < end && run_end - slot < RowScorer::kRowsMax && (mask == nullptr || mask->Has(run_end)) &&
           snapshot.Holds(segment, static_cast<Slot>(run_end))) {
      ++run_end;
    }
    const uint32_t next_run = next(run_end);
    const float* const rows = segment.embedding(static_cast<Slot>(slot));
    if (mask == nullptr || next_run == end) {
      scorer.Score(rows, run_end - slot, scores);
    } else {
      scorer.Score(rows, run_end - slot, segment.embedding(static_cast<Slot>(next_run)), scores);
    }
    for (uint32_t i = 0; i < run_end - slot; ++i) {
      if (!top.Wants(scores[i])) continue;
      THERMOCLINE_RETURN_IF_ERROR(Offer(snapshot, filter, {scores[i], &segment, static_cast<Slot>(slot + i)}, top));
    }
    slot = next_run;
  }
  return Status::Ok();
}

}  // namespace thermocline::search
