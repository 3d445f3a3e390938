#include "core/kernels/sketch.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/base/limits.h"
#include "core/base/planted.h"

namespace thermocline::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Squared lengths between these neither overflow nor vanish in single precision.
constexpr double kSquareMin = 1e-25;
constexpr double kSquareMax = 1e30;

// What the rotation and the sums may have rounded away, in relation to the lengths that went in.
constexpr double kRounding = 2e-6;

// The prefix's terms are kept in 8 bits of precision, its scale rounded to nearest, its spread up: by the scale's
// rounding an estimate may be off by so much of the residual's length, and so much of the spread.
constexpr double kScaleRounding = 0.002;
constexpr double kSpreadRounding = 1.01;

// Standard deviations of the rounding of the look-up tables that are allowed for.
constexpr double kTableConfidence = 4;

/// Four floats, in the registers that every machine has; loaded from any address and stored to any.
using Four = float __attribute__((vector_size(16)));
inline Four Load(const float* from) {
  Four values;
  std::memcpy(&values, from, sizeof values);
  return values;
}
inline void Store(float* to, Four values) { std::memcpy(to, &values, sizeof values); }

/// One value for each of the sixteen values of a nibble.
using Sixteen = float __attribute__((vector_size(64)));

uint64_t NextRandom(uint64_t& state) {
  // SplitMix64 (Steele, Lea, Flood 2014); docs/format.md fixes it.
  uint64_t mixed = (state += 0x9E3779B97F4A7C15u);
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
  return mixed ^ (mixed >> 31);
}

uint32_t UpperHalfNearest(float value) { return (std::bit_cast<uint32_t>(value) + 0x8000u) & 0xFFFF0000u; }
uint32_t UpperHalfAbove(float value) { return (std::bit_cast<uint32_t>(value) + 0xFFFFu) >> 16; }

void StoreWord(char* group, size_t word, uint32_t lane, uint32_t value) {
  std::memcpy(group + (word * kSketchGroup + lane) * sizeof value, &value, sizeof value);
}

#if defined(__clang__)
// Why a race is harmless here: see the scalar twin of the kernels.
__attribute__((no_sanitize("thread")))
#endif
inline uint32_t
LoadWord(const char* words, size_t word) {
  uint32_t value;
  std::memcpy(&value, words + word * sizeof value, sizeof value);
  return value;
}

static_assert(kSketchGroup == format::kSketchGroupSlots);

}  // namespace

SketchCoder::SketchCoder(uint32_t dimensions, format::Metric metric, const format::Salt& salt)
    : kernels_(Best()),
      dimensions_(dimensions),
      metric_(metric),
      bits_(format::SketchBits(dimensions)),
      prefix_words_(format::SketchPrefixBits(dimensions) / 32),
      length_(std::bit_floor(bits_)) {
  const size_t transforms = kRounds * (length_ == bits_ ? 1 : 2);
  signs_.resize(transforms * length_);
  uint64_t state = salt.low ^ std::rotl(salt.high, 32);
  const float scale = 1.0f / std::sqrt(static_cast<float>(length_));
  for (size_t i = 0; i < signs_.size(); i += 64) {
    const uint64_t random = NextRandom(state);
    for (size_t j = 0; j < 64; ++j) signs_[i + j] = (random >> j & 1) != 0 ? scale : -scale;
  }
}

void SketchCoder::Rotate(const float* embedding, double scale, float* rotated) const {
  kernels_.scale(embedding, static_cast<float>(scale), dimensions_, rotated);
  std::fill(rotated + dimensions_, rotated + bits_, 0.0f);
  const float* signs = signs_.data();
  for (uint32_t round = 0; round < kRounds; ++round) {
    kernels_.hadamard(rotated, signs, length_);
    signs += length_;
    if (length_ == bits_) continue;
    // No power of two: a second transform over the end overlaps the first, so that no bit is spent on padding.
    kernels_.hadamard(rotated + bits_ - length_, signs, length_);
    signs += length_;
  }
}

SketchCoder::Terms SketchCoder::TermsOf(double squares, double sizes, double code_bits, double length) const {
  const double residual = std::sqrt(squares);
  Terms terms{0, static_cast<float>(residual)};  // by Cauchy and Schwarz, where the code says nothing
  if (sizes > 0 && squares >= kSquareMin) {
    const double scale = squares / sizes;
    const double spread = std::sqrt(std::max(0.0, scale * scale * code_bits - squares) / (bits_ - 1));
    if (spread < residual) terms = {static_cast<float>(scale), static_cast<float>(spread)};
  }
  terms.spread += static_cast<float>(kRounding * length + std::sqrt(kSquareMin));
  return terms;
}

void SketchCoder::WriteTerms(const SketchPlace& place, float shift, const Terms& prefix, const Terms& whole) const {
  const uint32_t packed = UpperHalfNearest(prefix.scale) | UpperHalfAbove(prefix.spread);
  StoreWord(place.group, prefix_words_, place.lane, std::bit_cast<uint32_t>(shift));
  StoreWord(place.group, prefix_words_ + 1, place.lane, packed);
  const format::SketchRowTerms terms{whole.scale, whole.spread};
  std::memcpy(place.row + (words() - prefix_words_) * 4, &terms, sizeof terms);
}

void SketchCoder::WriteNone(const SketchPlace& place) const { WriteTerms(place, -kInfinity, {0, 0}, {0, 0}); }

void SketchCoder::Write(const float* embedding, const float* centre, const SketchPlace& place) const {
  const auto wide_square = static_cast<double>(kernels_.sum_squares(embedding, dimensions_));
  const bool zero = wide_square < kSquareMin &&
                    std::all_of(embedding, embedding + dimensions_, [](float value) { return value == 0; });
  if (!zero && !(wide_square >= kSquareMin && wide_square <= kSquareMax)) {
    // Out of single precision's range: above every other, so that it is always looked at in full.
    return WriteTerms(place, kInfinity, {0, 0}, {0, 0});
  }
  const bool unit = metric_ == format::Metric::kCosine && !zero;
  alignas(64) float rotated[kDimensionsMax];  // no load or store of the transform crosses a line
  Rotate(embedding, unit ? 1 / std::sqrt(wide_square) : 1, rotated);

  uint32_t code[kDimensionsMax / 32];
  const ResidualSums front = kernels_.encode_signs(rotated, centre, prefix_words_, code);
  const ResidualSums back = kernels_.encode_signs(rotated + prefix_words_ * 32, centre + prefix_words_ * 32,
                                                  words() - prefix_words_, code + prefix_words_);
  for (size_t word = 0; word < prefix_words_; ++word) StoreWord(place.group, word, place.lane, code[word]);
  std::memcpy(place.row, code + prefix_words_, (words() - prefix_words_) * 4);

  const double squares = static_cast<double>(front.squares) + static_cast<double>(back.squares);
  const double length = unit ? 1 : std::sqrt(wide_square);
  const double residual = std::sqrt(squares);
  const double along = static_cast<double>(front.along) + static_cast<double>(back.along);
  const double shift = metric_ == format::Metric::kL2 ? -squares / 2 : along;
  Terms prefix = TermsOf(squares, static_cast<double>(front.sizes), prefix_words_ * 32, length);
  prefix.spread = static_cast<float>(static_cast<double>(prefix.spread) * kSpreadRounding + kScaleRounding * residual);
  const Terms whole =
      TermsOf(squares, static_cast<double>(front.sizes) + static_cast<double>(back.sizes), bits_, length);
  const double above = kRounding * length * (length + residual);
  WriteTerms(place, static_cast<float>(shift + above), prefix, whole);
}

SketchQuery::SketchQuery(const SketchCoder& coder, std::span<const float> query, double confidence)
    : coder_(coder),
      kernels_(Best()),
      confidence_(confidence),
      rotated_(coder.bits()),
      residual_(coder.bits()),
      tables_(coder.prefix_words() * kTableBytesPerWord) {
  double square = 0;
  for (const float value : query) square += static_cast<double>(value) * static_cast<double>(value);
  const bool unit = coder.metric() == format::Metric::kCosine;
  length_ = unit ? 1 : std::sqrt(square);
  // Scaled here: the factor alone may be out of single precision's range.
  std::vector<float> scaled(query.size());
  const double factor = unit ? 1 / std::sqrt(square) : 1;
  for (size_t d = 0; d < query.size(); ++d) scaled[d] = static_cast<float>(static_cast<double>(query[d]) * factor);
  coder.Rotate(scaled.data(), 1, rotated_.data());
}

bool SketchQuery::Prepare(const float* centre) {
  float along = 0;
  float centre_square = 0;
  float distance_square = 0;
  kernels_.dot_rows(rotated_.data(), centre, 0, 1, coder_.bits(), centre, &along, &centre_square);
  kernels_.distance_rows(rotated_.data(), centre, 0, 1, coder_.bits(), centre, &distance_square);
  const auto square = static_cast<double>(distance_square);
  if (!(square <= kSquareMax && (square >= kSquareMin || square == 0) && length_ * length_ <= kSquareMax &&
        static_cast<double>(centre_square) <= kSquareMax)) {
    return false;
  }
  for (size_t i = 0; i < residual_.size(); i += 4) Store(&residual_[i], Load(&rotated_[i]) - Load(centre + i));
  const bool l2 = coder_.metric() == format::Metric::kL2;
  const double above = kRounding * (length_ * std::sqrt(static_cast<double>(centre_square)) + square);
  prefix_.base = static_cast<float>((l2 ? -square / 2 : static_cast<double>(along)) + above);
  const double sigmas = IsPlanted(Fault::kSketchSlackTooSmall) ? confidence_ / 4 : confidence_;
  prefix_.reach = static_cast<float>(sigmas * std::sqrt(square));
  MakeTables();
  return true;
}

/// Whether bit j of a lane's number is set.
constexpr Sixteen kBitOfLane[4] = {{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
                                   {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1},
                                   {0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1},
                                   {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};

/// For each nibble of the prefix the sixteen sums of four signed elements, in 255 steps of one size for all.
void SketchQuery::MakeTables() {
  const size_t nibbles = coder_.prefix_words() * 8;
  float widest = 0;
  double least = 0;
  for (size_t nibble = 0; nibble < nibbles; ++nibble) {
    float sizes = 0;
    for (size_t j = 0; j < 4; ++j) sizes += std::abs(residual_[nibble * 4 + j]);
    widest = std::max(widest, 2 * sizes);
    least -= static_cast<double>(sizes);
  }
  const float step = widest / 255;
  const float steps_per_unit = widest > 0 ? 255 / widest : 0;
  for (size_t nibble = 0; nibble < nibbles; ++nibble) {
    // In steps above the least sum, which has every element negative: a positive element adds twice itself where its
    // bit is set, a negative one where it is not.
    float least_steps = 0.5f;
    Sixteen sums = {};
    for (size_t j = 0; j < 4; ++j) {
      const float twice = 2 * residual_[nibble * 4 + j] * steps_per_unit;
      least_steps += std::max(-twice, 0.0f);
      sums += twice * kBitOfLane[j];
    }
    sums += least_steps;
    // Low nibbles of a word's four bytes first, then the high ones.
    uint8_t* table = &tables_[nibble / 8 * kTableBytesPerWord + nibble % 2 * 64 + nibble % 8 / 2 * 16];
    using Words = int32_t __attribute__((vector_size(64)));
    using Bytes = uint8_t __attribute__((vector_size(16)));
    const Words steps = __builtin_convertvector(sums, Words);
    const Bytes bytes = __builtin_convertvector(steps > 255 ? Words{} + 255 : steps, Bytes);
    std::memcpy(table, &bytes, sizeof bytes);
  }
  // Each sum is rounded by up to half a step either way: a variance of 1/12 each.
  const double rounding = kTableConfidence * std::sqrt(static_cast<double>(nibbles) / 12) * static_cast<double>(step);
  prefix_.tables = tables_.data();
  prefix_.words = coder_.prefix_words();
  prefix_.step = step;
  prefix_.offset = static_cast<float>(least + rounding);
}

float SketchQuery::Bound(const SketchPlace& place) const {
  uint32_t code[kDimensionsMax / 32];
  const size_t prefix_words = coder_.prefix_words();
  const size_t words = coder_.words();
  const char* lane = place.group + place.lane * sizeof(uint32_t);
  for (size_t word = 0; word < prefix_words; ++word) code[word] = LoadWord(lane, word * kSketchGroup);
  for (size_t word = prefix_words; word < words; ++word) code[word] = LoadWord(place.row, word - prefix_words);
  const float shift = std::bit_cast<float>(LoadWord(lane, prefix_words * kSketchGroup));
  const float scale = std::bit_cast<float>(LoadWord(place.row, words - prefix_words));
  const float spread = std::bit_cast<float>(LoadWord(place.row, words - prefix_words + 1));
  const float signs = kernels_.sum_signs(residual_.data(), code, words);
  return shift + prefix_.base + scale * signs + spread * prefix_.reach;
}

float SketchQuery::ClosenessOf(double score) const {
  double closeness = score;
  if (coder_.metric() == format::Metric::kL2) closeness = score > 0 ? HUGE_VAL : -score * score / 2;
  return static_cast<float>(closeness - kRounding * std::abs(closeness));
}

double ConfidenceOf(double recall) {
  const double lost = (1 - recall) / 2;
  // Newton on the normal distribution's tail, which is convex above 0: it closes in from below.
  double sigma = 0;
  for (int i = 0; i < 60; ++i) {
    const double tail = 0.5 * std::erfc(sigma * 0.7071067811865476);
    const double density = 0.3989422804014327 * std::exp(-sigma * sigma / 2);
    const double step = (tail - lost) / density;
    sigma += step;
    if (std::abs(step) < 1e-9) break;
  }
  return sigma;
}

}  // namespace thermocline::kernels
