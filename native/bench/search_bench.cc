// What a search costs without Node around it: each row is a median of interleaved runs beside the machine's own limit.
//
//   make bench && ../build-native/default/thermocline_bench [n] [dimensions] [sketch | many]
//
// With `sketch` searches by sketches alone, many times, for a profiler; with `many` batches of 4, 16 and 64 queries
// beside the same queries one by one.
//
// The limit is the time in which one thread reads the embeddings' bytes once, measured in the same run and in turns
// with the searches, because other work on the host slows both alike.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "core/search/search.h"
#include "core/store/store.h"

namespace thermocline {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kTimeout = 60000000;
constexpr uint32_t kClusters = 100;
constexpr size_t kQueries = 64;
constexpr int kRounds = 10;

/// Times of one row, in microseconds.
struct Times {
  std::vector<double> values;
  double At(double share) const {
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
  }
};

double Microseconds(const std::function<void()>& run) {
  const auto begin = Clock::now();
  run();
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

/// Unit vectors around kClusters directions, as bench/workload.mjs makes them.
class Workload {
 public:
  explicit Workload(uint32_t dimensions) : dimensions_(dimensions), centres_(size_t{kClusters} * dimensions) {
    for (uint32_t cluster = 0; cluster < kClusters; ++cluster) {
      double square = 0;
      for (uint32_t d = 0; d < dimensions; ++d) {
        const float value = uniform_(random_) - 0.5f;
        centres_[cluster * dimensions + d] = value;
        square += static_cast<double>(value) * static_cast<double>(value);
      }
      for (uint32_t d = 0; d < dimensions; ++d) {
        centres_[cluster * dimensions + d] /= static_cast<float>(std::sqrt(square));
      }
    }
  }
  std::vector<float> Next() {
    std::vector<float> vector(dimensions_);
    const float* centre = &centres_[(at_++ % kClusters) * dimensions_];
    double square = 0;
    for (uint32_t d = 0; d < dimensions_; ++d) {
      vector[d] = centre[d] + (uniform_(random_) - 0.5f) * 0.05f;
      square += static_cast<double>(vector[d]) * static_cast<double>(vector[d]);
    }
    for (float& value : vector) value /= static_cast<float>(std::sqrt(square));
    return vector;
  }

 private:
  uint32_t dimensions_;
  std::vector<float> centres_;
  std::mt19937 random_{1};
  std::uniform_real_distribution<float> uniform_{0, 1};
  uint64_t at_ = 0;
};

void Fill(store::Store& store, Workload& workload, uint64_t count) {
  store::Batch batch(store.hash_key());
  const std::string content(500, 'x');
  for (uint64_t i = 0; i < count;) {
    batch.Clear();
    for (; i < count && batch.size() < 256; ++i) {
      const std::string id = "mem-" + std::to_string(i);
      const std::vector<float> embedding = workload.Next();
      store::PutInput put;
      put.id = id;
      put.embedding = embedding;
      put.has_content = true;
      put.content = content;
      batch.Put(put, true);
    }
    if (!store.Commit(batch, kTimeout).ok()) std::abort();
  }
}

/// Reads every embedding's bytes once, doing nothing with them, as fast as one thread can: that the processor asks
/// ahead by itself is faster here than to be told.
uint64_t ReadAll(store::Store& store) {
  using Vector = uint64_t __attribute__((vector_size(16)));
  constexpr size_t kSums = 8;
  const auto snapshot = store.TakeSnapshot();
  Vector sums[kSums] = {};
  for (const store::Snapshot::Part& part : snapshot->parts) {
    const auto* vectors = reinterpret_cast<const Vector*>(part.segment->embedding(static_cast<Slot>(0)));
    const size_t count = part.slots * part.segment->layout().embedding_stride / sizeof(Vector);
    for (size_t i = 0; i + kSums <= count; i += kSums) {
      for (size_t j = 0; j < kSums; ++j) sums[j] |= vectors[i + j];
    }
  }
  uint64_t all = 0;
  for (const Vector& sum : sums) all |= sum[0] | sum[1];
  return all;
}

/// What writing a sketch takes, beside the put that it is part of.
void MeasureSketches(store::Store& store, Workload& workload) {
  constexpr size_t kCount = 4096;
  std::vector<std::vector<float>> embeddings;
  for (size_t i = 0; i < kCount; ++i) embeddings.push_back(workload.Next());
  const kernels::SketchCoder& coder = store.sketch_coder();
  const std::vector<float> centre(coder.bits(), 0.01f);
  std::vector<char> group(kernels::PrefixGroupBytes(coder.prefix_words()));
  std::vector<char> row(coder.bits());
  Times sketch, put;
  store::Batch batch(store.hash_key());
  const std::string content(500, 'x');
  const kernels::Kernels& kernels = kernels::Best();
  for (size_t i = 0; i < kCount; ++i) {
    // As a put finds it, which has just checked it: whoever comes first pays for its way from memory.
    if (kernels.sum_squares(embeddings[i].data(), embeddings[i].size()) < 0) std::abort();
    sketch.values.push_back(Microseconds([&] {
      coder.Write(embeddings[i].data(), centre.data(), {group.data(), 3, row.data()});
    }));
    const std::string id = "put-" + std::to_string(i);
    store::PutInput input;
    input.id = id;
    input.embedding = embeddings[i];
    input.has_content = true;
    input.content = content;
    batch.Clear();
    put.values.push_back(Microseconds([&] {
      batch.Put(input, true);
      if (!store.Commit(batch, kTimeout).ok()) std::abort();
    }));
  }
  std::printf(
      "put %.2f us best, %.2f us median; of it the sketch %.2f us best, %.2f us median: adds %.0f %% (median)\n",
      put.At(0), put.At(0.5), sketch.At(0), sketch.At(0.5), 100 * sketch.At(0.5) / (put.At(0.5) - sketch.At(0.5)));
}

/// Batches beside single searches, in turns; what is asked in one turn is not in the next.
void MeasureMany(store::Store& store, std::span<const std::span<const float>> queries) {
  const std::atomic<bool> never{false};
  search::SearchRequest request;
  request.threads = 1;
  for (const size_t size : {size_t{4}, size_t{16}, size_t{64}}) {
    Times many, single;
    for (int round = 0; round < 4 * kRounds; ++round) {
      for (size_t at = 0; at < queries.size(); at += size) {
        many.values.push_back(Microseconds([&] {
                                if (!search::SearchMany(store, request, queries.subspan(at, size), never).ok()) {
                                  std::abort();
                                }
                              }) /
                              static_cast<double>(size));
      }
      single.values.push_back(Microseconds([&] {
                                for (const std::span<const float> query : queries) {
                                  request.query = query;
                                  if (!search::Search(store, request, never).ok()) std::abort();
                                }
                              }) /
                              static_cast<double>(queries.size()));
    }
    std::printf("%3zu at once: best %.1f us, median %.1f us a query; one by one best %.1f us, median %.1f us\n", size,
                many.At(0), many.At(0.5), single.At(0), single.At(0.5));
  }
}

void Run(uint64_t count, uint32_t dimensions, const std::string& only) {
  const std::string path = std::filesystem::temp_directory_path() / "thermocline-search-bench";
  std::filesystem::remove_all(path);
  store::OpenOptions options;
  options.dimensions = dimensions;
  options.durability = store::Durability::kNone;
  options.expected_records = count;
  auto opened = store::Store::Open(path, options);
  if (!opened.ok()) std::abort();
  store::Store& store = **opened;
  Workload workload(dimensions);
  const double fill = Microseconds([&] { Fill(store, workload, count); });
  std::printf("n %llu, dimensions %u; put %.2f us each, in batches of 256\n", static_cast<unsigned long long>(count),
              dimensions, fill / static_cast<double>(count));
  MeasureSketches(store, workload);
  std::vector<std::vector<float>> queries;
  for (size_t i = 0; i < kQueries; ++i) queries.push_back(workload.Next());

  const std::atomic<bool> never{false};
  const auto search = [&](size_t query, uint32_t threads, bool exact) {
    search::SearchRequest request;
    request.query = queries[query];
    request.threads = threads;
    request.exact = exact;
    auto hits = search::Search(store, request, never);
    if (!hits.ok()) std::abort();
    return std::move(*hits);
  };
  if (only == "sketch") {
    Times times;
    for (size_t i = 0; i < 100 * kQueries; ++i) {
      times.values.push_back(Microseconds([&] { search(i % kQueries, 1, false); }));
    }
    std::printf("sketch best %.1f us, median %.1f us, p99 %.1f us\n", times.At(0), times.At(0.5), times.At(0.99));
    return;
  }
  const std::vector<std::span<const float>> all(queries.begin(), queries.end());
  if (only == "many") return MeasureMany(store, all);
  Times read, exact1, exact2, sketch1, sketch2, many, one_by_one;
  volatile uint64_t sink = 0;
  double kept = 0;
  double asked = 0;
  for (size_t i = 0; i < kQueries; ++i) {
    read.values.push_back(Microseconds([&] { sink = ReadAll(store); }));
    std::vector<search::SearchHit> exact, sketch;
    exact1.values.push_back(Microseconds([&] { exact = search(i, 1, true); }));
    exact2.values.push_back(Microseconds([&] { search(i, 2, true); }));
    search(i, 1, false);  // what the exact scan drove out of the caches comes back
    for (int round = 0; round < kRounds; ++round) {
      const size_t query = (i + static_cast<size_t>(round)) % kQueries;
      sketch1.values.push_back(Microseconds([&] { search(query, 1, false); }));
      sketch2.values.push_back(Microseconds([&] { search(query, 2, false); }));
    }
    sketch = search(i, 1, false);
    for (const search::SearchHit& hit : exact) {
      asked += 1;
      kept +=
          std::any_of(sketch.begin(), sketch.end(), [&](const auto& other) { return other.sequence == hit.sequence; })
              ? 1
              : 0;
    }
  }
  for (int round = 0; round < kRounds; ++round) {
    many.values.push_back(Microseconds([&] {
                            search::SearchRequest request;
                            request.threads = 1;
                            if (!search::SearchMany(store, request, all, never).ok()) std::abort();
                          }) /
                          static_cast<double>(kQueries));
  }
  // As many has it: each query after all the others, so that nothing of its own is still in a cache.
  for (int round = 0; round < kRounds; ++round) {
    one_by_one.values.push_back(Microseconds([&] {
                                  for (size_t i = 0; i < kQueries; ++i) search(i, 1, false);
                                }) /
                                static_cast<double>(kQueries));
  }
  static_cast<void>(sink);
  const double bytes = static_cast<double>(count) * dimensions * 4;
  const auto row = [&](const char* name, const Times& times) {
    std::printf(
        "%-16s best %9.1f us  median %9.1f us  p99 %9.1f us  %5.1f GB/s, %.2f of the limit (best), %.2f (median)\n",
        name, times.At(0), times.At(0.5), times.At(0.99), bytes / times.At(0) / 1e3, read.At(0) / times.At(0),
        read.At(0.5) / times.At(0.5));
  };
  row("read once", read);
  row("exact, 1 thread", exact1);
  row("exact, 2 threads", exact2);
  row("sketch, 1 thread", sketch1);
  row("sketch, 2 threads", sketch2);
  row("one by one", one_by_one);
  row("many, per query", many);
  std::printf("recall@10 %.4f\n", kept / asked);
  if (!store.Close().ok()) std::abort();
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace thermocline

int main(int count, char** arguments) {
  const uint64_t n = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 100000;
  const auto dimensions = static_cast<uint32_t>(count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 384);
  thermocline::Run(n, dimensions, count > 3 ? arguments[3] : "");
  return 0;
}
