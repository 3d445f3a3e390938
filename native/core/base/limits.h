// Limits of the public contract and of the files. docs/format.md repeats those that are on disk.
#pragma once

#include <cstddef>
#include <cstdint>

namespace thermocline {

inline constexpr uint32_t kDimensionsMax = 4096;
inline constexpr size_t kIdBytesMax = 511;
inline constexpr uint64_t kContentBytesMax = 64ull << 20;
inline constexpr uint64_t kMetadataBytesMax = 16ull << 20;
inline constexpr uint32_t kMetadataDepthMax = 200;  // objects and arrays around a value

/// Of a filter: how deep `and`, `or` and `not` nest, filters and conditions together, bytes of its text. They bound
/// what one call can cost; the depth also bounds recursion.
inline constexpr uint32_t kFilterDepthMax = 100;
inline constexpr uint32_t kFilterConditionsMax = 1000;
inline constexpr uint64_t kFilterBytesMax = 16ull << 20;

/// Metadata paths that are indexed: each costs 8 bytes a memory.
inline constexpr uint32_t kIndexedPathsMax = 64;

/// A batch that holds the lock longer than this many records or bytes would stall other writers.
inline constexpr uint32_t kBatchRecordsMax = 256;
inline constexpr uint64_t kBatchBytesMax = 1ull << 20;

inline constexpr uint32_t kSegmentSlotsMin = 256;
inline constexpr uint32_t kSegmentSlotsMax = 16384;
/// The highest segment number that a writer takes. A recovery takes one from the few above it, so that a store which
/// has come to its end can still be opened.
inline constexpr uint32_t kSegmentNumberMax = UINT32_MAX - 16;
/// Room in a log per slot of its segment; content beyond that makes the log full before the slots are.
inline constexpr uint64_t kLogBytesPerSlot = 4096;
/// Frames of one `write` and the segments made for them stay addressable and countable in 32 bits.
inline constexpr uint32_t kWriteOperationsMax = 1u << 20;
inline constexpr uint64_t kFrameBytesMax = 1ull << 30;
/// Blocks that a flush repeats in the log cost their bytes twice; more than this is cheaper synced in their own files.
inline constexpr uint64_t kImagesBytesMax = 256 * 1024;

}  // namespace thermocline
