// The memory index: id -> position of its newest record, deletions included. A cache of the log, in the cache file.
//
// Open addressing with linear probing over cells of {hash, position}. Protocol (R16):
// - one writer at a time, the holder of the write lock; any number of readers, who take no lock;
// - a cell goes from empty to {hash, position} once: hash first, position with release. After that only its position
//   changes. Entries never move within a generation, so a probe that began before a change ends right after it;
// - a new generation is filled beside the old one and published by one store of the index word. A reader loads that
//   word once per probe; a probe that missed and sees another word afterwards starts again, because the old
//   generation's space may have been given back under it. A hit needs no such look: its record is checked by full id.
// Thread rule: Find from anywhere; the rest says what its caller holds.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/atomic.h"
#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/format/layout.h"
#include "core/io/file.h"
#include "core/io/mapping.h"

namespace thermocline::store {

/// The index word: offset / 64 KiB (34 bits), log2 of the cells (6 bits), generation (24 bits).
struct IndexWord {
  uint64_t raw = 0;

  static IndexWord Make(uint64_t offset, uint32_t cells_log2, uint32_t generation) {
    return {((offset / format::kSectionBytes) << 30) | (uint64_t{cells_log2} << 24) | (generation & 0xFFFFFFu)};
  }
  uint64_t offset() const { return (raw >> 30) * format::kSectionBytes; }
  uint32_t cells_log2() const { return static_cast<uint32_t>(raw >> 24) & 63u; }
  uint64_t cells() const { return uint64_t{1} << cells_log2(); }
  uint32_t generation() const { return static_cast<uint32_t>(raw) & 0xFFFFFFu; }
  uint64_t bytes() const { return cells() * sizeof(format::IndexCell); }
};

/// Says whether the record at a position is of an id.
class IdMatcher {
 public:
  virtual ~IdMatcher() = default;
  virtual bool Matches(Position position, std::string_view id) const = 0;
};

/// One generation's cells.
class IndexTable {
 public:
  IndexTable(format::IndexCell* cells, uint64_t count) : cells_(cells), mask_(count - 1) {}

  /// Position of the id's newest record, or none.
  Position Find(uint64_t hash, std::string_view id, const IdMatcher& matcher) const {
    Position position;
    FindCell(hash, id, matcher, &position);
    return position;
  }
  /// `position`: what was in the cell when it was found to be the id's. The cell of an old generation may since be one
  /// of a new generation, and another id's.
  format::IndexCell* FindCell(uint64_t hash, std::string_view id, const IdMatcher& matcher, Position* position) const;
  /// Write lock held, or table unpublished.
  format::IndexCell* FindCell(uint64_t hash, std::string_view id, const IdMatcher& matcher) const {
    Position position;
    return FindCell(hash, id, matcher, &position);
  }
  /// The cell that names this very position, or nullptr. Reads no records.
  format::IndexCell* CellOf(uint64_t hash, Position position) const;
  /// First empty cell of the hash's probe. Write lock held; there is room.
  format::IndexCell* EmptyCell(uint64_t hash) const;
  /// Position under the id replaced, or a new cell filled. True when it was new. Write lock held, or table unpublished.
  bool Assign(uint64_t hash, std::string_view id, Position position, const IdMatcher& matcher) const;
  /// Fills an empty cell. Write lock held, or table unpublished.
  static void Fill(format::IndexCell& cell, uint64_t hash, Position position) {
    StoreRelease(cell.hash, hash);  // pairs with the acquire in FindCell, when that is of an older generation
    StoreRelease(cell.position, position.raw());  // pairs with the acquire in FindCell
  }
  uint64_t cells() const { return mask_ + 1; }
  format::IndexCell& cell(uint64_t at) const { return cells_[at]; }
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&cells_[hash & mask_]); }
  /// Cells that are not empty. A scan.
  uint64_t CountUsed() const;

 private:
  format::IndexCell* cells_;
  uint64_t mask_;
};

/// A table is full for writers at 7/8; the helper grows it from 5/8 on.
inline constexpr uint64_t UsableCells(uint64_t cells) { return cells - cells / 8; }
inline constexpr uint64_t GrowAtCells(uint64_t cells) { return cells - cells / 8 * 3; }
/// log2 of the cells of a table that holds `entries` and is not due to grow.
uint32_t CellsLog2For(uint64_t entries);

}  // namespace thermocline::store
