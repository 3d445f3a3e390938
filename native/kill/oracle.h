// What a store must hold after a kill, kept outside it: in anonymous memory that the parent and its children share.
//
// Protocol. Every id has one writer, a thread that alone writes it. Before a call the writer enters what the call
// would change as pending, number of entries last; after the call has returned it stores the new values as
// acknowledged, then sets the number to 0. So at whatever instruction it dies, an id may hold its acknowledged value
// or, while entries stand, all of them the pending ones. A kept version rises with every change: no value comes twice.
// Everything is zero before a store is made: a writer that died before its first entry has promised nothing.
// Thread rule: a Region is written by its writer, and by the parent while no child lives.
#pragma once

#include <cstdint>
#include <string>

#include "core/store/store.h"
#include "test/store_fixture.h"

namespace thermocline::kill {

inline constexpr uint32_t kIdsPerWriter = 160;
inline constexpr uint32_t kWritersMax = 12;
inline constexpr uint32_t kPendingMax = 12;
inline constexpr uint32_t kDimensions = 8;

/// What an id holds: which version wrote its content and which its embedding. 0: never written.
struct Value {
  uint64_t word = 0;

  static Value Present(uint32_t content, uint32_t embedding) {
    return {(uint64_t{1} << 63) | (uint64_t{content} << 31) | embedding};
  }
  bool present() const { return (word >> 63) != 0; }
  uint32_t content() const { return static_cast<uint32_t>(word >> 31) & 0x7FFFFFFFu; }
  uint32_t embedding() const { return static_cast<uint32_t>(word) & 0x7FFFFFFFu; }
};

struct Change {
  uint32_t id;
  uint32_t unused;
  uint64_t before;
  uint64_t after;
};

struct Region {
  uint64_t acknowledged[kIdsPerWriter];
  Change pending[kPendingMax];
  uint64_t pending_count;
  uint64_t version;
  uint64_t sequence_before;  // visible when the pending call began
  uint64_t sequence_last;    // returned by the last call that did
  // Figures, and the first unexpected outcome of a call: code + 1, and where.
  uint64_t calls, busy, worst_us, worst_flush_us, worst_read_us, worst_feed_us, feeds, reads, compactions;
  uint64_t error, error_line;
};

struct Oracle {
  Region regions[kWritersMax];
  uint64_t ready;                 // children that have opened the store
  uint64_t measuring;             // not 0: calls that end now count for the worst
  uint64_t stop;                  // not 0: children end by themselves
  uint64_t stopped[kWritersMax];  // odd while the child is stopped by the parent

  /// For a new store.
  void Clear() { *this = Oracle{}; }
};

std::string IdOf(uint32_t writer, uint32_t id);
/// The memory that a value stands for. `value` present.
test::Memory MemoryOf(uint32_t writer, uint32_t id, Value value);
/// Whether the store shows exactly that value under the id.
bool Holds(store::Store& store, uint32_t writer, uint32_t id, Value value);

enum class Pending { kEither, kCommitted };

/// Expects every id of the region as the protocol says, pending changes whole or absent, and enters what it saw as
/// acknowledged. kCommitted: the pending call passed its commit, so its changes must be there.
void CheckRegion(store::Store& store, Region& region, uint32_t writer, Pending pending = Pending::kEither);

/// Expects that pending changes show when `applied` covers them and do not before (of a dead writer, unrepaired).
void CheckVisibility(store::Store& store, const Region& region, uint32_t writer);

/// R1 and R4 of a store at rest, the index equal to a full walk of the log, the size right.
void CheckWhole(store::Store& store);

}  // namespace thermocline::kill
