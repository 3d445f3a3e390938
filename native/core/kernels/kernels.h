// The loops that searching and sketching spend their time in, one set per instruction set, chosen once per process.
//
// Every set computes the same; the scalar one is the twin that tests compare the others with. Sums of floats differ
// between sets by rounding alone, sums of table values not at all.
// Thread rule: pure functions over the caller's memory. No alignment is asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace thermocline::kernels {

/// Slots whose sketch prefixes lie interleaved, so that a vector register takes one word of each.
inline constexpr size_t kSketchGroup = 16;
/// Bytes of tables per word of 32 code bits: 16 sums for each of its four low and four high nibbles.
inline constexpr size_t kTableBytesPerWord = 128;

/// One query against the prefixes of one segment. For a slot with correction terms A, B, E, the kernel writes
/// A + base + B (step x sum + offset) + E reach, where sum adds up the table values that the code's nibbles select.
struct PrefixQuery {
  const uint8_t* tables;  // words x kTableBytesPerWord
  size_t words;           // of 32 code bits, at most kPrefixWordsMax
  float step;
  float offset;
  float base;
  float reach;
};
inline constexpr size_t kPrefixWordsMax = 8;

/// Bytes of one group of kSketchGroup slots: `words` x 16 code words, 16 x A, 16 x (B and E as upper halves of floats:
/// B in the upper half of the word, E in the lower).
constexpr size_t PrefixGroupBytes(size_t words) { return (words + 2) * kSketchGroup * 4; }

/// Sums over the elements of a residual.
struct ResidualSums {
  float sizes;    // of their absolute values
  float squares;  // of their squares
  float along;    // of their products with the centre's elements
};

struct Kernels {
  const char* name;
  /// Of each row: its dot product with the query, and the sum of its squares. Rows lie `stride` floats apart. `ahead`
  /// is what will be read after `rows`: it is asked for in step with them. It may lie anywhere, also beyond an array.
  void (*dot_rows)(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
                   const float* ahead, float* dots, float* squares);
  /// The same of rows that lie anywhere. Those that come are asked for while those before them are read.
  void (*dot_scattered)(const float* query, const float* const* rows, size_t count, size_t dimensions, float* dots,
                        float* squares);
  /// Of each row: its squared distance to the query.
  void (*distance_rows)(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
                        const float* ahead, float* distances);
  /// The sum of the squares of `count` values.
  float (*sum_squares)(const float* values, size_t count);
  /// Writes `count` values times `factor`.
  void (*scale)(const float* values, float factor, size_t count, float* scaled);
  /// Unscaled Hadamard transform, in place, of the values times `signs`; `length` a power of two of at least 64.
  void (*hadamard)(float* values, const float* signs, size_t length);
  /// The residual of `words` x 32 values: a bit is set where value - centre is not negative.
  ResidualSums (*encode_signs)(const float* values, const float* centre, size_t words, uint32_t* code);
  /// Upper bounds of `groups` groups of slots, kSketchGroup each.
  void (*scan_prefixes)(const PrefixQuery& query, const char* groups, size_t group_count, float* upper);
  /// Sum over the bits of `words` words: +query where the bit is set, -query where not.
  float (*sum_signs)(const float* query, const uint32_t* code, size_t words);
  /// Writes the places of the values that are at least `least`, ascending; returns their number. `count` a multiple of
  /// kSketchGroup, `places` has room for `count`.
  size_t (*select_at_least)(const float* values, size_t count, float least, uint32_t* places);
  /// Of 64 keys: a bit for each that lies in first..first + width.
  uint64_t (*keys_within)(const uint64_t* keys, uint64_t first, uint64_t width);
};

/// The set of this name where it runs here, else the fastest that does.
const Kernels& SetNamed(std::string_view name);

/// What everything is computed with: the fastest set that this machine runs, or the one that THERMOCLINE_KERNELS names.
const Kernels& Best();

/// Makes a set the best for as long as it lives. For tests, which search with each; what was made before keeps its own.
class BestForNow {
 public:
  explicit BestForNow(const Kernels& kernels);
  ~BestForNow();
  BestForNow(const BestForNow&) = delete;
  BestForNow& operator=(const BestForNow&) = delete;

 private:
  const Kernels& before_;
};

/// Every set of this architecture, slowest first, and whether this machine runs it.
struct KernelsHere {
  const Kernels* kernels;
  bool runs;
};
std::span<const KernelsHere> AllKernels();

/// How far a float sum of `dimensions` products may lie from the true one, in relation to the sum of their sizes. For
/// that every set has at least sixteen sums side by side, or one in double precision: no element is then rounded more
/// often than a sixteenth of them are added, and a few times more when the sums and what is left of a row are joined.
constexpr double SumError(size_t dimensions) { return (static_cast<double>(dimensions) / 16 + 16) * 0x1p-24; }

/// Asks for what is read soon, into the second cache: asked for into the first, Zen 4 reads rows at 21 GB/s instead of
/// 30, pairs of them at 12 instead of 22. Why was not measured; fewer misses of the first cache can be on their way.
inline void PrefetchAhead(const void* address) { __builtin_prefetch(address, 0, 2); }

/// Scattered rows that are asked for ahead of those that are scored: 114 ns a row with four, 126 with two (Zen 4).
/// Whoever asked for all of them before gains 3 % by it still.
inline constexpr size_t kScatteredAhead = 4;

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VbmiKernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

}  // namespace thermocline::kernels
