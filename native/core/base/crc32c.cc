#include "core/base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
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
// Instruction", Intel 2011). The shift is a 32x32 matrix over GF(2), kept as four tables of 256.
constexpr size_t kStreamBytes = 256;

struct ShiftTable {
  std::array<std::array<uint32_t, 256>, 4> part{};
};

constexpr uint32_t ShiftOneByte(uint32_t crc) { return (crc >> 8) ^ kTable[crc & 0xFF]; }

constexpr ShiftTable MakeShiftTable() {
  ShiftTable table;
  for (size_t part = 0; part < 4; ++part) {
    std::array<uint32_t, 8> basis{};
    for (size_t bit = 0; bit < 8; ++bit) {
      uint32_t value = 1u << (part * 8 + bit);
      for (size_t i = 0; i < kStreamBytes; ++i) value = ShiftOneByte(value);
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

constexpr ShiftTable kShift = MakeShiftTable();

inline uint64_t ShiftStream(uint64_t crc) {
  return kShift.part[0][crc & 0xFF] ^ kShift.part[1][(crc >> 8) & 0xFF] ^ kShift.part[2][(crc >> 16) & 0xFF] ^
         kShift.part[3][(crc >> 24) & 0xFF];
}

inline uint64_t LoadWord(const unsigned char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, 8);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(uint32_t crc, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint64_t value = ~crc;
  while (size >= 3 * kStreamBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t at = 0; at < kStreamBytes; at += 8) {
      value = _mm_crc32_u64(value, LoadWord(bytes + at));
      second = _mm_crc32_u64(second, LoadWord(bytes + kStreamBytes + at));
      third = _mm_crc32_u64(third, LoadWord(bytes + 2 * kStreamBytes + at));
    }
    value = ShiftStream(ShiftStream(value) ^ second) ^ third;
    bytes += 3 * kStreamBytes;
    size -= 3 * kStreamBytes;
  }
  for (; size >= 8; size -= 8, bytes += 8) value = _mm_crc32_u64(value, LoadWord(bytes));
  auto narrow = static_cast<uint32_t>(value);
  for (; size > 0; --size, ++bytes) narrow = _mm_crc32_u8(narrow, *bytes);
  return ~narrow;
}

using Crc32cFunction = uint32_t (*)(uint32_t, const void*, size_t);

Crc32cFunction Choose() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2") != 0 ? Crc32cHardware : Crc32cScalar;
}

const Crc32cFunction kChosen = Choose();

#endif

}  // namespace

uint32_t Crc32cScalar(uint32_t crc, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  uint32_t value = ~crc;
  for (size_t at = 0; at < size; ++at) value = (value >> 8) ^ kTable[(value ^ bytes[at]) & 0xFF];
  return ~value;
}

uint32_t Crc32c(uint32_t crc, const void* data, size_t size) {
#if defined(__x86_64__)
  return kChosen(crc, data, size);
#else
  return Crc32cScalar(crc, data, size);
#endif
}

}  // namespace thermocline
