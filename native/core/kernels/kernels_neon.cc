// NEON, which every arm64 has.
#if defined(__aarch64__)

#include <arm_neon.h>

#include <algorithm>

#include "core/kernels/kernels.h"

#if defined(__clang__)
// Why a race is harmless here: see the scalar twin.
#define THERMOCLINE_RACY_READS __attribute__((no_sanitize("thread")))
#else
#define THERMOCLINE_RACY_READS
#endif

namespace thermocline::kernels {
namespace {

inline float Sum(const float32x4_t (&sums)[4]) {
  return vaddvq_f32(vaddq_f32(vaddq_f32(sums[0], sums[1]), vaddq_f32(sums[2], sums[3])));
}

void DotRows(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions, const float* ahead,
             float* dots, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    const float* ahead_row = ahead + i * stride;
    float32x4_t dot[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    float32x4_t square[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t d = 0;
    for (; d + 16 <= dimensions; d += 16) {
      PrefetchAhead(ahead_row + d);
      for (size_t j = 0; j < 4; ++j) {
        const float32x4_t b = vld1q_f32(row + d + 4 * j);
        dot[j] = vfmaq_f32(dot[j], vld1q_f32(query + d + 4 * j), b);
        square[j] = vfmaq_f32(square[j], b, b);
      }
    }
    for (; d + 4 <= dimensions; d += 4) {
      const float32x4_t b = vld1q_f32(row + d);
      dot[0] = vfmaq_f32(dot[0], vld1q_f32(query + d), b);
      square[0] = vfmaq_f32(square[0], b, b);
    }
    float dot_sum = Sum(dot);
    float square_sum = Sum(square);
    for (; d < dimensions; ++d) {
      dot_sum += query[d] * row[d];
      square_sum += row[d] * row[d];
    }
    dots[i] = dot_sum;
    squares[i] = square_sum;
  }
}

void DistanceRows(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
                  const float* ahead, float* distances) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    const float* ahead_row = ahead + i * stride;
    float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    size_t d = 0;
    for (; d + 16 <= dimensions; d += 16) {
      PrefetchAhead(ahead_row + d);
      for (size_t j = 0; j < 4; ++j) {
        const float32x4_t difference = vsubq_f32(vld1q_f32(query + d + 4 * j), vld1q_f32(row + d + 4 * j));
        sums[j] = vfmaq_f32(sums[j], difference, difference);
      }
    }
    for (; d + 4 <= dimensions; d += 4) {
      const float32x4_t difference = vsubq_f32(vld1q_f32(query + d), vld1q_f32(row + d));
      sums[0] = vfmaq_f32(sums[0], difference, difference);
    }
    float sum = Sum(sums);
    for (; d < dimensions; ++d) sum += (query[d] - row[d]) * (query[d] - row[d]);
    distances[i] = sum;
  }
}

float SumSquares(const float* values, size_t count) {
  float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (size_t j = 0; j < 4; ++j) {
      const float32x4_t v = vld1q_f32(values + i + 4 * j);
      sums[j] = vfmaq_f32(sums[j], v, v);
    }
  }
  for (; i + 4 <= count; i += 4) {
    const float32x4_t v = vld1q_f32(values + i);
    sums[0] = vfmaq_f32(sums[0], v, v);
  }
  float sum = Sum(sums);
  for (; i < count; ++i) sum += values[i] * values[i];
  return sum;
}

void Scale(const float* values, float factor, size_t count, float* scaled) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) vst1q_f32(scaled + i, vmulq_n_f32(vld1q_f32(values + i), factor));
  for (; i < count; ++i) scaled[i] = values[i] * factor;
}

void Hadamard(float* values, const float* signs, size_t length) {
  for (size_t i = 0; i < length; i += 4) {
    float* v = values + i;
    const float* s = signs + i;
    const float a = v[0] * s[0] + v[1] * s[1];
    const float b = v[0] * s[0] - v[1] * s[1];
    const float c = v[2] * s[2] + v[3] * s[3];
    const float e = v[2] * s[2] - v[3] * s[3];
    v[0] = a + c;
    v[1] = b + e;
    v[2] = a - c;
    v[3] = b - e;
  }
  for (size_t half = 4; half < length; half *= 2) {
    for (size_t block = 0; block < length; block += 2 * half) {
      for (size_t i = block; i < block + half; i += 4) {
        const float32x4_t a = vld1q_f32(values + i);
        const float32x4_t b = vld1q_f32(values + i + half);
        vst1q_f32(values + i, vaddq_f32(a, b));
        vst1q_f32(values + i + half, vsubq_f32(a, b));
      }
    }
  }
}

ResidualSums EncodeSigns(const float* values, const float* centre, size_t words, uint32_t* code) {
  const uint32x4_t lane_bits = {1, 2, 4, 8};
  float32x4_t sizes[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  float32x4_t squares[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  float32x4_t along[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  for (size_t word = 0; word < words; ++word) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 8; ++j) {
      const float32x4_t c = vld1q_f32(centre + word * 32 + 4 * j);
      const float32x4_t residual = vsubq_f32(vld1q_f32(values + word * 32 + 4 * j), c);
      bits |= vaddvq_u32(vandq_u32(vcgezq_f32(residual), lane_bits)) << (4 * j);
      sizes[j % 4] = vaddq_f32(sizes[j % 4], vabsq_f32(residual));
      squares[j % 4] = vfmaq_f32(squares[j % 4], residual, residual);
      along[j % 4] = vfmaq_f32(along[j % 4], residual, c);
    }
    code[word] = bits;
  }
  return {Sum(sizes), Sum(squares), Sum(along)};
}

inline float32x4_t Bound(const PrefixQuery& query, uint32x4_t sums, const char* terms) {
  const float32x4_t a = vld1q_f32(reinterpret_cast<const float*>(terms));
  const uint32x4_t be = vld1q_u32(reinterpret_cast<const uint32_t*>(terms + kSketchGroup * 4));
  const float32x4_t b = vreinterpretq_f32_u32(vandq_u32(be, vdupq_n_u32(0xFFFF0000u)));
  const float32x4_t e = vreinterpretq_f32_u32(vshlq_n_u32(be, 16));
  const float32x4_t signs = vfmaq_n_f32(vdupq_n_f32(query.offset), vcvtq_f32_u32(sums), query.step);
  return vfmaq_n_f32(vfmaq_f32(vaddq_f32(a, vdupq_n_f32(query.base)), b, signs), e, query.reach);
}

THERMOCLINE_RACY_READS void ScanPrefixes(const PrefixQuery& query, const char* groups, size_t group_count,
                                         float* upper) {
  for (size_t group = 0; group < group_count; ++group) {
    const char* bytes = groups + group * PrefixGroupBytes(query.words);
    uint16x8_t first = vdupq_n_u16(0);
    uint16x8_t second = vdupq_n_u16(0);
    for (size_t word = 0; word < query.words; ++word) {
      // The load sorts the bytes of sixteen words by their place, as the tables are.
      const uint8x16x4_t code = vld4q_u8(reinterpret_cast<const uint8_t*>(bytes + word * kSketchGroup * 4));
      const uint8_t* tables = query.tables + word * kTableBytesPerWord;
      for (int place = 0; place < 4; ++place) {
        const uint8x16_t low = vqtbl1q_u8(vld1q_u8(tables + place * 16), vandq_u8(code.val[place], vdupq_n_u8(15)));
        const uint8x16_t high = vqtbl1q_u8(vld1q_u8(tables + 64 + place * 16), vshrq_n_u8(code.val[place], 4));
        first = vaddw_u8(vaddw_u8(first, vget_low_u8(low)), vget_low_u8(high));
        second = vaddw_high_u8(vaddw_high_u8(second, low), high);
      }
    }
    const char* terms = bytes + query.words * kSketchGroup * 4;
    float* out = upper + group * kSketchGroup;
    vst1q_f32(out, Bound(query, vmovl_u16(vget_low_u16(first)), terms));
    vst1q_f32(out + 4, Bound(query, vmovl_high_u16(first), terms + 16));
    vst1q_f32(out + 8, Bound(query, vmovl_u16(vget_low_u16(second)), terms + 32));
    vst1q_f32(out + 12, Bound(query, vmovl_high_u16(second), terms + 48));
  }
}

float SumSigns(const float* query, const uint32_t* code, size_t words) {
  const uint32x4_t sign = vdupq_n_u32(0x80000000u);
  const int32x4_t shifts = {31, 30, 29, 28};
  float32x4_t sums[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  for (size_t word = 0; word < words; ++word) {
    // A bit that is not set has to arrive at the sign's place as 1.
    const uint32_t bits = ~code[word];
    for (size_t j = 0; j < 8; ++j) {
      const uint32x4_t signs = vandq_u32(vshlq_u32(vdupq_n_u32(bits >> (4 * j)), shifts), sign);
      const uint32x4_t values = vreinterpretq_u32_f32(vld1q_f32(query + word * 32 + 4 * j));
      sums[j % 4] = vaddq_f32(sums[j % 4], vreinterpretq_f32_u32(veorq_u32(values, signs)));
    }
  }
  return Sum(sums);
}

size_t SelectAtLeast(const float* values, size_t count, float least, uint32_t* places) {
  const float32x4_t bound = vdupq_n_f32(least);
  size_t selected = 0;
  for (size_t i = 0; i < count; i += 4) {
    if (vmaxvq_u32(vcgeq_f32(vld1q_f32(values + i), bound)) == 0) continue;
    for (size_t j = i; j < i + 4; ++j) {
      if (values[j] >= least) places[selected++] = static_cast<uint32_t>(j);
    }
  }
  return selected;
}

void DotScattered(const float* query, const float* const* rows, size_t count, size_t dimensions, float* dots,
                  float* squares) {
  for (size_t i = 0; i < count; ++i) {
    DotRows(query, rows[i], 0, 1, dimensions, rows[std::min(i + kScatteredAhead, count - 1)], dots + i, squares + i);
  }
}

// Keys that nobody may use yet are stored meanwhile, 8 bytes at once.
THERMOCLINE_RACY_READS uint64_t KeysWithin(const uint64_t* keys, uint64_t first, uint64_t width) {
  uint64_t bits = 0;
  for (size_t i = 0; i < 64; ++i) bits |= uint64_t{keys[i] - first <= width} << i;
  return bits;
}

}  // namespace

const Kernels kNeonKernels = {"neon",   DotRows,     DotScattered, DistanceRows, SumSquares,    Scale,
                              Hadamard, EncodeSigns, ScanPrefixes, SumSigns,     SelectAtLeast, KeysWithin};

}  // namespace thermocline::kernels

#endif
