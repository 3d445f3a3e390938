// What a filter at work marks, beside the filter asked by itself.
#pragma once

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "core/search/memory_filter.h"
#include "test/store_fixture.h"

namespace thermocline::test {

inline filter::Filter Compiled(const std::string& text) {
  Result<filter::Filter> filter = filter::Filter::Compile(text);
  EXPECT_OK(filter);
  return std::move(*filter);
}

/// Compares every slot of a snapshot with the filter asked by itself. `limit`: how many records it may ask.
inline void ExpectMarks(store::Store& store, const filter::Filter& filter, uint64_t limit) {
  const Result<store::Snapshot> snapshot = store.TakeSnapshot();
  ASSERT_OK(snapshot);
  const std::atomic<bool> go{false};
  const search::MemoryFilter asked(store, *snapshot, filter, limit, 2, go);
  search::SlotMask mask;
  for (const store::Snapshot::Part& part : snapshot->parts) {
    // Chunks that begin and end anywhere.
    for (uint32_t first = 0; first < part.slots; first += 100) {
      const uint32_t end = std::min(part.slots, first + 100);
      asked.Mark(*part.segment, first, end, &mask);
      uint64_t marked = 0;
      for (uint32_t raw = first; raw < end; ++raw) {
        const auto slot = static_cast<Slot>(raw);
        marked += mask.Has(raw) ? 1 : 0;
        EXPECT_EQ(mask.Next(raw, end) == raw, mask.Has(raw));
        if (!snapshot->Holds(*part.segment, slot)) continue;
        const Result<store::MemoryRef> memory =
            store.ReadAt(Position(part.segment->number(), LoadRelaxed(part.segment->record(slot))));
        ASSERT_OK(memory);
        const bool expected = filter.Test(search::ColumnsOf(*part.segment, slot), memory->record.id,
                                          memory->record.metadata) == filter::Verdict::kYes;
        if (expected) EXPECT_TRUE(mask.Has(raw));
        if (asked.asks_all()) EXPECT_EQ(mask.Has(raw), expected);
        EXPECT_EQ(asked.Matches(*part.segment, slot), expected);
      }
      EXPECT_EQ(mask.Count(), marked);
    }
  }
  EXPECT_OK(asked.status());
}

}  // namespace thermocline::test
