// CRC-32C (Castagnoli), hardware where the processor has it, chosen once at start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace thermocline {

/// Continues `crc` (0 to begin, or a seed) over `size` bytes. A chain of calls equals one call over all bytes.
uint32_t Crc32c(uint32_t crc, const void* data, size_t size);
/// The slow twin that tests compare with: one table, one byte at a time.
uint32_t Crc32cScalar(uint32_t crc, const void* data, size_t size);

/// The seed from which these bytes give `crc`: Crc32c(Crc32cSeedOf(crc, data, size), data, size) == crc. A CRC can be
/// run backwards, so bytes with their checksum give away the seed.
uint32_t Crc32cSeedOf(uint32_t crc, const void* data, size_t size);

using Crc32cFunction = uint32_t (*)(uint32_t, const void*, size_t);
/// Every way that this processor has, slowest first; the last one is Crc32c. For tests.
std::vector<Crc32cFunction> Crc32cVariants();

}  // namespace thermocline
