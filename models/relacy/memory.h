// Compiles the store's own sources against Relacy, which searches what the C++ memory model allows.
//
// Included first. Afterwards `std` means `modelled`: the standard library, but for atomics and memcpy. An atomic word
// is found by its address among Relacy's, so structs that are mapped from files stay as they are. Each place in the
// sources that names a memory order can be weakened from the command line (search.h).
//
// Plain bytes stay where they are; whoever writes or reads a record, a frame or a block says so by the address of its
// first byte, and Relacy finds two that are not ordered. Where all are ordered, the bytes are the right ones.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <sstream>
#include <stack>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

// A compare-and-swap may fail with a stronger order than it succeeds with since C++17, in Relacy only from inside.
// clang-format off
#define private public
#include <relacy/base.hpp>
#include <relacy/thread_local_ctx.hpp>
#include <relacy/context_base.hpp>
// Relacy would count every allocation, also of what lives longer than an execution.
namespace rl {
inline bool CountsAllocations() { return false; }
}  // namespace rl
#define is_ctx CountsAllocations
#include <relacy/relacy.hpp>
// clang-format on
#undef is_ctx
#undef private
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace modelled {

using namespace ::std;

/// Where the sources do something.
struct Place {
  const char* file;
  int line;
  const char* function;
  static Place Here(const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                    const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
  rl::debug_info info() const { return rl::debug_info(function, file, static_cast<unsigned>(line)); }
};

enum class Kind : uint8_t { kLoad, kStore, kExchange, kSwap, kSwapFails, kFence };
inline constexpr const char* kKindNames[] = {"load", "store", "exchange", "swap", "swap-fails", "fence"};
inline constexpr const char* kOrderNames[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};

/// A place that names an order, as the search found it.
struct Site {
  Place place;
  Kind kind;
  memory_order order;
  bool is_fence_omitted;
};

class Sites {
 public:
  /// `weakened`: "file:line:kind:order", what the search is to weaken; empty: nothing.
  static void Weaken(const string& weakened) { Asked() = weakened; }
  static const vector<Site>& All() { return List(); }
  static const Site& At(Kind kind, memory_order order, const Place& place) {
    const auto key = (static_cast<size_t>(place.line) * 8 + static_cast<size_t>(kind)) * 31 +
                     static_cast<size_t>(place.file[strlen(place.file) - 4]);
    for (size_t probe = key % kProbes;; probe = (probe + 1) % kProbes) {
      Site*& site = Table()[probe];
      if (site == nullptr) site = Add(kind, order, place);
      if (site->place.line == place.line && site->kind == kind && strcmp(site->place.file, place.file) == 0)
        return *site;
    }
  }

 private:
  static constexpr size_t kProbes = 1024;
  static vector<Site>& List() {
    static vector<Site> list = [] {
      vector<Site> reserved;
      reserved.reserve(kProbes);
      return reserved;
    }();
    return list;
  }
  static array<Site*, kProbes>& Table() {
    static array<Site*, kProbes> table{};
    return table;
  }
  static string& Asked() {
    static string asked;
    return asked;
  }
  static Site* Add(Kind kind, memory_order order, const Place& place) {
    const string name = string(place.file) + ":" + to_string(place.line) + ":" + kKindNames[static_cast<int>(kind)];
    Site site{place, kind, order, false};
    if (Asked().starts_with(name + ":")) {
      const string weaker = Asked().substr(name.size() + 1);
      site.is_fence_omitted = weaker == "none";
      for (int at = 0; at < 6; ++at) {
        if (weaker == kOrderNames[at]) site.order = static_cast<memory_order>(at);
      }
    }
    List().push_back(site);
    return &List().back();
  }
};

inline rl::memory_order OrderAt(Kind kind, memory_order order, const Place& place) {
  return static_cast<rl::memory_order>(Sites::At(kind, order, place).order);
}

/// What a thread of the model throws where it is killed. Nothing of the sources catches it.
struct Killed {};

/// All atomic words and plain bytes of one execution.
class Memory {
 public:
  static constexpr size_t kWords = 256;
  static constexpr size_t kThreadsMax = 4;

  static Memory& Now() { return *Current(); }
  Memory() { Current() = this; }
  /// Before the threads begin: a word counts from what its bytes are when it is first touched.
  void Begin() {
    for (rl::atomic<uint64_t>& word : words_) word.store(0, rl::mo_relaxed, $);
    for (rl::var<int>& data : data_) data($) = 0;
  }
  /// The calling thread dies at its nth atomic step from here on; 0: it does not.
  void KillAt(uint32_t steps) { steps_left_[rl::thread_index()] = steps; }
  /// After the threads: one of them judges.
  void EndKilling() {
    fill(begin(steps_left_), end(steps_left_), 0);
    fill(begin(is_dead_), end(is_dead_), false);
  }
  /// False: the thread is dead, and whatever a destructor does on the way out comes to nothing. Locks are given back
  /// by destructors, so a thread that is to die at an exchange leaves at its next step.
  bool Step(bool is_exchange = false) {
    const uint32_t thread = rl::thread_index();
    if (!is_dead_[thread]) {
      if (steps_left_[thread] == 0 || --steps_left_[thread] != 0) return true;
      is_dead_[thread] = true;
    }
    if (!is_exchange && uncaught_exceptions() == 0) throw Killed();
    return false;
  }

  rl::atomic<uint64_t>& Word(const void* address, uint64_t bits, uint64_t* base) {
    const size_t at = Find(word_keys_, address);
    if (word_keys_[at] == nullptr) {
      word_keys_[at] = address;
      bases_[at] = bits;
    }
    *base = bases_[at];
    return words_[at];
  }
  /// Bytes that several processes have mapped, or a file; copies to elsewhere are a thread's own business.
  void Share(const void* begin, size_t size) {
    const char* const first = static_cast<const char*>(begin);
    shared_.push_back({first, first + size});
  }
  bool IsShared(const void* address) const {
    return any_of(shared_.begin(), shared_.end(),
                  [address](const auto& range) { return range.first <= address && address < range.second; });
  }
  rl::var<int>& Data(const void* address) {
    const size_t at = Find(data_keys_, address);
    data_keys_[at] = address;
    return data_[at];
  }

 private:
  static Memory*& Current() {
    static Memory* current = nullptr;
    return current;
  }
  static size_t Find(const void* const (&keys)[kWords], const void* address) {
    for (size_t at = (reinterpret_cast<uintptr_t>(address) >> 2) % kWords, probes = 0; probes < kWords;
         at = (at + 1) % kWords, ++probes) {
      if (keys[at] == nullptr || keys[at] == address) return at;
    }
    fprintf(stderr, "the model has more than %zu words\n", kWords);
    abort();
  }

  rl::atomic<uint64_t> words_[kWords];
  rl::var<int> data_[kWords];
  const void* word_keys_[kWords] = {};
  const void* data_keys_[kWords] = {};
  uint64_t bases_[kWords] = {};
  vector<pair<const char*, const char*>> shared_;
  uint32_t steps_left_[kThreadsMax] = {};
  bool is_dead_[kThreadsMax] = {};
};

/// A plain write, or read, of what begins at the address.
inline void Writes(const void* address, const Place& place = Place::Here()) {
  Memory::Now().Data(address)(place.info()) = 1;
}
inline void Reads(const void* address, const Place& place = Place::Here()) {
  static_cast<void>(static_cast<int>(Memory::Now().Data(address)(place.info())));
}

/// One atomic word. Its bytes in memory are what it began with.
template <typename T>
class Cell {
 public:
  explicit Cell(const T& at) : word_(Memory::Now().Word(&at, Bits(at), &base_)) {}

  T Load(memory_order order, const Place& place) const {
    if (!Memory::Now().Step()) return T{};
    return Value(word_.load(OrderAt(Kind::kLoad, order, place), place.info()));
  }
  void Store(T value, memory_order order, const Place& place) {
    if (!Memory::Now().Step()) return;
    word_.store(Bits(value) - base_, OrderAt(Kind::kStore, order, place), place.info());
  }
  T Exchange(T value, memory_order order, const Place& place) {
    if (!Memory::Now().Step(true)) return T{};
    return Value(word_.exchange(Bits(value) - base_, OrderAt(Kind::kExchange, order, place), place.info()));
  }
  T FetchAdd(T value, memory_order order, const Place& place) {
    if (!Memory::Now().Step()) return T{};
    return Value(word_.fetch_add(Bits(value), OrderAt(Kind::kExchange, order, place), place.info()));
  }
  bool CompareExchange(T& expected, T desired, memory_order order, memory_order failure, const Place& place) {
    if (!Memory::Now().Step()) return false;
    uint64_t seen = Bits(expected) - base_;
    const bool swapped = Swap(seen, Bits(desired) - base_, OrderAt(Kind::kSwap, order, place),
                              OrderAt(Kind::kSwapFails, failure, place), place.info());
    if (!swapped) expected = Value(seen);
    return swapped;
  }
  /// The newest value, for the kernel and for judges.
  T Newest() const { return Value(word_.debug_value()); }
  rl::atomic<uint64_t>& word() { return word_; }

 private:
  static uint64_t Bits(const T& value) {
    uint64_t bits = 0;
    ::memcpy(&bits, &value, sizeof value);
    return bits;
  }
  T Value(uint64_t stored) const {
    const uint64_t bits = stored + base_;
    T value;
    ::memcpy(&value, &bits, sizeof value);
    return value;
  }
  using Thread = rl::thread_info_base;
  template <rl::memory_order kOrder, auto kStep>
  bool SwapFailing(uint64_t& seen, uint64_t desired, rl::memory_order failure, const rl::debug_info& info) {
    if (failure == rl::mo_relaxed) {
      return word_.template compare_swap_impl<false, kOrder, kStep, rl::mo_relaxed, &Thread::atomic_load_relaxed_rmw>(
          seen, desired, info);
    }
    return word_.template compare_swap_impl<false, kOrder, kStep, rl::mo_acquire, &Thread::atomic_load_acquire_rmw>(
        seen, desired, info);
  }
  bool Swap(uint64_t& seen, uint64_t desired, rl::memory_order order, rl::memory_order failure,
            const rl::debug_info& info) {
    switch (order) {
      case rl::mo_relaxed:
        return SwapFailing<rl::mo_relaxed, &Thread::atomic_rmw_relaxed>(seen, desired, failure, info);
      case rl::mo_acquire:
        return SwapFailing<rl::mo_acquire, &Thread::atomic_rmw_acquire>(seen, desired, failure, info);
      case rl::mo_release:
        return SwapFailing<rl::mo_release, &Thread::atomic_rmw_release>(seen, desired, failure, info);
      default:
        return SwapFailing<rl::mo_acq_rel, &Thread::atomic_rmw_acq_rel>(seen, desired, failure, info);
    }
  }

  uint64_t base_ = 0;
  rl::atomic<uint64_t>& word_;
};

template <typename T>
class atomic {
 public:
  constexpr atomic() = default;
  constexpr atomic(T value) : value_(value) {}  // NOLINT: as the real one
  T load(memory_order order = memory_order_seq_cst, Place place = Place::Here()) const {
    return Cell<T>(value_).Load(order, place);
  }
  void store(T value, memory_order order = memory_order_seq_cst, Place place = Place::Here()) {
    Cell<T>(value_).Store(value, order, place);
  }
  T exchange(T value, memory_order order = memory_order_seq_cst, Place place = Place::Here()) {
    return Cell<T>(value_).Exchange(value, order, place);
  }
  T fetch_add(T value, memory_order order = memory_order_seq_cst, Place place = Place::Here()) {
    return Cell<T>(value_).FetchAdd(value, order, place);
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order order, Place place = Place::Here()) {
    const memory_order failure = order == memory_order_acq_rel ? memory_order_acquire : order;
    return Cell<T>(value_).CompareExchange(expected, desired, order, failure, place);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order order, Place place = Place::Here()) {
    return compare_exchange_strong(expected, desired, order, place);
  }

 private:
  T value_{};
};

inline void atomic_thread_fence(memory_order order, Place place = Place::Here()) {
  if (!Memory::Now().Step()) return;
  const Site& site = Sites::At(Kind::kFence, order, place);
  if (!site.is_fence_omitted) rl::atomic_thread_fence(static_cast<rl::memory_order>(site.order), place.info());
}
inline void atomic_signal_fence(memory_order) {}

/// A lock of one process. Its own order is believed.
class mutex {
 public:
  void lock() {
    for (uint32_t free = 0;
         !Cell<uint32_t>(word_).CompareExchange(free, 1, memory_order_acq_rel, memory_order_acquire, Place::Here());
         free = 0) {
      rl::yield(1, $);
    }
  }
  void unlock() { Cell<uint32_t>(word_).Exchange(0, memory_order_acq_rel, Place::Here()); }

 private:
  uint32_t word_ = 0;
};

inline void* memcpy(void* to, const void* from, size_t size, Place place = Place::Here()) {
  if (Memory::Now().IsShared(to)) Writes(to, place);
  return ::memcpy(to, from, size);
}

}  // namespace modelled

#define std modelled
