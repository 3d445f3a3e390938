// What the models of a store share: processes that put, look up and die, and a judge who compares with the log.
#pragma once

#include "core/store/log_reader.h"
#include "core/store/snapshot.h"
#include "core/store/store.h"
#include "search.h"

namespace thermocline::store {

inline constexpr uint64_t kPatient = UINT64_MAX / 2;

/// One execution: a world and its processes. Process n is participant n + 1.
struct Execution {
  static constexpr uint32_t kProcesses = 3;
  struct Seen {
    std::string_view id;
    Sequence visible;   // when the look-up began
    Sequence sequence;  // of what it found, 0: nothing
  };

  modelled::Memory memory;
  Kernel kernel;
  World world;
  Store process[kProcesses] = {{world, 1}, {world, 2}, {world, 3}};
  std::vector<Sequence> acknowledged;
  std::vector<Seen> seen;
  /// What each snapshot held: its sequence, then the sequences of its memories.
  std::vector<std::pair<Sequence, std::vector<Sequence>>> scanned;

  void Begin() {
    memory.Begin();
    kernel.Begin();
    for (const std::shared_ptr<Segment>& segment : world.segments) memory.Share(segment.get(), sizeof *segment);
  }

  /// All ids in one frame.
  void Put(uint32_t number, std::initializer_list<std::string_view> ids, float value) {
    const float row[16] = {value};
    Batch batch({});
    for (const std::string_view id : ids) {
      PutInput put;
      put.id = id;
      put.embedding = row;
      put.confidence = value;
      batch.Put(put, false);
    }
    const Result<Sequence> sequence = process[number].Commit(batch, kPatient);
    RL_ASSERT(sequence.ok());
    acknowledged.push_back(*sequence);
  }

  void Get(uint32_t number, std::string_view id) {
    Store& store = process[number];
    // Half of them without a look of their own, which would order what follows.
    const Sequence visible = rl::rand(2) == 0 ? store.sequence() : 0;
    const Result<std::optional<MemoryRef>> found = store.Find(id, Fetch::kMemory);
    RL_ASSERT(found.ok());
    Sequence sequence = 0;
    if (found->has_value()) {
      sequence = (*found)->record.header.sequence;
      CheckBlock(*(*found)->segment, (*found)->record.slot(), (*found)->record.header.confidence);
    }
    RL_ASSERT(sequence <= modelled::Cell<uint64_t>(world.boot.applied).Newest());
    seen.push_back({id, visible, sequence});
  }

  /// Reads every slot of a snapshot as a search does: from the columns, not from the index.
  void Scan(const Snapshot& snapshot) {
    std::vector<Sequence> held;
    for (const Snapshot::Part& part : snapshot.parts) {
      for (uint32_t raw = 0; raw < part.slots; ++raw) {
        const auto slot = static_cast<Slot>(raw);
        // FieldIndex::Read and RecordAhead: whatever was born, without a look at the sequence.
        if (LoadAcquire(part.segment->born(slot)) != 0) {
          const auto born = ReadRecord(*part.segment, LoadRelaxed(part.segment->record(slot)));
          RL_ASSERT(born.has_value() && born->slot() == slot);
        }
        if (!snapshot.Holds(*part.segment, slot)) continue;
        const auto record = ReadRecord(*part.segment, LoadRelaxed(part.segment->record(slot)));
        RL_ASSERT(record.has_value() && record->slot() == slot);
        CheckBlock(*part.segment, slot, record->header.confidence);
        held.push_back(record->header.sequence);
      }
    }
    scanned.push_back({snapshot.sequence, held});
  }

  /// Lets the others go on for a while.
  static void Wait(uint32_t rounds_max = 40) {
    for (uint32_t rounds = rl::rand(rounds_max); rounds > 0; --rounds) rl::yield(1, $);
  }

  /// All of a block is there, whoever reads it.
  static void CheckBlock(const Segment& segment, Slot slot, double confidence) {
    modelled::Reads(segment.embedding(slot));
    RL_ASSERT(segment.embedding(slot)[0] == static_cast<float>(confidence));
    RL_ASSERT(std::bit_cast<double>(LoadRelaxed(segment.confidence(slot))) == confidence);
  }

  /// Runs what a process does. `steps`: it is killed at that atomic step, 0: it is not.
  template <typename Work>
  void Run(uint32_t number, uint32_t steps, Work work) {
    memory.KillAt(steps);
    try {
      work();
      memory.KillAt(0);
      memory.Step();  // dead since its last exchange
    } catch (const modelled::Killed&) {
      kernel.GivesByteBack(number + 1);
    }
  }

  /// When all have ended: the lock is taken over once more, then every word says what the log says.
  void Judge() {
    memory.EndKilling();
    Store& store = process[kProcesses - 1];
    RL_ASSERT(store.LockWrite(kPatient).ok());
    store.write_lock_->Release();
    std::vector<std::string_view> id_of = {""};
    std::vector<uint64_t> newest_of_id;
    uint32_t slots_used = 0;
    size_t size = 0;
    for (const std::shared_ptr<Segment>& segment : world.segments) {
      const Position tail(LoadAcquire(world.boot.tail));
      if (tail.none() || Raw(tail.segment()) < Raw(segment->number())) break;
      uint64_t offset = format::kHeaderBytes;
      while (Position(segment->number(), offset).raw() < tail.raw()) {
        const auto frame = ReadFrame(*segment, format::Salt{}, offset, true);
        if (!frame) break;
        uint64_t at = offset + sizeof *frame;
        for (uint32_t index = 0; index < frame->record_count; ++index) {
          const auto record = ReadRecord(*segment, at);
          RL_ASSERT(record.has_value() && record->header.sequence == id_of.size());
          RL_ASSERT(LoadAcquire(segment->born(record->slot())) == record->header.sequence);
          RL_ASSERT(LoadRelaxed(segment->record(record->slot())) == at);
          const uint32_t bit = 1u << ((Raw(segment->number()) - 1) * Segment::kSlots + Raw(record->slot()));
          RL_ASSERT((slots_used & bit) == 0);
          slots_used |= bit;
          const bool replaces = std::find(id_of.begin(), id_of.end(), record->id) != id_of.end();
          RL_ASSERT(replaces == (record->header.previous != 0));
          if (replaces) {
            const Result<MemoryRef> previous = store.ReadAt(Position(record->header.previous));
            RL_ASSERT(previous.ok() && previous->record.id == record->id);
            RL_ASSERT(LoadAcquire(previous->segment->died(previous->record.slot())) == record->header.sequence);
          }
          size += replaces ? 0 : 1;
          id_of.push_back(record->id);
          at += record->header.length;
        }
        offset += FrameBytes(*frame);
      }
    }
    const auto newest = [&](std::string_view id, Sequence up_to) {
      for (Sequence at = std::min<Sequence>(up_to, id_of.size() - 1); at > 0; --at) {
        if (id_of[at] == id) return at;
      }
      return Sequence{0};
    };
    RL_ASSERT(store.sequence() == id_of.size() - 1);
    RL_ASSERT(LoadRelaxed(world.boot.size) == size);
    RL_ASSERT(LoadRelaxed(world.boot.index_used) == size);
    for (const Sequence sequence : acknowledged) RL_ASSERT(sequence < id_of.size());
    for (const Seen& get : seen) {
      RL_ASSERT(get.sequence >= newest(get.id, get.visible));
      RL_ASSERT(get.sequence == 0 || id_of[get.sequence] == get.id);
    }
    for (auto& [sequence, held] : scanned) {
      std::vector<Sequence> alive;
      for (const std::string_view id : {"a", "b"}) {
        if (newest(id, sequence) != 0) alive.push_back(newest(id, sequence));
      }
      std::sort(alive.begin(), alive.end());
      std::sort(held.begin(), held.end());
      RL_ASSERT(held == alive);
    }
    for (const std::string_view id : id_of) {
      if (id.empty()) continue;
      const Result<std::optional<MemoryRef>> found = store.Find(id, Fetch::kMemory);
      RL_ASSERT(found.ok() && found->has_value());
      RL_ASSERT((*found)->record.header.sequence == newest(id, UINT64_MAX));
    }
  }
};

}  // namespace thermocline::store
