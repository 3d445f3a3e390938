// Mapped segments by number, found without a lock.
//
// Two levels, because numbers are never reused: a store that was rewritten for years has large ones, and few. Chunks of
// numbers that share a place in the upper level, four million apart, form a chain, the youngest first.
// Thread rule: Get from anywhere; the rest by one thread at a time (Store::map_mutex_). What Get gave stays mapped
// while the caller's Pin stands (pins.h).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "core/store/segment.h"

namespace thermocline::store {

class SegmentTable {
 public:
  /// nullptr when the segment is not mapped.
  Segment* Get(SegmentNumber number) const {
    const uint32_t raw = Raw(number);
    const Chunk* chunk =
        Find(chunks_[PlaceOf(raw)].load(std::memory_order_acquire), raw);  // pairs with the release in Put
    return chunk == nullptr ? nullptr : chunk->segments[raw % kChunkSize].load(std::memory_order_acquire);
  }

  void Put(std::shared_ptr<Segment> segment) {
    const uint32_t raw = Raw(segment->number());
    Chunk* const first = chunks_[PlaceOf(raw)].load(std::memory_order_relaxed);
    Chunk* chunk = Find(first, raw);
    if (chunk == nullptr) {
      owned_chunks_.push_back(std::make_unique<Chunk>(raw / kChunkSize, first));
      chunk = owned_chunks_.back().get();
      chunks_[PlaceOf(raw)].store(chunk, std::memory_order_release);
    }
    chunk->segments[raw % kChunkSize].store(segment.get(), std::memory_order_release);  // pairs with the acquire in Get
    owned_.push_back(std::move(segment));
  }

  /// Out of reach: Get finds it no more. The caller decides when it goes.
  std::shared_ptr<Segment> Take(SegmentNumber number) {
    const uint32_t raw = Raw(number);
    const auto at =
        std::find_if(owned_.begin(), owned_.end(), [&](const auto& segment) { return segment->number() == number; });
    if (at == owned_.end()) return nullptr;
    Chunk* chunk = Find(chunks_[PlaceOf(raw)].load(std::memory_order_relaxed), raw);
    // Release, though nothing is handed over: what orders it for readers is the barrier of the Grace that follows.
    chunk->segments[raw % kChunkSize].store(nullptr, std::memory_order_release);
    std::shared_ptr<Segment> taken = std::move(*at);
    owned_.erase(at);
    return taken;
  }

  const std::vector<std::shared_ptr<Segment>>& owned() const { return owned_; }

  void Clear() {
    for (auto& chunk : chunks_) chunk.store(nullptr, std::memory_order_release);
    owned_chunks_.clear();
    owned_.clear();
  }

 private:
  static constexpr uint32_t kChunks = 4096;
  static constexpr uint32_t kChunkSize = 1024;
  struct Chunk {
    Chunk(uint32_t of, Chunk* before) : number(of), next(before) {}
    const uint32_t number;  // of the segments in it, divided by kChunkSize
    Chunk* const next;
    std::array<std::atomic<Segment*>, kChunkSize> segments{};
  };

  static uint32_t PlaceOf(uint32_t raw) { return raw / kChunkSize % kChunks; }
  static Chunk* Find(Chunk* chunk, uint32_t raw) {
    while (chunk != nullptr && chunk->number != raw / kChunkSize) chunk = chunk->next;
    return chunk;
  }

  std::array<std::atomic<Chunk*>, kChunks> chunks_{};
  std::vector<std::unique_ptr<Chunk>> owned_chunks_;
  std::vector<std::shared_ptr<Segment>> owned_;
};

}  // namespace thermocline::store
