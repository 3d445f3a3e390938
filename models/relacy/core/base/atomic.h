// Stands in for native/core/base/atomic.h: the same functions, which know from where they are called, so that each
// call's order can be weakened by itself.
#pragma once

#include "memory.h"

namespace thermocline {

using modelled::Place;

template <typename T>
T LoadAcquire(const T& word, Place place = Place::Here()) {
  return modelled::Cell<T>(word).Load(std::memory_order_acquire, place);
}

template <typename T>
T LoadRelaxed(const T& word, Place place = Place::Here()) {
  return modelled::Cell<T>(word).Load(std::memory_order_relaxed, place);
}

template <typename T>
void StoreRelease(T& word, T value, Place place = Place::Here()) {
  modelled::Cell<T>(word).Store(value, std::memory_order_release, place);
}

template <typename T>
void StoreRelaxed(T& word, T value, Place place = Place::Here()) {
  modelled::Cell<T>(word).Store(value, std::memory_order_relaxed, place);
}

template <typename T>
T FetchAdd(T& word, T value, Place place = Place::Here()) {
  return modelled::Cell<T>(word).FetchAdd(value, std::memory_order_acq_rel, place);
}

template <typename T>
T Exchange(T& word, T value, Place place = Place::Here()) {
  return modelled::Cell<T>(word).Exchange(value, std::memory_order_acq_rel, place);
}

template <typename T>
bool CompareExchange(T& word, T& expected, T desired, Place place = Place::Here()) {
  return modelled::Cell<T>(word).CompareExchange(expected, desired, std::memory_order_acq_rel,
                                                 std::memory_order_acquire, place);
}

}  // namespace thermocline
