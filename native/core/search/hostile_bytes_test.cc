// Goal: whatever is changed in a store's files at rest, every call gives a typed error or the right bytes; nothing
// crashes, hangs, reads beyond a file or gives out what nobody wrote. Method: random bits, words and pages of every
// file are flipped, overwritten, moved within and between files and stores, or taken from an earlier state; files are
// cut, extended, exchanged and removed; a part of the changes gets its checksums made right again.

#include <cstdio>

#include "test/hostile_fixture.h"

namespace thermocline::search {
namespace {

using test::HostileStore;
using test::Mutation;
using test::StoreFiles;

/// Offsets where most of the meaning is: headers, words, the first records, the cells of the index.
uint32_t LikelyOffset(Random& random, size_t size) {
  const uint64_t bound = random.Below(3) == 0 ? 256 : random.Below(2) == 0 ? 8192 : size;
  return static_cast<uint32_t>(random.Below(std::max<uint64_t>(1, std::min<uint64_t>(bound, size))));
}

uint64_t LikelyWord(Random& random) {
  constexpr uint64_t kWords[] = {0,          1,          7,          8,     0xFF,       0xFFFF,    0x7FFFFFFF,
                                 0xFFFFFFFF, 1ull << 32, 1ull << 40, ~0ull, ~0ull >> 1, 1ull << 63};
  const uint64_t choice = random.Below(std::size(kWords) + 3);
  return choice < std::size(kWords) ? kWords[choice] : random.Next() >> random.Below(64);
}

Mutation RandomMutation(const HostileStore& store, Random& random) {
  Mutation mutation;
  // Flips and pages are what disks do; the others are rarer.
  mutation.kind = static_cast<uint8_t>(random.Below(4) == 0 ? random.Below(Mutation::kKinds)
                                                            : random.Below(Mutation::kStalePage + 1));
  mutation.file = static_cast<uint8_t>(random.Below(store.names().size()));
  mutation.other_file = static_cast<uint8_t>(random.Below(store.names().size()));
  mutation.value = static_cast<uint8_t>(random.Next());
  mutation.offset = LikelyOffset(random, store.original().at(store.names()[mutation.file]).size());
  // The words of the cache are few, and everything begins with them.
  if (store.names()[mutation.file] == "cache" && random.Below(2) == 0) {
    if (random.Below(2) == 0) mutation.kind = Mutation::kSetWord;
    mutation.offset = static_cast<uint32_t>(format::kBootWordsOffset + random.Below(sizeof(format::BootWords)));
  }
  mutation.other_offset = static_cast<uint32_t>(random.Next());
  mutation.word = LikelyWord(random);
  return mutation;
}

std::string Describe(const HostileStore& store, const Mutation& mutation) {
  return "kind " + std::to_string(mutation.kind) + " " + store.names()[mutation.file] + " at " +
         std::to_string(mutation.offset) + " value " + std::to_string(mutation.value) + " word " +
         std::to_string(mutation.word) + " other " + store.names()[mutation.other_file] + " at " +
         std::to_string(mutation.other_offset);
}

TEST(HostileBytes, EveryCallAfterAChangeOfAnyFileGivesATypedErrorOrTheRightBytes) {
  HostileStore store;
  Random random(TestSeed());
  const uint64_t rounds = test::RoundsOfOneThread(2000, 40000);
  uint64_t opened = 0;
  const bool is_told = std::getenv("THERMOCLINE_TEST_TELL") != nullptr;  // to find the round that crashes
  for (uint64_t round = 0; round < rounds; ++round) {
    StoreFiles files = store.original();
    std::string what;
    // Without the marker of a clean close the cache is believed for its boot, and repaired first.
    const bool closed_clean = random.Below(2) == 0;
    if (!closed_clean) files["cache"].replace(format::kCleanOffset, sizeof(format::CleanMarker), 64, '\0');
    bool cache_is_right = true;
    const uint64_t count = random.Below(5) == 0 ? 2 + random.Below(3) : 1;
    for (uint64_t i = 0; i < count; ++i) {
      const Mutation mutation = RandomMutation(store, random);
      store.Apply(mutation, &files);
      what += Describe(store, mutation) + "; ";
      cache_is_right =
          cache_is_right && store.names()[mutation.file] != "cache" && store.names()[mutation.other_file] != "cache";
    }
    store.resealed_ = random.Below(4) == 0;
    if (store.resealed_) store.Reseal(&files);
    const bool without_cache = random.Below(3) == 0;
    if (without_cache) files.erase("cache");
    if (is_told) std::printf("%llu %s\n", static_cast<unsigned long long>(round), what.c_str()), std::fflush(stdout);
    const int failures = test::FailureCount();
    std::string outcome;
    opened += store.Examine(files, cache_is_right || without_cache, &outcome) ? 1 : 0;
    if (test::FailureCount() != failures) {
      std::printf("       round %llu: %s%s%s-> %s\n", static_cast<unsigned long long>(round), what.c_str(),
                  store.resealed_ ? "resealed " : "", without_cache ? "without cache " : "", outcome.c_str());
    }
  }
  EXPECT_GT(opened, rounds / 5);
  std::printf(
      "       %llu changes: %llu opened, %llu answers right, %llu refused, %llu missed by the index (seed %llu)\n",
      static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(opened),
      static_cast<unsigned long long>(store.right()), static_cast<unsigned long long>(store.refused()),
      static_cast<unsigned long long>(store.missed()), static_cast<unsigned long long>(TestSeed()));
}

}  // namespace
}  // namespace thermocline::search
