#include "core/base/hash.h"

#include <string>

#include "test/harness.h"

using thermocline::HashKey;
using thermocline::SipHash13;

namespace {

/// The bytes 0, 1, 2, ...
std::string Counting(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i);
  return text;
}

struct Vector {
  size_t size;
  uint64_t zero_key;
  uint64_t other_key;
};

// Made with CPython 3.11, whose hash() of bytes is SipHash-1-3: PYTHONHASHSEED=0 is the key 0, PYTHONHASHSEED=1 the
// other one.
constexpr HashKey kOtherKey{0xaed66ce184be2329u, 0xebe9bbf1f1499052u};
constexpr Vector kVectors[] = {
    {7, 0x2f098ab0c751325au, 0xfd15e78052a69ddfu},
    {8, 0xead411e67ebe2eeau, 0xc0b5739e7e28dd01u},
    {15, 0xf30eb725bb91c9eau, 0xfa87985f39e97a53u},
    {63, 0x385d3e39e5f37359u, 0x542052345bc68274u},
};

}  // namespace

TEST(SipHash13, EqualsAnIndependentImplementation) {
  for (const Vector& vector : kVectors) {
    const std::string text = Counting(vector.size);
    EXPECT_EQ(SipHash13({0, 0}, text.data(), text.size()), vector.zero_key);
    EXPECT_EQ(SipHash13(kOtherKey, text.data(), text.size()), vector.other_key);
  }
  EXPECT_EQ(SipHash13({0, 0}, "mem-1", 5), 0x197540da4c5eab03u);
  EXPECT_EQ(SipHash13(kOtherKey, "mem-1", 5), 0x6190934ad068edabu);
}

TEST(SipHash13, DependsOnEveryBitOfKeyAndText) {
  const std::string text = Counting(23);
  const uint64_t hash = SipHash13(kOtherKey, text.data(), text.size());
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(SipHash13({kOtherKey.low ^ (1ull << bit), kOtherKey.high}, text.data(), text.size()), hash);
    EXPECT_NE(SipHash13({kOtherKey.low, kOtherKey.high ^ (1ull << bit)}, text.data(), text.size()), hash);
  }
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(SipHash13(kOtherKey, changed.data(), changed.size()), hash);
  }
}

TEST(SipHash13, TellsZerosOfDifferentLengthsApart) {
  const std::string zeros(64, '\0');
  for (size_t longer = 0; longer <= zeros.size(); ++longer) {
    const uint64_t hash = SipHash13({1, 2}, zeros.data(), longer);
    for (size_t size = 0; size < longer; ++size) EXPECT_NE(SipHash13({1, 2}, zeros.data(), size), hash);
  }
}

TEST(SipHash13, DoesNotDependOnAlignment) {
  const std::string text = Counting(40);
  const uint64_t hash = SipHash13(kOtherKey, text.data(), text.size());
  for (size_t shift = 1; shift < 9; ++shift) {
    const std::string moved = std::string(shift, 'x') + text;
    EXPECT_EQ(SipHash13(kOtherKey, moved.data() + shift, text.size()), hash);
  }
}
