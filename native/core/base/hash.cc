#include "core/base/hash.h"

#include <bit>
#include <cstring>

namespace thermocline {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
};

}  // namespace

uint64_t SipHash13(const HashKey& key, const void* data, size_t size) {
  SipState state{key.low ^ 0x736f6d6570736575ull, key.high ^ 0x646f72616e646f6dull, key.low ^ 0x6c7967656e657261ull,
                 key.high ^ 0x7465646279746573ull};
  const auto* bytes = static_cast<const unsigned char*>(data);
  const size_t whole = size & ~size_t{7};
  for (size_t at = 0; at < whole; at += 8) {
    uint64_t word;
    std::memcpy(&word, bytes + at, 8);
    state.v3 ^= word;
    state.Round();
    state.v0 ^= word;
  }
  uint64_t last = static_cast<uint64_t>(size) << 56;
  for (size_t at = whole; at < size; ++at) last |= static_cast<uint64_t>(bytes[at]) << (8 * (at - whole));
  state.v3 ^= last;
  state.Round();
  state.v0 ^= last;
  state.v2 ^= 0xFF;
  state.Round();
  state.Round();
  state.Round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace thermocline
