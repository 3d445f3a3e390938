// A table of the memory index: what is found, what is filled, and what happens when there is no empty cell.

#include "core/store/memory_index.h"

#include <array>
#include <string>

#include "test/harness.h"

namespace thermocline::store {
namespace {

constexpr uint64_t kCells = 8;

/// The record at position n is of the id that is n as text.
class ByNumber final : public IdMatcher {
 public:
  bool Matches(Position position, std::string_view id) const override { return std::to_string(position.raw()) == id; }
};

// Goal: a table that is full, as only a cache that somebody cut short or wrote by hand can be, ends every search.
TEST(MemoryIndex, AFullTableEndsEverySearchAndTakesNothing) {
  std::array<format::IndexCell, kCells> cells{};
  const IndexTable table(cells.data(), kCells);
  const ByNumber matcher;
  for (uint64_t i = 0; i < kCells; ++i)
    EXPECT_TRUE(table.Assign(3, std::to_string(100 + i), Position(100 + i), matcher));
  EXPECT_EQ(table.CountUsed(), kCells);
  EXPECT_TRUE(table.EmptyCell(3) == nullptr);
  EXPECT_TRUE(table.FindCell(3, "none", matcher) == nullptr);
  EXPECT_TRUE(table.CellOf(3, Position(7)) == nullptr);
  EXPECT_FALSE(table.Assign(3, "108", Position(108), matcher));
  // What is there stays to be found, and to be replaced.
  EXPECT_EQ(table.Find(3, "107", matcher).raw(), 107u);
  EXPECT_FALSE(table.Assign(3, "107", Position(207), matcher));
  EXPECT_TRUE(table.CellOf(3, Position(207)) != nullptr);
}

TEST(MemoryIndex, ATombstoneIsPassedOverAndIsNoRoom) {
  std::array<format::IndexCell, kCells> cells{};
  const IndexTable table(cells.data(), kCells);
  const ByNumber matcher;
  EXPECT_TRUE(table.Assign(3, "100", Position(100), matcher));
  EXPECT_TRUE(table.Assign(3, "101", Position(101), matcher));
  table.CellOf(3, Position(100))->position = format::kTombstone;
  EXPECT_TRUE(table.Find(3, "100", matcher).none());
  EXPECT_EQ(table.Find(3, "101", matcher).raw(), 101u);
  EXPECT_TRUE(table.Assign(3, "102", Position(102), matcher));
  EXPECT_EQ(table.CountUsed(), 3u);
}

}  // namespace
}  // namespace thermocline::store
