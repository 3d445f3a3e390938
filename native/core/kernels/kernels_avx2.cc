// AVX2 with FMA: Intel since Haswell, AMD since Excavator.
#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>

#include "core/kernels/kernels.h"

#define THERMOCLINE_AVX2 __attribute__((target("avx2,fma")))
#if defined(__clang__)
// Why a race is harmless here: see the scalar twin.
#define THERMOCLINE_RACY_READS __attribute__((no_sanitize("thread")))
#else
#define THERMOCLINE_RACY_READS
#endif

namespace thermocline::kernels {
namespace {

THERMOCLINE_AVX2 inline float Sum(__m256 values) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps(values, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

/// Lanes below `count` set, for the end of a row.
THERMOCLINE_AVX2 inline __m256i TailMask(size_t count) {
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lanes);
}

THERMOCLINE_AVX2 void DotRows(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
                              const float* ahead, float* dots, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    const float* ahead_row = ahead + i * stride;
    __m256 dot[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    __m256 square[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t d = 0;
    for (; d + 32 <= dimensions; d += 32) {
      PrefetchAhead(ahead_row + d);
      PrefetchAhead(ahead_row + d + 16);
      for (size_t j = 0; j < 4; ++j) {
        const __m256 b = _mm256_loadu_ps(row + d + 8 * j);
        dot[j] = _mm256_fmadd_ps(_mm256_loadu_ps(query + d + 8 * j), b, dot[j]);
        square[j] = _mm256_fmadd_ps(b, b, square[j]);
      }
    }
    for (; d < dimensions; d += 8) {
      const __m256i mask = TailMask(dimensions - d);
      const __m256 b = _mm256_maskload_ps(row + d, mask);
      dot[0] = _mm256_fmadd_ps(_mm256_maskload_ps(query + d, mask), b, dot[0]);
      square[0] = _mm256_fmadd_ps(b, b, square[0]);
    }
    dots[i] = Sum(_mm256_add_ps(_mm256_add_ps(dot[0], dot[1]), _mm256_add_ps(dot[2], dot[3])));
    squares[i] = Sum(_mm256_add_ps(_mm256_add_ps(square[0], square[1]), _mm256_add_ps(square[2], square[3])));
  }
}

THERMOCLINE_AVX2 void DistanceRows(const float* query, const float* rows, size_t stride, size_t count,
                                   size_t dimensions, const float* ahead, float* distances) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    const float* ahead_row = ahead + i * stride;
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t d = 0;
    for (; d + 32 <= dimensions; d += 32) {
      PrefetchAhead(ahead_row + d);
      PrefetchAhead(ahead_row + d + 16);
      for (size_t j = 0; j < 4; ++j) {
        const __m256 difference = _mm256_sub_ps(_mm256_loadu_ps(query + d + 8 * j), _mm256_loadu_ps(row + d + 8 * j));
        sums[j] = _mm256_fmadd_ps(difference, difference, sums[j]);
      }
    }
    for (; d < dimensions; d += 8) {
      const __m256i mask = TailMask(dimensions - d);
      const __m256 difference = _mm256_sub_ps(_mm256_maskload_ps(query + d, mask), _mm256_maskload_ps(row + d, mask));
      sums[0] = _mm256_fmadd_ps(difference, difference, sums[0]);
    }
    distances[i] = Sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
  }
}

THERMOCLINE_AVX2 float SumSquares(const float* values, size_t count) {
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    for (size_t j = 0; j < 4; ++j) {
      const __m256 v = _mm256_loadu_ps(values + i + 8 * j);
      sums[j] = _mm256_fmadd_ps(v, v, sums[j]);
    }
  }
  for (; i < count; i += 8) {
    const __m256 v = _mm256_maskload_ps(values + i, TailMask(count - i));
    sums[0] = _mm256_fmadd_ps(v, v, sums[0]);
  }
  return Sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
}

THERMOCLINE_AVX2 void Scale(const float* values, float factor, size_t count, float* scaled) {
  const __m256 by = _mm256_set1_ps(factor);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(scaled + i, _mm256_mul_ps(_mm256_loadu_ps(values + i), by));
  for (; i < count; ++i) scaled[i] = values[i] * factor;
}

/// The three stages within eight lanes.
THERMOCLINE_AVX2 inline __m256 HadamardWithin(__m256 v) {
  const __m256 odd1 = _mm256_castsi256_ps(_mm256_set1_epi64x(static_cast<long long>(0x8000000000000000u)));
  const __m256 odd2 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, INT32_MIN, INT32_MIN, 0, 0, INT32_MIN, INT32_MIN));
  const __m256 odd4 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, 0, 0, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN));
  v = _mm256_add_ps(_mm256_xor_ps(v, odd1), _mm256_permute_ps(v, 0xB1));
  v = _mm256_add_ps(_mm256_xor_ps(v, odd2), _mm256_permute_ps(v, 0x4E));
  return _mm256_add_ps(_mm256_xor_ps(v, odd4), _mm256_permute2f128_ps(v, v, 1));
}

THERMOCLINE_AVX2 void Hadamard(float* values, const float* signs, size_t length) {
  // Three stages within a register and three between eight of them at once: 64 values each time.
  for (size_t block = 0; block < length; block += 64) {
    __m256 v[8];
    for (size_t j = 0; j < 8; ++j) {
      const size_t at = block + 8 * j;
      v[j] = HadamardWithin(_mm256_mul_ps(_mm256_loadu_ps(values + at), _mm256_loadu_ps(signs + at)));
    }
    for (size_t half = 1; half < 8; half *= 2) {
      for (size_t j = 0; j < 8; ++j) {
        if ((j & half) != 0) continue;
        const __m256 sum = _mm256_add_ps(v[j], v[j + half]);
        v[j + half] = _mm256_sub_ps(v[j], v[j + half]);
        v[j] = sum;
      }
    }
    for (size_t j = 0; j < 8; ++j) _mm256_storeu_ps(values + block + 8 * j, v[j]);
  }
  for (size_t half = 64; half < length; half *= 2) {
    for (size_t block = 0; block < length; block += 2 * half) {
      for (size_t i = block; i < block + half; i += 8) {
        const __m256 a = _mm256_loadu_ps(values + i);
        const __m256 b = _mm256_loadu_ps(values + i + half);
        _mm256_storeu_ps(values + i, _mm256_add_ps(a, b));
        _mm256_storeu_ps(values + i + half, _mm256_sub_ps(a, b));
      }
    }
  }
}

THERMOCLINE_AVX2 ResidualSums EncodeSigns(const float* values, const float* centre, size_t words, uint32_t* code) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 sizes[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  __m256 along[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t word = 0; word < words; ++word) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 4; ++j) {
      const __m256 c = _mm256_loadu_ps(centre + word * 32 + 8 * j);
      const __m256 residual = _mm256_sub_ps(_mm256_loadu_ps(values + word * 32 + 8 * j), c);
      const int set = _mm256_movemask_ps(_mm256_cmp_ps(residual, _mm256_setzero_ps(), _CMP_GE_OQ));
      bits |= static_cast<uint32_t>(set) << (8 * j);
      sizes[j % 2] = _mm256_add_ps(sizes[j % 2], _mm256_andnot_ps(sign, residual));
      squares[j % 2] = _mm256_fmadd_ps(residual, residual, squares[j % 2]);
      along[j % 2] = _mm256_fmadd_ps(residual, c, along[j % 2]);
    }
    code[word] = bits;
  }
  return {Sum(_mm256_add_ps(sizes[0], sizes[1])), Sum(_mm256_add_ps(squares[0], squares[1])),
          Sum(_mm256_add_ps(along[0], along[1]))};
}

THERMOCLINE_AVX2 inline __m256 Bound(const PrefixQuery& query, __m256i sums, const char* terms) {
  const __m256 a = _mm256_loadu_ps(reinterpret_cast<const float*>(terms));
  const __m256i be = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(terms + kSketchGroup * 4));
  const __m256 b = _mm256_castsi256_ps(_mm256_and_si256(be, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))));
  const __m256 e = _mm256_castsi256_ps(_mm256_slli_epi32(be, 16));
  const __m256 signs =
      _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), _mm256_set1_ps(query.step), _mm256_set1_ps(query.offset));
  const __m256 bound = _mm256_fmadd_ps(b, signs, _mm256_add_ps(a, _mm256_set1_ps(query.base)));
  return _mm256_fmadd_ps(e, _mm256_set1_ps(query.reach), bound);
}

// FastScan (Andre, Kermarrec, Le Scouarnec, VLDB 2015): one shuffle looks 32 nibbles up. Its table is one per register,
// so the bytes of 32 slots are sorted by place within their words first.
THERMOCLINE_AVX2 THERMOCLINE_RACY_READS void ScanPrefixes(const PrefixQuery& query, const char* groups,
                                                          size_t group_count, float* upper) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i low_bytes = _mm256_set1_epi16(255);
  const __m256i by_place = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9,
                                            13, 2, 6, 10, 14, 3, 7, 11, 15);
  const size_t bytes = PrefixGroupBytes(query.words);
  for (size_t group = 0; group < group_count; group += 2) {
    const char* first = groups + group * bytes;
    // An odd last group stands in for its neighbour.
    const bool paired = group + 1 < group_count;
    const char* second = paired ? first + bytes : first;
    __m256i even = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();
    for (size_t word = 0; word < query.words; ++word) {
      const auto load = [&](const char* of, size_t half) __attribute__((target("avx2,fma"))) {
        const auto* at = reinterpret_cast<const __m256i*>(of + word * kSketchGroup * 4 + half * 32);
        return _mm256_shuffle_epi8(_mm256_loadu_si256(at), by_place);
      };
      const __m256i r0 = load(first, 0);
      const __m256i r1 = load(first, 1);
      const __m256i r2 = load(second, 0);
      const __m256i r3 = load(second, 1);
      const __m256i places01_front = _mm256_unpacklo_epi32(r0, r1);
      const __m256i places23_front = _mm256_unpackhi_epi32(r0, r1);
      const __m256i places01_back = _mm256_unpacklo_epi32(r2, r3);
      const __m256i places23_back = _mm256_unpackhi_epi32(r2, r3);
      const __m256i places[4] = {
          _mm256_unpacklo_epi64(places01_front, places01_back), _mm256_unpackhi_epi64(places01_front, places01_back),
          _mm256_unpacklo_epi64(places23_front, places23_back), _mm256_unpackhi_epi64(places23_front, places23_back)};
      const uint8_t* tables = query.tables + word * kTableBytesPerWord;
      for (size_t place = 0; place < 4; ++place) {
        const __m256i low_table =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + place * 16)));
        const __m256i high_table =
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + 64 + place * 16)));
        const __m256i low = _mm256_shuffle_epi8(low_table, _mm256_and_si256(places[place], nibble));
        const __m256i high =
            _mm256_shuffle_epi8(high_table, _mm256_and_si256(_mm256_srli_epi16(places[place], 4), nibble));
        even = _mm256_add_epi16(even, _mm256_and_si256(low, low_bytes));
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16(low, 8));
        even = _mm256_add_epi16(even, _mm256_and_si256(high, low_bytes));
        odd = _mm256_add_epi16(odd, _mm256_srli_epi16(high, 8));
      }
    }
    const __m256i zero = _mm256_setzero_si256();
    const __m256i front = _mm256_unpacklo_epi16(even, odd);
    const __m256i back = _mm256_unpackhi_epi16(even, odd);
    const size_t terms = query.words * kSketchGroup * 4;
    float* out = upper + group * kSketchGroup;
    _mm256_storeu_ps(out, Bound(query, _mm256_unpacklo_epi16(front, zero), first + terms));
    _mm256_storeu_ps(out + 8, Bound(query, _mm256_unpackhi_epi16(front, zero), first + terms + 32));
    if (!paired) return;
    _mm256_storeu_ps(out + 16, Bound(query, _mm256_unpacklo_epi16(back, zero), second + terms));
    _mm256_storeu_ps(out + 24, Bound(query, _mm256_unpackhi_epi16(back, zero), second + terms + 32));
  }
}

THERMOCLINE_AVX2 float SumSigns(const float* query, const uint32_t* code, size_t words) {
  // A bit that is not set has to arrive at the sign's place as 1: the code is inverted, then shifted there.
  const __m256i shifts = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
  const __m256i sign = _mm256_set1_epi32(INT32_MIN);
  __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t word = 0; word < words; ++word) {
    const __m256i bits = _mm256_set1_epi32(static_cast<int>(~code[word]));
    for (int j = 0; j < 4; ++j) {
      const __m256i signs = _mm256_and_si256(_mm256_sllv_epi32(_mm256_srli_epi32(bits, 8 * j), shifts), sign);
      const __m256 values = _mm256_loadu_ps(query + word * 32 + static_cast<size_t>(8 * j));
      sums[j] = _mm256_add_ps(sums[j], _mm256_xor_ps(values, _mm256_castsi256_ps(signs)));
    }
  }
  return Sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
}

THERMOCLINE_AVX2 size_t SelectAtLeast(const float* values, size_t count, float least, uint32_t* places) {
  const __m256 bound = _mm256_set1_ps(least);
  size_t selected = 0;
  for (size_t i = 0; i < count; i += 8) {
    auto set = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i), bound, _CMP_GE_OQ)));
    for (; set != 0; set &= set - 1)
      places[selected++] = static_cast<uint32_t>(i) + static_cast<uint32_t>(__builtin_ctz(set));
  }
  return selected;
}

THERMOCLINE_AVX2 void DotScattered(const float* query, const float* const* rows, size_t count, size_t dimensions,
                                   float* dots, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    DotRows(query, rows[i], 0, 1, dimensions, rows[std::min(i + kScatteredAhead, count - 1)], dots + i, squares + i);
  }
}

THERMOCLINE_AVX2 THERMOCLINE_RACY_READS uint64_t KeysWithin(const uint64_t* keys, uint64_t first, uint64_t width) {
  // Without unsigned comparison: both sides with the sign bit flipped.
  const __m256i begin = _mm256_set1_epi64x(static_cast<int64_t>(first));
  const __m256i flip = _mm256_set1_epi64x(INT64_MIN);
  const __m256i limit = _mm256_xor_si256(_mm256_set1_epi64x(static_cast<int64_t>(width)), flip);
  uint64_t outside = 0;
  for (size_t i = 0; i < 64; i += 4) {
    const __m256i four = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + i));
    const __m256i above = _mm256_cmpgt_epi64(_mm256_xor_si256(_mm256_sub_epi64(four, begin), flip), limit);
    outside |= static_cast<uint64_t>(_mm256_movemask_pd(_mm256_castsi256_pd(above))) << i;
  }
  return ~outside;
}

}  // namespace

const Kernels kAvx2Kernels = {"avx2",   DotRows,     DotScattered, DistanceRows, SumSquares,    Scale,
                              Hadamard, EncodeSigns, ScanPrefixes, SumSigns,     SelectAtLeast, KeysWithin};

}  // namespace thermocline::kernels

#endif
