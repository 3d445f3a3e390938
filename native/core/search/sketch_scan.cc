#include "core/search/sketch_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace thermocline::search {
namespace {

// Slots that are scored before there is any cut: enough that the cut they give is near the final one.
constexpr size_t kSeeds = 64;
// Survivors ahead for which rows are asked for.
constexpr size_t kRowsAhead = 12;

constexpr float kNoCut = -std::numeric_limits<float>::infinity();

}  // namespace

Status SketchScanner::Scan(const store::Snapshot& snapshot, const Chunk& chunk, const Cut& cut, TopCandidates& top) {
  if (prepared_ != chunk.segment) {
    // Numbers too large or too small for the estimate are not too large for the exact scan.
    if (!query_.Prepare(chunk.segment->centre())) {
      prepared_ = nullptr;
      return ScanExactly(snapshot, chunk, scorer_, request_.filter, top);
    }
    prepared_ = chunk.segment;
  }
  BoundPrefixes(chunk);
  float least = query_.ClosenessOf(cut.value());
  if (least == kNoCut) {
    // Best ones first, so that the rest of the chunk meets a cut.
    const float seeds = SeedBound();
    BoundSurvivors(chunk, seeds);
    THERMOCLINE_RETURN_IF_ERROR(OfferSurvivors(snapshot, chunk, cut, top));
    least = query_.ClosenessOf(cut.value());
    // Not twice the same.
    for (float& bound : upper_) {
      if (bound >= seeds) bound = kNoCut;
    }
    if (least == kNoCut) least = std::numeric_limits<float>::lowest();
  }
  BoundSurvivors(chunk, least);
  return OfferSurvivors(snapshot, chunk, cut, top);
}

void SketchScanner::BoundPrefixes(const Chunk& chunk) {
  const size_t groups = (chunk.end - chunk.first + kernels::kSketchGroup - 1) / kernels::kSketchGroup;
  upper_.resize(groups * kernels::kSketchGroup);
  const auto first = static_cast<Slot>(chunk.first);
  kernels::Best().scan_prefixes(query_.prefix(), chunk.segment->sketch(first).group, groups, upper_.data());
  // Slots of the last group beyond the chunk.
  std::fill(upper_.begin() + (chunk.end - chunk.first), upper_.end(), kNoCut);
}

/// A bound that about kSeeds slots or more reach: the kSeeds-th best of the groups' best.
float SketchScanner::SeedBound() {
  group_best_.clear();
  for (size_t group = 0; group < upper_.size(); group += kernels::kSketchGroup) {
    group_best_.push_back(*std::max_element(upper_.begin() + static_cast<ptrdiff_t>(group),
                                            upper_.begin() + static_cast<ptrdiff_t>(group + kernels::kSketchGroup)));
  }
  const size_t wanted = std::max<size_t>(kSeeds, 2 * request_.limit);
  if (group_best_.size() <= wanted) return std::numeric_limits<float>::lowest();
  const auto at = group_best_.begin() + static_cast<ptrdiff_t>(wanted);
  std::nth_element(group_best_.begin(), at, group_best_.end(), std::greater<>());
  return std::max(*at, std::numeric_limits<float>::lowest());
}

/// Fills survivors_ with the slots that both bounds allow, also such as do not belong to the snapshot: of those any
/// bound will do, since they are passed over when they are offered.
void SketchScanner::BoundSurvivors(const Chunk& chunk, float least) {
  places_.resize(upper_.size());
  const size_t selected = kernels::Best().select_at_least(upper_.data(), upper_.size(), least, places_.data());
  survivors_.clear();
  const store::Segment& segment = *chunk.segment;
  for (size_t i = 0; i < selected; ++i) {
    if (i + kRowsAhead < selected) {
      __builtin_prefetch(segment.sketch(static_cast<Slot>(chunk.first + places_[i + kRowsAhead])).row);
    }
    const uint32_t slot = chunk.first + places_[i];
    const float bound = query_.Bound(segment.sketch(static_cast<Slot>(slot)));
    if (bound >= least) survivors_.push_back({bound, slot});
  }
  std::make_heap(survivors_.begin(), survivors_.end());
}

Status SketchScanner::OfferSurvivors(const store::Snapshot& snapshot, const Chunk& chunk, const Cut& cut,
                                     TopCandidates& top) {
  store::Segment& segment = *chunk.segment;
  while (!survivors_.empty() && survivors_.front().bound >= query_.ClosenessOf(cut.value())) {
    const auto slot = static_cast<Slot>(survivors_.front().slot);
    std::pop_heap(survivors_.begin(), survivors_.end());
    survivors_.pop_back();
    if (!snapshot.Holds(segment, slot) || !segment.Covers(slot)) continue;
    ScannedScore score;
    scorer_.Score(segment.embedding(slot), 1, &score);
    if (!top.Wants(score)) continue;
    THERMOCLINE_RETURN_IF_ERROR(Offer(snapshot, request_.filter, {score, &segment, slot}, top));
  }
  return Status::Ok();
}

}  // namespace thermocline::search
