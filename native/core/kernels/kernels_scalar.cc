// The twin of every other set: plain loops, sums of products in double precision.
#include <bit>
#include <cstring>

#include "core/base/atomic.h"
#include "core/kernels/kernels.h"

namespace thermocline::kernels {
namespace {

void DotRows(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
             const float* /*ahead*/, float* dots, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    double dot = 0;
    double square = 0;
    for (size_t d = 0; d < dimensions; ++d) {
      dot += static_cast<double>(query[d]) * static_cast<double>(row[d]);
      square += static_cast<double>(row[d]) * static_cast<double>(row[d]);
    }
    dots[i] = static_cast<float>(dot);
    squares[i] = static_cast<float>(square);
  }
}

void DistanceRows(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
                  const float* /*ahead*/, float* distances) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    double distance = 0;
    for (size_t d = 0; d < dimensions; ++d) {
      const double difference = static_cast<double>(query[d]) - static_cast<double>(row[d]);
      distance += difference * difference;
    }
    distances[i] = static_cast<float>(distance);
  }
}

float SumSquares(const float* values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  return static_cast<float>(sum);
}

void Scale(const float* values, float factor, size_t count, float* scaled) {
  for (size_t i = 0; i < count; ++i) scaled[i] = values[i] * factor;
}

void Hadamard(float* values, const float* signs, size_t length) {
  for (size_t i = 0; i < length; ++i) values[i] *= signs[i];
  for (size_t half = 1; half < length; half *= 2) {
    for (size_t block = 0; block < length; block += 2 * half) {
      for (size_t i = block; i < block + half; ++i) {
        const float sum = values[i] + values[i + half];
        values[i + half] = values[i] - values[i + half];
        values[i] = sum;
      }
    }
  }
}

ResidualSums EncodeSigns(const float* values, const float* centre, size_t words, uint32_t* code) {
  double sizes = 0;
  double squares = 0;
  double along = 0;
  for (size_t word = 0; word < words; ++word) code[word] = 0;
  for (size_t i = 0; i < words * 32; ++i) {
    const float residual = values[i] - centre[i];
    const auto wide = static_cast<double>(residual);
    if (residual >= 0) code[i / 32] |= 1u << (i % 32);
    sizes += residual >= 0 ? wide : -wide;
    squares += wide * wide;
    along += wide * static_cast<double>(centre[i]);
  }
  return {static_cast<float>(sizes), static_cast<float>(squares), static_cast<float>(along)};
}

uint32_t WordAt(const char* bytes, size_t word) {
  uint32_t value;
  std::memcpy(&value, bytes + word * 4, sizeof value);
  return value;
}

// Reads codes that other threads may be writing at this moment. Whoever uses the bounds asks afterwards whether the
// slot belongs to the snapshot; of one that does, the code was written before the snapshot was taken.
#if defined(__clang__)
__attribute__((no_sanitize("thread")))
#endif
void ScanPrefixes(const PrefixQuery& query, const char* groups, size_t group_count, float* upper) {
  for (size_t group = 0; group < group_count; ++group) {
    const char* bytes = groups + group * PrefixGroupBytes(query.words);
    for (size_t slot = 0; slot < kSketchGroup; ++slot) {
      uint32_t sum = 0;
      for (size_t word = 0; word < query.words; ++word) {
        const uint32_t code = WordAt(bytes, word * kSketchGroup + slot);
        const uint8_t* tables = query.tables + word * kTableBytesPerWord;
        for (size_t byte = 0; byte < 4; ++byte) {
          const uint32_t value = code >> (8 * byte) & 0xFF;
          sum += tables[byte * 16 + (value & 15)];
          sum += tables[64 + byte * 16 + (value >> 4)];
        }
      }
      const float a = std::bit_cast<float>(WordAt(bytes, query.words * kSketchGroup + slot));
      const uint32_t terms = WordAt(bytes, (query.words + 1) * kSketchGroup + slot);
      const float b = std::bit_cast<float>(terms & 0xFFFF0000u);
      const float e = std::bit_cast<float>(terms << 16);
      const float signs = query.step * static_cast<float>(sum) + query.offset;
      upper[group * kSketchGroup + slot] = e * query.reach + (b * signs + (a + query.base));
    }
  }
}

float SumSigns(const float* query, const uint32_t* code, size_t words) {
  double sum = 0;
  for (size_t i = 0; i < words * 32; ++i) {
    const auto value = static_cast<double>(query[i]);
    sum += (code[i / 32] >> (i % 32) & 1) != 0 ? value : -value;
  }
  return static_cast<float>(sum);
}

size_t SelectAtLeast(const float* values, size_t count, float least, uint32_t* places) {
  size_t selected = 0;
  for (size_t i = 0; i < count; ++i) {
    places[selected] = static_cast<uint32_t>(i);
    selected += values[i] >= least ? 1 : 0;
  }
  return selected;
}

void DotScattered(const float* query, const float* const* rows, size_t count, size_t dimensions, float* dots,
                  float* squares) {
  for (size_t i = 0; i < count; ++i) {
    DotRows(query, rows[i], 0, 1, dimensions, rows[i + 1 < count ? i + 1 : i], dots + i, squares + i);
  }
}

/// Keys that nobody may use yet are stored meanwhile: each is read at once, and its bit thrown away by whoever asks.
uint64_t KeysWithin(const uint64_t* keys, uint64_t first, uint64_t width) {
  uint64_t bits = 0;
  for (size_t i = 0; i < 64; ++i) bits |= uint64_t{LoadRelaxed(keys[i]) - first <= width} << i;
  return bits;
}

}  // namespace

const Kernels kScalarKernels = {"scalar", DotRows,     DotScattered, DistanceRows, SumSquares,    Scale,
                                Hadamard, EncodeSigns, ScanPrefixes, SumSigns,     SelectAtLeast, KeysWithin};

}  // namespace thermocline::kernels
