// AVX-512, without and with VBMI and VNNI. The second looks 64 nibbles of four different tables up at once and adds
// four of them into each slot's sum in one instruction. VPOPCNTDQ is not used: counting the bits of a query of four
// bit planes takes twice the instructions of the look-up and knows the query to 4 bits instead of 8 (docs/search.md).
#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12's own header leaves its placeholder for "undefined" uninitialised (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <immintrin.h>

#include <algorithm>

#include "core/kernels/kernels.h"

#define THERMOCLINE_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define THERMOCLINE_AVX512_VBMI \
  __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vnni")))
#if defined(__clang__)
// Why a race is harmless here: see the scalar twin.
#define THERMOCLINE_RACY_READS __attribute__((no_sanitize("thread")))
#else
#define THERMOCLINE_RACY_READS
#endif

namespace thermocline::kernels {
namespace {

THERMOCLINE_AVX512 inline __mmask16 TailMask(size_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFFu : (1u << count) - 1);
}

THERMOCLINE_AVX512 inline float Sum(const __m512 (&sums)[4]) {
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

/// One row after another: where rows lie side by side two at once are slower on Zen 4, 22 GB/s against 30.
THERMOCLINE_AVX512 void DotRows(const float* query, const float* rows, size_t stride, size_t count, size_t dimensions,
                                const float* ahead, float* dots, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    const float* ahead_row = ahead + i * stride;
    __m512 dot[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    __m512 square[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t d = 0;
    for (; d + 64 <= dimensions; d += 64) {
      for (size_t j = 0; j < 4; ++j) {
        PrefetchAhead(ahead_row + d + 16 * j);
        const __m512 v = _mm512_loadu_ps(row + d + 16 * j);
        dot[j] = _mm512_fmadd_ps(_mm512_loadu_ps(query + d + 16 * j), v, dot[j]);
        square[j] = _mm512_fmadd_ps(v, v, square[j]);
      }
    }
    for (; d < dimensions; d += 16) {
      const __mmask16 mask = TailMask(dimensions - d);
      const __m512 v = _mm512_maskz_loadu_ps(mask, row + d);
      dot[0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, query + d), v, dot[0]);
      square[0] = _mm512_fmadd_ps(v, v, square[0]);
    }
    dots[i] = Sum(dot);
    squares[i] = Sum(square);
  }
}

/// Products and squares of two rows at once, so that each load of the query serves both; summed as DotRows does.
THERMOCLINE_AVX512 inline void DotPair(const float* query, const float* a, const float* b, const float* ahead_a,
                                       const float* ahead_b, size_t dimensions, float* dots, float* squares) {
  const __m512 zero = _mm512_setzero_ps();
  __m512 dot_a[4] = {zero, zero, zero, zero};
  __m512 dot_b[4] = {zero, zero, zero, zero};
  __m512 square_a[4] = {zero, zero, zero, zero};
  __m512 square_b[4] = {zero, zero, zero, zero};
  size_t d = 0;
  for (; d + 64 <= dimensions; d += 64) {
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) {
      PrefetchAhead(ahead_a + d + 16 * j);
      PrefetchAhead(ahead_b + d + 16 * j);
      const __m512 q = _mm512_loadu_ps(query + d + 16 * j);
      const __m512 va = _mm512_loadu_ps(a + d + 16 * j);
      const __m512 vb = _mm512_loadu_ps(b + d + 16 * j);
      dot_a[j] = _mm512_fmadd_ps(q, va, dot_a[j]);
      dot_b[j] = _mm512_fmadd_ps(q, vb, dot_b[j]);
      square_a[j] = _mm512_fmadd_ps(va, va, square_a[j]);
      square_b[j] = _mm512_fmadd_ps(vb, vb, square_b[j]);
    }
  }
  for (; d < dimensions; d += 16) {
    const __mmask16 mask = TailMask(dimensions - d);
    const __m512 q = _mm512_maskz_loadu_ps(mask, query + d);
    const __m512 va = _mm512_maskz_loadu_ps(mask, a + d);
    const __m512 vb = _mm512_maskz_loadu_ps(mask, b + d);
    dot_a[0] = _mm512_fmadd_ps(q, va, dot_a[0]);
    dot_b[0] = _mm512_fmadd_ps(q, vb, dot_b[0]);
    square_a[0] = _mm512_fmadd_ps(va, va, square_a[0]);
    square_b[0] = _mm512_fmadd_ps(vb, vb, square_b[0]);
  }
  dots[0] = Sum(dot_a);
  dots[1] = Sum(dot_b);
  squares[0] = Sum(square_a);
  squares[1] = Sum(square_b);
}

/// The last of an odd number of rows stands in for its neighbour that is not there.
THERMOCLINE_AVX512 void DotScattered(const float* query, const float* const* rows, size_t count, size_t dimensions,
                                     float* dots, float* squares) {
  const auto row = [&](size_t i) { return rows[std::min(i, count - 1)]; };
  for (size_t i = 0; i < count; i += 2) {
    float pair_dots[2];
    float pair_squares[2];
    DotPair(query, row(i), row(i + 1), row(i + kScatteredAhead), row(i + 1 + kScatteredAhead), dimensions, pair_dots,
            pair_squares);
    for (size_t j = 0; j < 2 && i + j < count; ++j) {
      dots[i + j] = pair_dots[j];
      squares[i + j] = pair_squares[j];
    }
  }
}

THERMOCLINE_AVX512 void DistanceRows(const float* query, const float* rows, size_t stride, size_t count,
                                     size_t dimensions, const float* ahead, float* distances) {
  for (size_t i = 0; i < count; ++i) {
    const float* row = rows + i * stride;
    const float* ahead_row = ahead + i * stride;
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t d = 0;
    for (; d + 64 <= dimensions; d += 64) {
      for (size_t j = 0; j < 4; ++j) {
        PrefetchAhead(ahead_row + d + 16 * j);
        const __m512 difference = _mm512_sub_ps(_mm512_loadu_ps(query + d + 16 * j), _mm512_loadu_ps(row + d + 16 * j));
        sums[j] = _mm512_fmadd_ps(difference, difference, sums[j]);
      }
    }
    for (; d < dimensions; d += 16) {
      const __mmask16 mask = TailMask(dimensions - d);
      const __m512 difference =
          _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, query + d), _mm512_maskz_loadu_ps(mask, row + d));
      sums[0] = _mm512_fmadd_ps(difference, difference, sums[0]);
    }
    distances[i] = Sum(sums);
  }
}

THERMOCLINE_AVX512 float SumSquares(const float* values, size_t count) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    for (size_t j = 0; j < 4; ++j) {
      const __m512 v = _mm512_loadu_ps(values + i + 16 * j);
      sums[j] = _mm512_fmadd_ps(v, v, sums[j]);
    }
  }
  for (; i < count; i += 16) {
    const __m512 v = _mm512_maskz_loadu_ps(TailMask(count - i), values + i);
    sums[0] = _mm512_fmadd_ps(v, v, sums[0]);
  }
  return Sum(sums);
}

THERMOCLINE_AVX512 void Scale(const float* values, float factor, size_t count, float* scaled) {
  const __m512 by = _mm512_set1_ps(factor);
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 mask = TailMask(count - i);
    _mm512_mask_storeu_ps(scaled + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, values + i), by));
  }
}

/// The four stages within sixteen lanes: in each, a lane's partner plus or minus the lane itself.
THERMOCLINE_AVX512 inline __m512 HadamardWithin(__m512 v) {
  const __m512 one = _mm512_set1_ps(1);
  const __m512 minus = _mm512_set1_ps(-1);
  v = _mm512_fmadd_ps(v, _mm512_mask_mov_ps(one, 0xAAAA, minus), _mm512_permute_ps(v, 0xB1));
  v = _mm512_fmadd_ps(v, _mm512_mask_mov_ps(one, 0xCCCC, minus), _mm512_permute_ps(v, 0x4E));
  v = _mm512_fmadd_ps(v, _mm512_mask_mov_ps(one, 0xF0F0, minus), _mm512_shuffle_f32x4(v, v, 0xB1));
  return _mm512_fmadd_ps(v, _mm512_mask_mov_ps(one, 0xFF00, minus), _mm512_shuffle_f32x4(v, v, 0x4E));
}

/// Stages between `registers` registers that hold consecutive sixteens.
template <size_t registers>
THERMOCLINE_AVX512 inline void HadamardBlock(float* values, const float* signs) {
  __m512 v[registers];  // in registers only when every loop over them is unrolled
#pragma GCC unroll 16
  for (size_t j = 0; j < registers; ++j) {
    v[j] = HadamardWithin(_mm512_mul_ps(_mm512_loadu_ps(values + 16 * j), _mm512_loadu_ps(signs + 16 * j)));
  }
#pragma GCC unroll 8
  for (size_t half = 1; half < registers; half *= 2) {
#pragma GCC unroll 16
    for (size_t j = 0; j < registers; ++j) {
      if ((j & half) != 0) continue;
      const __m512 sum = _mm512_add_ps(v[j], v[j + half]);
      v[j + half] = _mm512_sub_ps(v[j], v[j + half]);
      v[j] = sum;
    }
  }
#pragma GCC unroll 16
  for (size_t j = 0; j < registers; ++j) _mm512_storeu_ps(values + 16 * j, v[j]);
}

THERMOCLINE_AVX512 void Hadamard(float* values, const float* signs, size_t length) {
  size_t half = 64;
  if (length >= 256) {
    for (size_t block = 0; block < length; block += 256) HadamardBlock<16>(values + block, signs + block);
    half = 256;
  } else {
    for (size_t block = 0; block < length; block += 64) HadamardBlock<4>(values + block, signs + block);
  }
  for (; half < length; half *= 2) {
    for (size_t block = 0; block < length; block += 2 * half) {
      for (size_t i = block; i < block + half; i += 16) {
        const __m512 a = _mm512_loadu_ps(values + i);
        const __m512 b = _mm512_loadu_ps(values + i + half);
        _mm512_storeu_ps(values + i, _mm512_add_ps(a, b));
        _mm512_storeu_ps(values + i + half, _mm512_sub_ps(a, b));
      }
    }
  }
}

THERMOCLINE_AVX512 ResidualSums EncodeSigns(const float* values, const float* centre, size_t words, uint32_t* code) {
  __m512 sizes = _mm512_setzero_ps();
  __m512 squares = _mm512_setzero_ps();
  __m512 along = _mm512_setzero_ps();
  for (size_t word = 0; word < words; ++word) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 2; ++j) {
      const __m512 c = _mm512_loadu_ps(centre + word * 32 + 16 * j);
      const __m512 residual = _mm512_sub_ps(_mm512_loadu_ps(values + word * 32 + 16 * j), c);
      bits |= static_cast<uint32_t>(_mm512_cmp_ps_mask(residual, _mm512_setzero_ps(), _CMP_GE_OQ)) << (16 * j);
      sizes = _mm512_add_ps(sizes, _mm512_abs_ps(residual));
      squares = _mm512_fmadd_ps(residual, residual, squares);
      along = _mm512_fmadd_ps(residual, c, along);
    }
    code[word] = bits;
  }
  return {_mm512_reduce_add_ps(sizes), _mm512_reduce_add_ps(squares), _mm512_reduce_add_ps(along)};
}

THERMOCLINE_AVX512 inline __m512 Bound(const PrefixQuery& query, __m512i sums, const char* terms) {
  const __m512 a = _mm512_loadu_ps(terms);
  const __m512i be = _mm512_loadu_si512(terms + kSketchGroup * 4);
  const __m512 b = _mm512_castsi512_ps(_mm512_and_si512(be, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
  const __m512 e = _mm512_castsi512_ps(_mm512_slli_epi32(be, 16));
  const __m512 signs =
      _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(query.step), _mm512_set1_ps(query.offset));
  const __m512 bound = _mm512_fmadd_ps(b, signs, _mm512_add_ps(a, _mm512_set1_ps(query.base)));
  return _mm512_fmadd_ps(e, _mm512_set1_ps(query.reach), bound);
}

/// The words' bytes look up in a table of their place, four shuffles that each leave the other places zero.
THERMOCLINE_AVX512 inline __m512i LookUp(__m512i nibbles, const uint8_t* tables) {
  __m512i values = _mm512_setzero_si512();
  for (size_t place = 0; place < 4; ++place) {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tables + place * 16)));
    values = _mm512_mask_shuffle_epi8(values, 0x1111111111111111u << place, table, nibbles);
  }
  return values;
}

THERMOCLINE_AVX512 THERMOCLINE_RACY_READS void ScanPrefixes(const PrefixQuery& query, const char* groups,
                                                            size_t group_count, float* upper) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i ones8 = _mm512_set1_epi8(1);
  const __m512i ones16 = _mm512_set1_epi16(1);
  for (size_t group = 0; group < group_count; ++group) {
    const char* bytes = groups + group * PrefixGroupBytes(query.words);
    __m512i sums16 = _mm512_setzero_si512();
    for (size_t word = 0; word < query.words; ++word) {
      const __m512i code = _mm512_loadu_si512(bytes + word * kSketchGroup * 4);
      const uint8_t* tables = query.tables + word * kTableBytesPerWord;
      const __m512i low = LookUp(_mm512_and_si512(code, nibble), tables);
      const __m512i high = LookUp(_mm512_and_si512(_mm512_srli_epi16(code, 4), nibble), tables + 64);
      sums16 = _mm512_add_epi16(sums16, _mm512_maddubs_epi16(low, ones8));
      sums16 = _mm512_add_epi16(sums16, _mm512_maddubs_epi16(high, ones8));
    }
    const __m512i sums = _mm512_madd_epi16(sums16, ones16);
    _mm512_storeu_ps(upper + group * kSketchGroup, Bound(query, sums, bytes + query.words * kSketchGroup * 4));
  }
}

THERMOCLINE_AVX512_VBMI THERMOCLINE_RACY_READS void ScanPrefixesVbmi(const PrefixQuery& query, const char* groups,
                                                                     size_t group_count, float* upper) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i ones = _mm512_set1_epi8(1);
  const __m512i places = _mm512_set1_epi32(0x30201000);  // which of the four tables a byte asks
  constexpr int kAndOr = 0xEA;                           // (a and b) or c
  for (size_t group = 0; group < group_count; ++group) {
    const char* bytes = groups + group * PrefixGroupBytes(query.words);
    __m512i low_sums = _mm512_setzero_si512();
    __m512i high_sums = _mm512_setzero_si512();
    for (size_t word = 0; word < query.words; ++word) {
      const __m512i code = _mm512_loadu_si512(bytes + word * kSketchGroup * 4);
      const uint8_t* tables = query.tables + word * kTableBytesPerWord;
      const __m512i low = _mm512_ternarylogic_epi32(code, nibble, places, kAndOr);
      const __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi16(code, 4), nibble, places, kAndOr);
      low_sums = _mm512_dpbusd_epi32(low_sums, _mm512_permutexvar_epi8(low, _mm512_loadu_si512(tables)), ones);
      high_sums = _mm512_dpbusd_epi32(high_sums, _mm512_permutexvar_epi8(high, _mm512_loadu_si512(tables + 64)), ones);
    }
    const __m512i sums = _mm512_add_epi32(low_sums, high_sums);
    _mm512_storeu_ps(upper + group * kSketchGroup, Bound(query, sums, bytes + query.words * kSketchGroup * 4));
  }
}

THERMOCLINE_AVX512 float SumSigns(const float* query, const uint32_t* code, size_t words) {
  // Sixteen bits are the very mask of sixteen lanes.
  __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t word = 0; word < words; ++word) {
    const __m512 first = _mm512_loadu_ps(query + word * 32);
    const __m512 second = _mm512_loadu_ps(query + word * 32 + 16);
    const auto first_mask = static_cast<__mmask16>(code[word]);
    const auto second_mask = static_cast<__mmask16>(code[word] >> 16);
    sums[0] = _mm512_mask_add_ps(_mm512_sub_ps(sums[0], first), first_mask, sums[0], first);
    sums[1] = _mm512_mask_add_ps(_mm512_sub_ps(sums[1], second), second_mask, sums[1], second);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1]));
}

THERMOCLINE_AVX512 size_t SelectAtLeast(const float* values, size_t count, float least, uint32_t* places) {
  const __m512 bound = _mm512_set1_ps(least);
  __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  size_t selected = 0;
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 set = _mm512_cmp_ps_mask(_mm512_loadu_ps(values + i), bound, _CMP_GE_OQ);
    if (set != 0) {
      _mm512_mask_compressstoreu_epi32(places + selected, set, lanes);
      selected += static_cast<size_t>(__builtin_popcount(set));
    }
    lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(16));
  }
  return selected;
}

THERMOCLINE_AVX512 THERMOCLINE_RACY_READS uint64_t KeysWithin(const uint64_t* keys, uint64_t first, uint64_t width) {
  const __m512i begin = _mm512_set1_epi64(static_cast<int64_t>(first));
  const __m512i limit = _mm512_set1_epi64(static_cast<int64_t>(width));
  uint64_t bits = 0;
  for (size_t i = 0; i < 64; i += 8) {
    const __m512i eight = _mm512_loadu_si512(keys + i);
    bits |= static_cast<uint64_t>(_mm512_cmple_epu64_mask(_mm512_sub_epi64(eight, begin), limit)) << i;
  }
  return bits;
}

}  // namespace

const Kernels kAvx512Kernels = {"avx512", DotRows,     DotScattered, DistanceRows, SumSquares,    Scale,
                                Hadamard, EncodeSigns, ScanPrefixes, SumSigns,     SelectAtLeast, KeysWithin};
const Kernels kAvx512VbmiKernels = {"avx512vbmi",     DotRows,  DotScattered,  DistanceRows,
                                    SumSquares,       Scale,    Hadamard,      EncodeSigns,
                                    ScanPrefixesVbmi, SumSigns, SelectAtLeast, KeysWithin};

}  // namespace thermocline::kernels

#endif
