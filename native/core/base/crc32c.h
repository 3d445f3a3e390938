// CRC-32C (Castagnoli), hardware where the processor has it, chosen once at start.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thermocline {

/// Continues `crc` (0 to begin, or a seed) over `size` bytes. A chain of calls equals one call over all bytes.
uint32_t Crc32c(uint32_t crc, const void* data, size_t size);
/// The slow twin that tests compare with: one table, one byte at a time.
uint32_t Crc32cScalar(uint32_t crc, const void* data, size_t size);

}  // namespace thermocline
