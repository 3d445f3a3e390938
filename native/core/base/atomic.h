// The one doorway to atomics on mapped words.
//
// A mapped word is plain memory of a file that several processes map, so std::atomic_ref is used and
// nothing else ever touches the word. 4 and 8 bytes are lock-free and therefore address-free, which is
// what makes them work between processes (C++20 [atomics.lockfree]).
#pragma once

#include <atomic>
#include <cstdint>

namespace thermocline {

static_assert(std::atomic_ref<uint32_t>::is_always_lock_free);
static_assert(std::atomic_ref<uint64_t>::is_always_lock_free);

template <typename T>
inline T LoadAcquire(const T& word) {
  // The cast drops const only: std::atomic_ref<const T> is C++26.
  return std::atomic_ref<T>(const_cast<T&>(word)).load(std::memory_order_acquire);
}

template <typename T>
inline T LoadRelaxed(const T& word) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(std::memory_order_relaxed);
}

template <typename T>
inline void StoreRelease(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}

template <typename T>
inline void StoreRelaxed(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_relaxed);
}

template <typename T>
inline T FetchAdd(T& word, T value) {
  return std::atomic_ref<T>(word).fetch_add(value, std::memory_order_acq_rel);
}

template <typename T>
inline T FetchOr(T& word, T value) {
  return std::atomic_ref<T>(word).fetch_or(value, std::memory_order_acq_rel);
}

template <typename T>
inline T Exchange(T& word, T value) {
  return std::atomic_ref<T>(word).exchange(value, std::memory_order_acq_rel);
}

/// On failure `expected` holds what was seen.
template <typename T>
inline bool CompareExchange(T& word, T& expected, T desired) {
  return std::atomic_ref<T>(word).compare_exchange_strong(expected, desired, std::memory_order_acq_rel,
                                                          std::memory_order_acquire);
}

}  // namespace thermocline
