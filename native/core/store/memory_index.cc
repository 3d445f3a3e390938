#include "core/store/memory_index.h"

namespace thermocline::store {

format::IndexCell* IndexTable::FindCell(uint64_t hash, std::string_view id, const IdMatcher& matcher,
                                        Position* found) const {
  // Bounded by the table: a file whose cells are all full must not hang its reader.
  for (uint64_t probe = 0; probe <= mask_; ++probe) {
    format::IndexCell& cell = cells_[(hash + probe) & mask_];
    const uint64_t position = LoadAcquire(cell.position);  // pairs with the release in Fill
    if (position == 0) return nullptr;
    // Acquire: a hash that is not the id's may be one of a generation that took the place of this one, or of a place
    // that was given back meanwhile. The second look at the index word that follows a miss must see that.
    if (position == format::kTombstone || LoadAcquire(cell.hash) != hash) continue;
    if (!matcher.Matches(Position(position), id)) continue;
    *found = Position(position);
    return &cell;
  }
  return nullptr;
}

format::IndexCell* IndexTable::CellOf(uint64_t hash, Position position) const {
  for (uint64_t probe = 0; probe <= mask_; ++probe) {
    format::IndexCell& cell = cells_[(hash + probe) & mask_];
    const uint64_t held = LoadRelaxed(cell.position);
    if (held == 0) return nullptr;
    if (held == position.raw()) return &cell;
  }
  return nullptr;
}

format::IndexCell* IndexTable::EmptyCell(uint64_t hash) const {
  for (uint64_t probe = 0; probe <= mask_; ++probe) {
    format::IndexCell& cell = cells_[(hash + probe) & mask_];
    if (LoadRelaxed(cell.position) == 0) return &cell;
  }
  return nullptr;
}

bool IndexTable::Assign(uint64_t hash, std::string_view id, Position position, const IdMatcher& matcher) const {
  if (format::IndexCell* cell = FindCell(hash, id, matcher)) {
    StoreRelease(cell->position, position.raw());
    return false;
  }
  format::IndexCell* cell = EmptyCell(hash);
  // Room was reserved before the commit. A table without any is of a cache that somebody cut short, which is told
  // later.
  if (cell == nullptr) return false;
  Fill(*cell, hash, position);
  return true;
}

uint64_t IndexTable::CountUsed() const {
  uint64_t used = 0;
  for (uint64_t at = 0; at <= mask_; ++at) used += LoadRelaxed(cells_[at].position) != 0 ? 1 : 0;
  return used;
}

uint32_t CellsLog2For(uint64_t entries) {
  uint32_t log2 = 9;
  while (GrowAtCells(uint64_t{1} << log2) <= entries) ++log2;
  return log2;
}

}  // namespace thermocline::store
