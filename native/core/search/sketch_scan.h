// The scan of sketches: bounds of all, full embeddings of the few whose bounds reach the cut.
//
// A memory is passed over when the upper bound of its closeness lies below what is known to be needed: first by the
// prefix of its sketch, of which the scan reads all, then by the whole. Both bounds hold with the query's confidence,
// so what is lost is bounded by it and by nothing else. What remains is scored in full, in the order of its bounds.
// docs/search.md has the figures.
//
// Thread rule: a SketchScanner belongs to one thread and one query.
#pragma once

#include <vector>

#include "core/kernels/sketch.h"
#include "core/search/exact.h"

namespace thermocline::search {

struct Survivor {
  float bound;
  uint32_t slot;
  friend bool operator<(const Survivor& a, const Survivor& b) { return a.bound < b.bound; }
};

/// What a thread needs while it scans a chunk, for whatever query: kept from one to the next, since fresh pages cost
/// more than what is computed in them.
struct SketchScratch {
  std::vector<float> upper;  // by the prefix, of the chunk's slots
  std::vector<uint32_t> places;
  std::vector<Survivor> survivors;  // a heap, the best on top
  std::vector<float> group_best;
};

class SketchScanner {
 public:
  /// `filter`: has still to be asked of what a mask leaves on; nullptr: all of that matches.
  SketchScanner(const store::Store& store, const SearchRequest& request, const MemoryFilter* filter,
                const RowScorer& scorer, double confidence, SketchScratch& scratch)
      : request_(request),
        filter_(filter),
        scorer_(scorer),
        query_(store.sketch_coder(), request.query, confidence),
        scratch_(scratch) {}

  /// Offers every memory of the chunk that the bounds allow. The segment has sketches; `chunk.first` is a multiple of
  /// format::kSketchGroupSlots. `mask`: in these slots only; nullptr: in all.
  Status Scan(const store::Snapshot& snapshot, const Chunk& chunk, const SlotMask* mask, const Cut& cut,
              TopCandidates& top);

 private:
  void BoundPrefixes(const Chunk& chunk);
  float SeedBound(double wanted);
  void BoundSurvivors(const Chunk& chunk, const SlotMask* mask, float prefix_least, float least);
  void BoundMarked(const Chunk& chunk, const SlotMask& mask, float least);
  void BoundPlaces(const Chunk& chunk, size_t count, float least);
  Status OfferSurvivors(const store::Snapshot& snapshot, const Chunk& chunk, const Cut& cut, TopCandidates& top);

  const SearchRequest& request_;
  const MemoryFilter* filter_;
  const RowScorer& scorer_;
  kernels::SketchQuery query_;
  SketchScratch& scratch_;
  const store::Segment* prepared_ = nullptr;  // the segment that query_ is prepared for
};

}  // namespace thermocline::search
