// No set of kernels reads or writes beyond what it was given: every array ends where a page ends, behind which nothing
// may be touched. A touch kills the test, which is red enough.

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/kernels/kernels.h"
#include "test/harness.h"

namespace thermocline::kernels {
namespace {

/// An array whose last element is the last of its page.
class AtAnEdge {
 public:
  explicit AtAnEdge(size_t bytes_max) : bytes_((bytes_max + kPage - 1) / kPage * kPage) {
    void* const data = ::mmap(nullptr, bytes_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_TRUE(data != MAP_FAILED);
    data_ = static_cast<char*>(data);
    EXPECT_EQ(::mprotect(data_ + bytes_, kPage, PROT_NONE), 0);
  }
  ~AtAnEdge() { ::munmap(data_, bytes_ + kPage); }
  AtAnEdge(const AtAnEdge&) = delete;
  AtAnEdge& operator=(const AtAnEdge&) = delete;

  /// The last `count` elements.
  template <typename T>
  T* Last(size_t count) {
    return reinterpret_cast<T*>(data_ + bytes_ - count * sizeof(T));
  }
  float* LastFloats(size_t count, float value) {
    std::fill_n(Last<float>(count), count, value);
    return Last<float>(count);
  }

 private:
  static constexpr size_t kPage = 65536;  // no machine has larger ones
  size_t bytes_;
  char* data_;
};

constexpr size_t kBytes = 16384 * 4;

/// Calls back with each set that runs here, the scalar one included.
template <typename Check>
void ForEachSet(Check check) {
  for (const KernelsHere& each : AllKernels()) {
    if (each.runs) check(*each.kernels);
  }
}

size_t NextLength(size_t length) { return length < 272 ? length + 1 : length + 239; }

TEST(KernelsEdge, RowsOfEveryLengthEndWhereTheyEnd) {
  AtAnEdge queries(kBytes), embeddings(kBytes), dots(kBytes), squares(kBytes);
  ForEachSet([&](const Kernels& kernels) {
    for (size_t dimensions = 1; dimensions <= 4096; dimensions = NextLength(dimensions)) {
      for (size_t count = 1; count <= 3; ++count) {
        const float* const query = queries.LastFloats(dimensions, 0.5f);
        const float* const rows = embeddings.LastFloats(count * dimensions, 1);
        // What lies ahead is asked for, never read: it may lie anywhere.
        const float* const ahead = rows + count * dimensions;
        float* const sums = dots.Last<float>(count);
        float* const lengths = squares.Last<float>(count);
        std::vector<const float*> scattered(count, rows + (count - 1) * dimensions);
        kernels.dot_rows(query, rows, dimensions, count, dimensions, ahead, sums, lengths);
        EXPECT_EQ(sums[count - 1], 0.5f * static_cast<float>(dimensions));
        kernels.dot_scattered(query, scattered.data(), count, dimensions, sums, lengths);
        EXPECT_EQ(lengths[0], static_cast<float>(dimensions));
        kernels.distance_rows(query, rows, dimensions, count, dimensions, ahead, sums);
        EXPECT_EQ(sums[0], 0.25f * static_cast<float>(dimensions));
      }
      float* const scaled = dots.Last<float>(dimensions);
      kernels.scale(queries.LastFloats(dimensions, 0.5f), 2, dimensions, scaled);
      EXPECT_EQ(kernels.sum_squares(scaled, dimensions), static_cast<float>(dimensions));
    }
  });
}

TEST(KernelsEdge, CodesAndTheirSumsEndWhereTheyEnd) {
  AtAnEdge values(kBytes), centres(kBytes), codes(kBytes), signs(kBytes);
  ForEachSet([&](const Kernels& kernels) {
    for (size_t words = 2; words <= 128; words += 2) {
      const size_t count = words * 32;
      uint32_t* const code = codes.Last<uint32_t>(words);
      const float* const value = values.LastFloats(count, 1);
      const ResidualSums sums = kernels.encode_signs(value, centres.LastFloats(count, 0.5f), words, code);
      EXPECT_EQ(sums.sizes, 0.5f * static_cast<float>(count));
      EXPECT_EQ(kernels.sum_signs(value, code, words), static_cast<float>(count));
    }
    for (size_t length = 64; length <= 4096; length *= 2) {
      float* const transformed = values.LastFloats(length, 1);
      kernels.hadamard(transformed, signs.LastFloats(length, 1), length);
      EXPECT_EQ(transformed[0], static_cast<float>(length));
    }
  });
}

TEST(KernelsEdge, PrefixesSelectionsAndKeysEndWhereTheyEnd) {
  AtAnEdge tables(kBytes), groups(kBytes), bounds(kBytes), places(kBytes), keys(kBytes);
  ForEachSet([&](const Kernels& kernels) {
    for (size_t words = 1; words <= kPrefixWordsMax; ++words) {
      for (size_t group_count = 1; group_count <= 5; ++group_count) {
        const size_t bytes = words * kTableBytesPerWord;
        const size_t slots = group_count * kSketchGroup;
        uint8_t* const table = tables.Last<uint8_t>(bytes);
        std::memset(table, 1, bytes);
        char* const codes = groups.Last<char>(group_count * PrefixGroupBytes(words));
        std::memset(codes, 0, group_count * PrefixGroupBytes(words));
        float* const upper = bounds.LastFloats(slots, 7);
        kernels.scan_prefixes({table, words, 1, 0, 0.5f, 1}, codes, group_count, upper);
        EXPECT_EQ(upper[slots - 1], 0.5f);
        uint32_t* const selected = places.Last<uint32_t>(slots);
        EXPECT_EQ(kernels.select_at_least(upper, slots, 0.5f, selected), slots);
        EXPECT_EQ(selected[slots - 1], slots - 1);
      }
    }
    uint64_t* const key = keys.Last<uint64_t>(64);
    std::fill_n(key, 64, 3);
    EXPECT_EQ(kernels.keys_within(key, 3, 0), ~uint64_t{0});
  });
}

}  // namespace
}  // namespace thermocline::kernels
