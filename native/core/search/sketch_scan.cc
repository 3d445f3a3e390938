#include "core/search/sketch_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace thermocline::search {
namespace {

// Slots that are scored before there is any cut: enough that the cut they give is near the final one.
constexpr size_t kSeeds = 64;
constexpr double kSeedsPerHit = 2;
// So many times as many when those gave no cut.
constexpr double kMoreSeeds = 4;
// Slots whose bounds cost as much as one embedding that is scored in full.
constexpr uint32_t kSlotsPerRow = 64;
// Survivors ahead for which rows are asked for.
constexpr size_t kRowsAhead = 12;
// Survivors that are taken from the heap at once, so that each embedding is asked for while others are scored.
constexpr size_t kOffersAtOnce = 16;

/// All of it, while survivors are picked: of a search in 100 clusters that saves an eighth (Zen 4).
void PrefetchRow(const float* row, size_t dimensions) {
  constexpr size_t kFloatsPerLine = 16;
  for (size_t d = 0; d < dimensions; d += kFloatsPerLine) kernels::PrefetchAhead(row + d);
}

constexpr float kNoCut = -std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();

}  // namespace

Status SketchScanner::Scan(const store::Snapshot& snapshot, const Chunk& chunk, const SlotMask* mask, const Cut& cut,
                           TopCandidates& top) {
  const uint64_t marked = mask == nullptr ? chunk.end - chunk.first : mask->Count();
  const bool few = marked <= (chunk.end - chunk.first) / kSlotsPerRow;
  if (few && marked <= kSeeds && query_.ClosenessOf(cut.value()) == kNoCut) {
    return ScanExactly(snapshot, chunk, scorer_, mask, filter_, top);
  }
  if (prepared_ != chunk.segment) {
    // Numbers too large or too small for the estimate are not too large for the exact scan.
    if (!query_.Prepare(chunk.segment->centre())) {
      prepared_ = nullptr;
      return ScanExactly(snapshot, chunk, scorer_, mask, filter_, top);
    }
    prepared_ = chunk.segment;
  }
  if (few) {
    BoundMarked(chunk, *mask, std::max(query_.ClosenessOf(cut.value()), kLowest));
    return OfferSurvivors(snapshot, chunk, cut, top);
  }
  BoundPrefixes(chunk);
  double share = static_cast<double>(marked) / (chunk.end - chunk.first);
  if (filter_ != nullptr) share *= filter_->share();
  double wanted = std::max(static_cast<double>(kSeeds), kSeedsPerHit * static_cast<double>(request_.limit) / share);
  float least = query_.ClosenessOf(cut.value());
  // Best ones first, so that the rest of the chunk meets a cut; more of them until there is one.
  for (bool more = true; least == kNoCut && more; wanted *= kMoreSeeds) {
    const float seeds = SeedBound(wanted);
    // Whatever their whole sketches say: what is not offered now is not looked at again.
    BoundSurvivors(chunk, mask, seeds, kLowest);
    THERMOCLINE_RETURN_IF_ERROR(OfferSurvivors(snapshot, chunk, cut, top));
    least = query_.ClosenessOf(cut.value());
    more = seeds > kLowest;
    // Not twice the same.
    for (float& bound : scratch_.upper) {
      if (bound >= seeds) bound = kNoCut;
    }
  }
  least = std::max(least, kLowest);
  BoundSurvivors(chunk, mask, least, least);
  return OfferSurvivors(snapshot, chunk, cut, top);
}

void SketchScanner::BoundPrefixes(const Chunk& chunk) {
  const size_t groups = (chunk.end - chunk.first + kernels::kSketchGroup - 1) / kernels::kSketchGroup;
  scratch_.upper.resize(groups * kernels::kSketchGroup);
  const auto first = static_cast<Slot>(chunk.first);
  kernels::Best().scan_prefixes(query_.prefix(), chunk.segment->sketch(first).group, groups, scratch_.upper.data());
  // Slots of the last group beyond the chunk.
  std::fill(scratch_.upper.begin() + (chunk.end - chunk.first), scratch_.upper.end(), kNoCut);
}

/// A bound that about so many slots or more reach: of the groups' best ones, the one of that rank.
float SketchScanner::SeedBound(double wanted) {
  scratch_.group_best.clear();
  for (size_t group = 0; group < scratch_.upper.size(); group += kernels::kSketchGroup) {
    // Not std::max_element: sketches have no checksum, and a bound that is no number has no place in an order.
    float best = kNoCut;
    for (size_t i = group; i < group + kernels::kSketchGroup; ++i) {
      if (scratch_.upper[i] > best) best = scratch_.upper[i];
    }
    scratch_.group_best.push_back(best);
  }
  if (static_cast<double>(scratch_.group_best.size()) <= wanted) return kLowest;
  const auto at = scratch_.group_best.begin() + static_cast<ptrdiff_t>(wanted);
  std::nth_element(scratch_.group_best.begin(), at, scratch_.group_best.end(), std::greater<>());
  return std::max(*at, kLowest);
}

/// Fills scratch_.survivors with the marked slots whose bounds by the whole sketch allow it.
void SketchScanner::BoundMarked(const Chunk& chunk, const SlotMask& mask, float least) {
  scratch_.places.clear();
  for (uint32_t slot = mask.Next(chunk.first, chunk.end); slot < chunk.end; slot = mask.Next(slot + 1, chunk.end)) {
    scratch_.places.push_back(slot - chunk.first);
  }
  BoundPlaces(chunk, scratch_.places.size(), least);
}

/// Fills scratch_.survivors with the slots whose bounds by prefix and by the whole sketch allow it, also such as do not
/// belong to the snapshot: of those any bound will do, since they are passed over when they are offered.
void SketchScanner::BoundSurvivors(const Chunk& chunk, const SlotMask* mask, float prefix_least, float least) {
  scratch_.places.resize(scratch_.upper.size());
  size_t selected = kernels::Best().select_at_least(scratch_.upper.data(), scratch_.upper.size(), prefix_least,
                                                    scratch_.places.data());
  if (mask != nullptr) {
    const auto off = [&](uint32_t place) { return !mask->Has(chunk.first + place); };
    const auto end = scratch_.places.begin() + static_cast<ptrdiff_t>(selected);
    selected = static_cast<size_t>(std::remove_if(scratch_.places.begin(), end, off) - scratch_.places.begin());
  }
  BoundPlaces(chunk, selected, least);
}

/// Fills scratch_.survivors with those of the first `count` places whose bounds by the whole sketch allow it.
void SketchScanner::BoundPlaces(const Chunk& chunk, size_t count, float least) {
  scratch_.survivors.clear();
  const store::Segment& segment = *chunk.segment;
  for (size_t i = 0; i < count; ++i) {
    if (i + kRowsAhead < count) {
      __builtin_prefetch(segment.sketch(static_cast<Slot>(chunk.first + scratch_.places[i + kRowsAhead])).row);
    }
    const uint32_t slot = chunk.first + scratch_.places[i];
    const float bound = query_.Bound(segment.sketch(static_cast<Slot>(slot)));
    if (bound >= least) scratch_.survivors.push_back({bound, slot});
  }
  std::make_heap(scratch_.survivors.begin(), scratch_.survivors.end());
}

Status SketchScanner::OfferSurvivors(const store::Snapshot& snapshot, const Chunk& chunk, const Cut& cut,
                                     TopCandidates& top) {
  std::vector<Survivor>& heap = scratch_.survivors;
  store::Segment& segment = *chunk.segment;
  for (;;) {
    const float least = query_.ClosenessOf(cut.value());
    Slot slots[kOffersAtOnce];
    size_t count = 0;
    while (count < kOffersAtOnce && !heap.empty() && heap.front().bound >= least) {
      const auto slot = static_cast<Slot>(heap.front().slot);
      std::pop_heap(heap.begin(), heap.end());
      heap.pop_back();
      __builtin_prefetch(&segment.born(slot));
      __builtin_prefetch(&segment.died(slot));
      PrefetchRow(segment.embedding(slot), request_.query.size());
      slots[count++] = slot;
    }
    if (count == 0) return Status::Ok();
    const float* rows[kOffersAtOnce];
    ScannedScore scores[kOffersAtOnce];
    size_t held = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!snapshot.Holds(segment, slots[i]) || !segment.Covers(slots[i])) continue;
      rows[held] = segment.embedding(slots[i]);
      slots[held++] = slots[i];
    }
    scorer_.ScoreScattered(rows, held, scores);
    for (size_t i = 0; i < held; ++i) {
      if (!top.Wants(scores[i])) continue;
      THERMOCLINE_RETURN_IF_ERROR(Offer(snapshot, filter_, {scores[i], &segment, slots[i]}, top));
    }
  }
}

}  // namespace thermocline::search
