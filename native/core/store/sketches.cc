// Sketches of a segment: written with each block, around a centre learnt from the segments before.

#include <algorithm>
#include <cmath>

#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// Embeddings that a centre is the mean of: the error of a mean of so many is a thirtieth of their spread.
constexpr uint32_t kCentreSamples = 1024;

/// Adds the values times `scale` to the sums. By eights, which compilers take for vectors: this runs beside writers
/// that keep every core busy.
void AddScaled(const float* values, double scale, std::vector<double>& sums) {
  constexpr size_t kLanes = 8;
  double* const to = sums.data();
  size_t at = 0;
  for (; at + kLanes <= sums.size(); at += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) to[at + i] += static_cast<double>(values[at + i]) * scale;
  }
  for (; at < sums.size(); ++at) to[at] += static_cast<double>(values[at]) * scale;
}

}  // namespace

// Of a block whose embedding is in place. Other threads may be writing the sketches of its neighbours: each sketch has
// bytes of its own.
void Store::WriteSketch(Segment& segment, Slot slot, const float* embedding) const {
  if (!segment.has_sketches()) return;
  const kernels::SketchPlace place = segment.sketch(slot);
  if (embedding != nullptr) {
    sketch_coder_->Write(embedding, segment.centre(), place);
  } else {
    sketch_coder_->WriteNone(place);
  }
}

/// The mean of what was written last, in the basis of the codes; of unit vectors under cosine. Any centre is right; a
/// near one makes the residuals short and so the bounds tight. Zero when there is nothing to learn from.
std::vector<float> Store::LearnCentre(const format::Meta& list) {
  std::vector<float> centre(sketch_coder_->bits(), 0.0f);
  struct Sample {
    const float* embedding;
    double square;
  };
  std::vector<Sample> samples;
  for (size_t i = list.segments.size(); i-- > 0 && samples.size() < kCentreSamples;) {
    Result<Segment*> found = GetSegment(static_cast<SegmentNumber>(list.segments[i].number));
    if (!found.ok()) return centre;
    const Segment& segment = **found;
    if (!segment.HasColumns()) continue;
    const uint32_t step = std::max(1u, segment.slots() / kCentreSamples);
    for (uint32_t raw = 0; raw < segment.slots() && samples.size() < kCentreSamples; raw += step) {
      const auto slot = static_cast<Slot>(raw);
      if (LoadAcquire(segment.born(slot)) == 0 || !segment.Covers(slot)) continue;
      const auto record = ReadRecord(segment, LoadRelaxed(segment.record(slot)));
      if (!record || !record->has(format::kHasEmbedding)) continue;
      const auto square = static_cast<double>(kernels::Best().sum_squares(segment.embedding(slot), dimensions_));
      if (square > 0 && std::isfinite(square)) samples.push_back({segment.embedding(slot), square});
    }
  }
  if (samples.empty()) return centre;
  // One huge embedding must not draw the centre away from all others.
  std::vector<double> squares;
  for (const Sample& sample : samples) squares.push_back(sample.square);
  std::nth_element(squares.begin(), squares.begin() + static_cast<ptrdiff_t>(squares.size() / 2), squares.end());
  const double square_max = 16 * squares[squares.size() / 2];

  std::vector<double> sum(dimensions_, 0.0);
  uint32_t count = 0;
  for (const Sample& sample : samples) {
    if (metric_ != format::Metric::kCosine && sample.square > square_max) continue;
    const double scale = metric_ == format::Metric::kCosine ? 1 / std::sqrt(sample.square) : 1;
    AddScaled(sample.embedding, scale, sum);
    ++count;
  }
  std::vector<float> mean(dimensions_);
  for (uint32_t d = 0; d < dimensions_; ++d) mean[d] = static_cast<float>(sum[d] / count);
  if (!std::all_of(mean.begin(), mean.end(), [](float value) { return std::isfinite(value); })) return centre;
  sketch_coder_->Rotate(mean.data(), 1, centre.data());
  if (!std::all_of(centre.begin(), centre.end(), [](float value) { return std::isfinite(value); })) {
    std::fill(centre.begin(), centre.end(), 0.0f);
  }
  return centre;
}

}  // namespace thermocline::store
