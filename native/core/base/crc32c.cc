#include "core/base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace thermocline {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78u;  // Castagnoli, bit-reflected

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
    table[i] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

#if defined(__x86_64__)

// Three independent streams hide the 3-cycle latency of the instruction; the parts are joined by shifting the
// first two over the zeros that follow them (Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32
// Instruction", Intel 2011). The shift is a 32x32 matrix over GF(2), kept as four tables of 256. Embeddings fill long
// streams; most records only short ones.
constexpr size_t kLongStreamBytes = 256;
constexpr size_t kShortStreamBytes = 64;

struct ShiftTable {
  std::array<std::array<uint32_t, 256>, 4> part{};
};

constexpr uint32_t ShiftOneByte(uint32_t crc) { return (crc >> 8) ^ kTable[crc & 0xFF]; }

constexpr ShiftTable MakeShiftTable(size_t bytes) {
  ShiftTable table;
  for (size_t part = 0; part < 4; ++part) {
    std::array<uint32_t, 8> basis{};
    for (size_t bit = 0; bit < 8; ++bit) {
      uint32_t value = 1u << (part * 8 + bit);
      for (size_t i = 0; i < bytes; ++i) value = ShiftOneByte(value);
      basis[bit] = value;
    }
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t value = 0;
      for (size_t bit = 0; bit < 8; ++bit) value ^= ((byte >> bit) & 1) != 0 ? basis[bit] : 0;
      table.part[part][byte] = value;
    }
  }
  return table;
}

template <size_t kStreamBytes>
constexpr ShiftTable kShift = MakeShiftTable(kStreamBytes);

template <size_t kStreamBytes>
inline uint64_t ShiftStream(uint64_t crc) {
  const auto& part = kShift<kStreamBytes>.part;
  return part[0][crc & 0xFF] ^ part[1][(crc >> 8) & 0xFF] ^ part[2][(crc >> 16) & 0xFF] ^ part[3][(crc >> 24) & 0xFF];
}

inline uint64_t LoadWord(const unsigned char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

/// As many times three streams as there are; leaves `bytes` and `size` at what remains.
template <size_t kStreamBytes>
__attribute__((target("sse4.2"))) inline uint64_t ThreeStreams(uint64_t value, const unsigned char*& bytes,
                                                               size_t& size) {
  while (size >= 3 * kStreamBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t at = 0; at < kStreamBytes; at += 8) {
      value = _mm_crc32_u64(value, LoadWord(bytes + at));
      second = _mm_crc32_u64(second, LoadWord(bytes + kStreamBytes + at));
      third = _mm_crc32_u64(third, LoadWord(bytes + 2 * kStreamBytes + at));
    }
    value = ShiftStream<kStreamBytes>(ShiftStream<kStreamBytes>(value) ^ second) ^ third;
    bytes += 3 * kStreamBytes;
    size -= 3 * kStreamBytes;
  }
  return value;
}

__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(uint32_t crc, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint64_t value = ~crc;
  value = ThreeStreams<kLongStreamBytes>(value, bytes, size);
  value = ThreeStreams<kShortStreamBytes>(value, bytes, size);
  for (; size >= 8; size -= 8, bytes += 8) value = _mm_crc32_u64(value, LoadWord(bytes));
  auto narrow = static_cast<uint32_t>(value);
  for (; size > 0; --size, ++bytes) narrow = _mm_crc32_u8(narrow, *bytes);
  return ~narrow;
}

// Folding by carry-less multiplication, 256 bytes a turn (Gopal et al., "Fast CRC Computation for Generic Polynomials
// Using PCLMULQDQ Instruction", Intel 2009). A part of 128 bits that lies n bits ahead of another is joined to it by
// multiplying its halves with x^(n + 32) and x^(n - 32) modulo the polynomial, both bit-reflected. What is left of 128
// bits the CRC instruction finishes.
constexpr size_t kFoldBytes = 256;

/// x^exponent modulo the polynomial, bit-reflected, as a multiplier: shifted by the one bit that a product of
/// reflected numbers comes out short.
constexpr uint64_t PowerOfX(unsigned exponent) {
  uint32_t value = 0x80000000u;  // 1
  for (; exponent > 0; --exponent) value = (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0);
  return uint64_t{value} << 1;
}

struct FoldBy {
  uint64_t low;
  uint64_t high;
};
constexpr FoldBy FoldBits(unsigned bits) { return {PowerOfX(bits + 32), PowerOfX(bits - 32)}; }
constexpr FoldBy kFold2048 = FoldBits(2048);
constexpr FoldBy kFold512 = FoldBits(512);
constexpr FoldBy kFoldLanes[3] = {FoldBits(384), FoldBits(256), FoldBits(128)};

#define THERMOCLINE_FOLDS __attribute__((target("sse4.2,pclmul,avx512f,avx512vl,avx512dq,vpclmulqdq")))

THERMOCLINE_FOLDS inline __m512i Fold(__m512i part, __m512i by, __m512i onto) {
  const __m512i low = _mm512_clmulepi64_epi128(part, by, 0x00);
  const __m512i high = _mm512_clmulepi64_epi128(part, by, 0x11);
  return _mm512_ternarylogic_epi64(low, high, onto, 0x96);  // xor of the three
}

THERMOCLINE_FOLDS inline __m512i Multipliers(FoldBy by) {
  const auto low = static_cast<int64_t>(by.low);
  const auto high = static_cast<int64_t>(by.high);
  return _mm512_set_epi64(high, low, high, low, high, low, high, low);
}

THERMOCLINE_FOLDS inline __m512i Load(const void* bytes) { return _mm512_loadu_si512(bytes); }

THERMOCLINE_FOLDS uint32_t Crc32cFolding(uint32_t crc, const void* data, size_t size) {
  if (size < kFoldBytes) return Crc32cHardware(crc, data, size);
  const auto* bytes = static_cast<const unsigned char*>(data);
  __m512i first = _mm512_xor_si512(Load(bytes), _mm512_set_epi64(0, 0, 0, 0, 0, 0, 0, static_cast<int64_t>(~crc)));
  __m512i second = Load(bytes + 64);
  __m512i third = Load(bytes + 128);
  __m512i fourth = Load(bytes + 192);
  bytes += kFoldBytes;
  size -= kFoldBytes;
  for (const __m512i by = Multipliers(kFold2048); size >= kFoldBytes; bytes += kFoldBytes, size -= kFoldBytes) {
    first = Fold(first, by, Load(bytes));
    second = Fold(second, by, Load(bytes + 64));
    third = Fold(third, by, Load(bytes + 128));
    fourth = Fold(fourth, by, Load(bytes + 192));
  }
  const __m512i by = Multipliers(kFold512);
  __m512i all = Fold(Fold(Fold(first, by, second), by, third), by, fourth);
  for (; size >= 64; bytes += 64, size -= 64) all = Fold(all, by, Load(bytes));
  alignas(64) __m128i lanes[4];
  _mm512_store_si512(lanes, all);
  __m128i rest = lanes[3];
  for (int lane = 0; lane < 3; ++lane) {
    const FoldBy fold = kFoldLanes[lane];
    const __m128i multipliers = _mm_set_epi64x(static_cast<int64_t>(fold.high), static_cast<int64_t>(fold.low));
    rest = _mm_xor_si128(rest, _mm_xor_si128(_mm_clmulepi64_si128(lanes[lane], multipliers, 0x00),
                                             _mm_clmulepi64_si128(lanes[lane], multipliers, 0x11)));
  }
  uint64_t value = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_extract_epi64(rest, 0)));
  value = _mm_crc32_u64(value, static_cast<uint64_t>(_mm_extract_epi64(rest, 1)));
  // g++ forgets it before a tail call; without it all code of other compilers that follows runs at half its speed.
  _mm256_zeroupper();
  return Crc32cHardware(~static_cast<uint32_t>(value), bytes, size);
}

bool Folds() {
  return __builtin_cpu_supports("avx512f") != 0 &&     // unreachable: one processor runs the tests
         __builtin_cpu_supports("avx512vl") != 0 &&    // unreachable: as above
         __builtin_cpu_supports("avx512dq") != 0 &&    // unreachable: as above
         __builtin_cpu_supports("vpclmulqdq") != 0 &&  // unreachable: as above
         __builtin_cpu_supports("pclmul") != 0 &&      // unreachable: as above
         __builtin_cpu_supports("sse4.2") != 0;        // unreachable: as above
}

#endif

const Crc32cFunction kChosen = Crc32cVariants().back();

}  // namespace

uint32_t Crc32cScalar(uint32_t crc, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t value = ~crc;
  for (size_t at = 0; at < size; ++at) value = (value >> 8) ^ kTable[(value ^ bytes[at]) & 0xFF];
  return ~value;
}

uint32_t Crc32cSeedOf(uint32_t crc, const void* data, size_t size) {
  // No two entries of the table share their highest byte, which is all that a step takes from there.
  std::array<unsigned char, 256> entry_of{};
  for (uint32_t i = 0; i < 256; ++i) entry_of[kTable[i] >> 24] = static_cast<unsigned char>(i);
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t value = ~crc;
  for (size_t at = size; at-- > 0;) {
    const uint32_t entry = entry_of[value >> 24];
    value = ((value ^ kTable[entry]) << 8) | (entry ^ bytes[at]);
  }
  return ~value;
}

std::vector<Crc32cFunction> Crc32cVariants() {
  std::vector<Crc32cFunction> variants = {Crc32cScalar};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse4.2") != 0) variants.push_back(Crc32cHardware);  // unreachable: as above
  if (Folds()) variants.push_back(Crc32cFolding);                                 // unreachable: as above
#endif
  return variants;
}

uint32_t Crc32c(uint32_t crc, const void* data, size_t size) { return kChosen(crc, data, size); }

}  // namespace thermocline
