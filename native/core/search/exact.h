// The scan of full embeddings.
//
// Not here: who calls it with which chunks, and what becomes of the candidates (search.h).
// Cost: one pass over the embeddings, bound by memory bandwidth.
#pragma once

#include "core/search/candidates.h"
#include "core/search/memory_filter.h"
#include "core/search/row_scorer.h"
#include "core/store/snapshot.h"

namespace thermocline::search {

/// Slots [first, end) of a segment.
struct Chunk {
  store::Segment* segment;
  uint32_t first;
  uint32_t end;
};

/// Offers a memory that belongs to the snapshot to the best ones. `filter`: has still to be asked; nullptr: it matches.
/// kCorrupt when its record cannot be read.
Status Offer(const store::Snapshot& snapshot, const MemoryFilter* filter, const Candidate& candidate,
             TopCandidates& top);

/// Offers every memory of the chunk that can be a hit. `mask`: in these slots only; nullptr: in all.
Status ScanExactly(const store::Snapshot& snapshot, const Chunk& chunk, const RowScorer& scorer, const SlotMask* mask,
                   const MemoryFilter* filter, TopCandidates& top);

}  // namespace thermocline::search
