// Keyed 64-bit hash of ids. Keyed by the store's salt, so that ids chosen by a stranger cannot be made to collide.
//
// SipHash-1-3: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thermocline {

struct HashKey {
  uint64_t low;
  uint64_t high;
};

uint64_t SipHash13(const HashKey& key, const void* data, size_t size);

}  // namespace thermocline
