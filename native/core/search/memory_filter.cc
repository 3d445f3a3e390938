#include "core/search/memory_filter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <utility>

#include "core/base/planted.h"
#include "core/search/caches.h"
#include "core/search/record_ahead.h"
#include "core/store/log_reader.h"

namespace thermocline::search {
namespace {

constexpr uint64_t kAll = ~uint64_t{0};

// Memories that are asked to learn how many match: until so many matched, or so many were asked, or so many sets of 64
// slots looked at.
constexpr uint64_t kSampleMatches = 4;
constexpr uint64_t kSampleMin = 24;
constexpr uint64_t kSampleMax = 512;
constexpr uint64_t kSampleWordsMax = 512;
constexpr uint64_t kSampleWordsKnown = 256;  // when nothing in them had to be asked
// What asking a record out of turn costs, with the score that was computed in vain: in records that may match and are
// asked in turn, and in keys that are read. Keys are read from records side by side: 0.155 us each beside 0.9.
constexpr double kSingly = 4;
constexpr double kSinglyInKeys = 6;
// Each path is read by a walk of its own, while one look at a record answers for all paths. For a few that is no
// matter: the next filter has need of them too.
constexpr size_t kPathsLearntAtOnce = 6;
constexpr size_t kPathsLearntMax = LearntKeys::kPathsMax;
// Bounds of sketches are wide, so more is looked at than scores alone would ask for: four times as much, reckoned from
// the time of searches where one memory in a hundred matches, not counted.
constexpr double kReachedByBounds = 4;

/// Calls `visit` with the number of each bit that is on.
template <typename Visit>
void ForEachBit(uint64_t bits, Visit visit) {
  for (; bits != 0; bits &= bits - 1) visit(static_cast<uint32_t>(std::countr_zero(bits)));
}

/// Bits of the slots [first, end) in a word.
uint64_t BitsWithin(uint32_t word, uint32_t first, uint32_t end) {
  const uint32_t base = word * 64;
  uint64_t bits = kAll;
  if (first > base) bits &= kAll << (first - base);
  if (end < base + 64) bits &= kAll >> (base + 64 - end);
  return bits;
}

/// Some values of which there are nearly always few.
template <typename T>
class FewOf {
 public:
  explicit FewOf(size_t count) {
    if (count > few_.size()) many_.reset(new T[count]());
  }
  T* data() { return many_ == nullptr ? few_.data() : many_.get(); }
  T& operator[](size_t at) { return data()[at]; }

 private:
  std::array<T, 16> few_{};
  std::unique_ptr<T[]> many_;
};

}  // namespace

filter::Columns ColumnsOf(const store::Segment& segment, Slot slot) {
  return {&segment.created_at(slot), &segment.confidence(slot), &segment.statistics(slot).last_access};
}

uint32_t SlotMask::Next(uint32_t slot, uint32_t end) const {
  while (slot < end) {
    const uint64_t rest = words_[slot / 64 - first_word_] >> (slot % 64);
    if (rest != 0) return std::min(end, slot + static_cast<uint32_t>(std::countr_zero(rest)));
    slot = (slot / 64 + 1) * 64;
  }
  return end;
}

uint64_t SlotMask::Count() const {
  uint64_t count = 0;
  for (const uint64_t word : words_) count += static_cast<uint64_t>(std::popcount(word));
  return count;
}

MemoryFilter::MemoryFilter(store::Store& store, const store::Snapshot& snapshot, const filter::Filter& filter,
                           uint64_t limit, uint32_t threads, const std::atomic<bool>& cancel)
    : snapshot_(snapshot), filter_(filter), cancel_(cancel), threads_(threads) {
  bool has_records = false;
  for (const store::Snapshot::Part& part : snapshot.parts) parts_.push_back({part.segment, {}, {}, {}});
  AnswerCache& cache = SearchCaches::Of(store).answers;
  for (const filter::Leaf& leaf : filter.leaves()) {
    conditions_.push_back(leaf.of_record() ? cache.Get(leaf.text) : nullptr);
    has_records = has_records || leaf.of_record();
    const auto answers = leaf.of_record() ? conditions_.back()->Of(snapshot)
                                          : std::vector<std::shared_ptr<SegmentAnswers>>(parts_.size());
    for (size_t i = 0; i < parts_.size(); ++i) parts_[i].answers.push_back(answers[i]);
  }
  std::sort(parts_.begin(), parts_.end(),
            [](const Part& a, const Part& b) { return std::less<>()(a.segment, b.segment); });
  FindKeys(store);
  if (cancel_.load(std::memory_order_relaxed)) return;
  asks_all_ = !has_records;
  if (asks_all_) return;
  Sample sample = TakeSample();
  if (LearnKeys(store, sample, limit)) sample = TakeSample();
  share_ = ShareOf(sample);
  asks_all_ = IsAskingAllBest(sample, limit, SpentOnConditions());
  asked_.store(0, std::memory_order_relaxed);  // the sample is not what asking one by one costs
}

void MemoryFilter::FindKeys(store::Store& store) {
  const size_t leaves = filter_.leaves().size();
  key_conditions_.resize(leaves);
  learnt_.resize(leaves);
  for (Part& part : parts_) part.keys.resize(leaves);
  FindIndexed(store, FieldIndex::Of(store));
  FindLearnt(store);
}

/// Of the leaves whose paths are indexed.
void MemoryFilter::FindIndexed(store::Store& store, FieldIndex& index) {
  const std::shared_ptr<const IndexedPaths> paths = index.paths();
  if (paths == nullptr) return;
  std::vector<std::pair<size_t, size_t>> columns;  // leaf, number of its path
  for (size_t i = 0; i < filter_.leaves().size(); ++i) {
    const filter::Leaf& leaf = filter_.leaves()[i];
    if (leaf.field != filter::Field::kMetadata) continue;
    const std::optional<size_t> path = paths->Find(filter_.PathOf(leaf));
    if (!path) continue;
    key_conditions_[i].emplace(leaf.condition, store.hash_key());
    columns.emplace_back(i, *path);
  }
  if (columns.empty()) return;
  for (const store::Snapshot::Part& wanted : snapshot_.parts) {
    if (cancel_.load(std::memory_order_relaxed)) return;
    if (wanted.slots == 0) continue;
    const std::shared_ptr<const SegmentKeys> keys = index.KeysOf(store, *paths, wanted, cancel_);
    if (keys == nullptr) continue;
    Part& part = PartOf(*wanted.segment);
    part.holds.push_back(keys);
    for (const auto& [leaf, path] : columns) part.keys[leaf] = keys->Column(path);
  }
}

/// Of those whose paths are not, where earlier filters had them read.
void MemoryFilter::FindLearnt(store::Store& store) {
  LearntKeys& learnt = SearchCaches::Of(store).learnt;
  for (size_t i = 0; i < filter_.leaves().size(); ++i) {
    const filter::Leaf& leaf = filter_.leaves()[i];
    if (leaf.field != filter::Field::kMetadata || key_conditions_[i]) continue;
    learnt_[i] = learnt.Get(filter_.PathOf(leaf));
    if (learnt_[i]->learnt()) UseLearnt(store, i);
  }
}

void MemoryFilter::UseLearnt(const store::Store& store, size_t leaf) {
  key_conditions_[leaf].emplace(filter_.leaves()[leaf].condition, store.hash_key());
  const auto keys = learnt_[leaf]->Learn(store, snapshot_, threads_, cancel_);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] == nullptr) continue;
    Part& part = PartOf(*snapshot_.parts[i].segment);
    part.holds.push_back(keys[i]);
    part.keys[leaf] = keys[i]->Column(0);
  }
}

/// Has keys read where that pays and they can answer. False: nothing new is known.
bool MemoryFilter::LearnKeys(const store::Store& store, const Sample& sample, uint64_t limit) {
  std::vector<size_t> useful;
  uint64_t spent = 0;
  for (size_t i = 0; i < learnt_.size(); ++i) {
    if (learnt_[i] == nullptr || learnt_[i]->learnt()) continue;
    if (!filter::KeyCondition(filter_.leaves()[i].condition, store.hash_key()).answers()) continue;
    useful.push_back(i);
    spent = std::max(spent, learnt_[i]->asked_singly());
  }
  // More than are kept would be read again by every search.
  if (useful.empty() || useful.size() > kPathsLearntMax || sample.unknown == 0) return false;
  const double singly = kReachedByBounds * ReachedByScores(sample, limit) * UnknownOf(sample);
  const double walks = useful.size() <= kPathsLearntAtOnce ? 1 : static_cast<double>(useful.size());
  const double keys = sample.memories * UnknownOf(sample);
  if ((std::min(singly, keys) + static_cast<double>(spent)) * kSinglyInKeys < keys * walks) return false;
  for (const size_t leaf : useful) UseLearnt(store, leaf);
  return true;
}

MemoryFilter::~MemoryFilter() {
  if (asks_all_) return;
  const uint64_t asked = asked_.load(std::memory_order_relaxed);
  for (const auto& condition : conditions_) {
    if (condition != nullptr) condition->AddAskedSingly(asked);
  }
  for (const auto& path : learnt_) {
    if (path != nullptr) path->AddAskedSingly(asked);
  }
}

double MemoryFilter::ShareOf(const Sample& sample) {
  return (static_cast<double>(sample.matches) + 0.5) / (static_cast<double>(sample.asked) + 0.5);
}

/// Records that earlier searches asked one by one for these conditions.
uint64_t MemoryFilter::SpentOnConditions() const {
  uint64_t spent = UINT64_MAX;
  for (const auto& condition : conditions_) {
    if (condition != nullptr) spent = std::min(spent, condition->asked_singly());
  }
  return spent;
}

/// By what is expected of this search, and what earlier ones asked one by one.
bool MemoryFilter::IsAskingAllBest(const Sample& sample, uint64_t limit, uint64_t spent) {
  if (sample.unknown == 0) return true;
  const double unknown = UnknownOf(sample);
  return (ReachedByScores(sample, limit) * unknown + static_cast<double>(spent)) * kSingly >= sample.memories * unknown;
}

/// The share of records in what may match.
double MemoryFilter::UnknownOf(const Sample& sample) {
  return static_cast<double>(sample.unknown) / static_cast<double>(sample.asked);
}

/// Memories that are looked at in any order until the best that match are found, if their scores are known.
double MemoryFilter::ReachedByScores(const Sample& sample, uint64_t limit) {
  const double wanted = static_cast<double>(limit) / ShareOf(sample);
  // The i-th memory looked at is among the `wanted` best so far with a probability of wanted / i.
  return std::min(sample.memories, wanted * (1 + std::log(std::max(1.0, sample.memories / wanted))));
}

/// Looks at sets of 64 slots all over the snapshot, and asks one memory of each.
MemoryFilter::Sample MemoryFilter::TakeSample() const {
  uint64_t slots = 0;
  for (const store::Snapshot::Part& part : snapshot_.parts) slots += part.slots;
  Sample sample;
  uint64_t looked_at = 0;
  uint64_t possible = 0;
  const uint64_t words_max = std::min(slots / 64 + 1, kSampleWordsMax);
  uint64_t words = 0;
  while (slots > 0 && words < words_max && sample.asked < kSampleMax) {
    if (sample.asked >= kSampleMin && (sample.matches >= kSampleMatches || sample.unknown == 0)) break;
    if (words >= kSampleWordsKnown && sample.unknown == 0) break;
    // Steps of the golden ratio are spread evenly wherever they end (Weyl, 1916).
    const double place = std::fmod(static_cast<double>(words++) * 0.6180339887498949, 1.0);
    auto at = static_cast<uint64_t>(place * static_cast<double>(slots));
    size_t part = 0;
    while (at >= snapshot_.parts[part].slots) at -= snapshot_.parts[part++].slots;
    const store::Segment& segment = *snapshot_.parts[part].segment;
    const auto word = static_cast<uint32_t>(at / 64);
    const uint64_t within = BitsWithin(word, 0, snapshot_.parts[part].slots);
    const filter::Lanes known = AskKnown(PartOf(segment), word);
    const uint64_t open = LiveSlots(segment, word, within & ~known.no);
    looked_at += static_cast<uint64_t>(std::popcount(within));
    possible += static_cast<uint64_t>(std::popcount(open));
    // The first possible one from a place on that is another in each set.
    const uint64_t from = open & kAll << at % 64;
    const uint64_t bit = from != 0 ? from & (~from + 1) : open & (~open + 1);
    if (bit == 0) continue;
    ++sample.asked;
    if ((bit & ~known.yes) != 0) ++sample.unknown;
    const auto slot = static_cast<Slot>(word * 64 + static_cast<uint32_t>(std::countr_zero(bit)));
    if (Matches(segment, slot)) ++sample.matches;
  }
  if (looked_at > 0) {
    sample.memories = static_cast<double>(slots) * static_cast<double>(possible) / static_cast<double>(looked_at);
  }
  return sample;
}

MemoryFilter::Part& MemoryFilter::PartOf(const store::Segment& segment) {
  return const_cast<Part&>(std::as_const(*this).PartOf(segment));
}

const MemoryFilter::Part& MemoryFilter::PartOf(const store::Segment& segment) const {
  return *std::lower_bound(parts_.begin(), parts_.end(), &segment, [](const Part& part, const store::Segment* wanted) {
    return std::less<>()(part.segment, wanted);
  });
}

/// Those of the wanted slots that belong to the snapshot.
uint64_t MemoryFilter::LiveSlots(const store::Segment& segment, uint32_t word, uint64_t wanted) const {
  uint64_t live = 0;
  ForEachBit(wanted,
             [&](uint32_t i) { live |= uint64_t{snapshot_.Holds(segment, static_cast<Slot>(word * 64 + i))} << i; });
  return live;
}

void MemoryFilter::Mark(const store::Segment& segment, uint32_t first, uint32_t end, SlotMask* mask) const {
  mask->Reset(first, end);
  const Part& part = PartOf(segment);
  uint32_t word = mask->first_word();
  for (uint64_t& bits : mask->words()) {
    const uint64_t wanted = BitsWithin(word, first, end);
    filter::Lanes answer = AskKnown(part, word);
    const uint64_t undecided = wanted & ~(answer.yes | answer.no);
    if (asks_all_ && undecided != 0 && !cancel_.load(std::memory_order_relaxed)) {
      AskRecords(part, word, LiveSlots(segment, word, undecided));
      answer = AskKnown(part, word);
    }
    bits = wanted & (asks_all_ ? answer.yes : ~answer.no);
    ++word;
  }
}

bool MemoryFilter::Matches(const store::Segment& segment, Slot slot) const {
  const Part& part = PartOf(segment);
  const uint32_t word = Raw(slot) / 64;
  const uint64_t bit = uint64_t{1} << Raw(slot) % 64;
  filter::Lanes answer = AskKnown(part, word);
  if ((bit & ~(answer.yes | answer.no)) != 0) {
    AskRecords(part, word, bit);
    answer = AskKnown(part, word);
  }
  return (bit & answer.yes) != 0;
}

/// What columns and earlier answers say of 64 slots; nothing that is right of those that are not committed.
filter::Lanes MemoryFilter::AskKnown(const Part& part, uint32_t word) const {
  FewOf<filter::Lanes> lanes(conditions_.size());
  for (size_t leaf = 0; leaf < conditions_.size(); ++leaf) {
    if (part.answers[leaf] == nullptr) {
      lanes[leaf] = AskColumn(filter_.leaves()[leaf], *part.segment, word);
      continue;
    }
    if (part.keys[leaf] != nullptr) {
      lanes[leaf] = key_conditions_[leaf]->Ask(part.keys[leaf] + size_t{word} * filter::kKeysAtOnce);
      if ((lanes[leaf].yes | lanes[leaf].no) == kAll) continue;
    }
    const filter::Lanes answered = part.answers[leaf]->Get(word);
    // What keys answer is certain too, so no bit is in both.
    lanes[leaf] = {lanes[leaf].yes | answered.yes, lanes[leaf].no | answered.no};
  }
  return filter_.Combine(lanes.data());
}

filter::Lanes MemoryFilter::AskColumn(const filter::Leaf& leaf, const store::Segment& segment, uint32_t word) const {
  if (IsPlanted(Fault::kColumnSkipped)) return {kAll, 0};
  const auto slot = static_cast<Slot>(word * 64);
  std::array<double, 64> numbers;
  if (leaf.field == filter::Field::kLastAccess) {
    const format::Statistics* const statistics = &segment.statistics(slot);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = LoadRelaxed(statistics[i].last_access);
  } else {
    const uint64_t* const bits =
        leaf.field == filter::Field::kCreatedAt ? &segment.created_at(slot) : &segment.confidence(slot);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::bit_cast<double>(LoadRelaxed(bits[i]));
  }
  const bool impossible = leaf.condition.existence() == filter::Existence::kMustNot;
  const uint64_t holds = impossible ? 0 : leaf.condition.HoldsForNumbers(numbers.data(), numbers.size());
  return {holds, ~holds};
}

/// Notes what the records of the wanted slots, which belong to the snapshot, answer to every condition of the filter.
void MemoryFilter::AskRecords(const Part& part, uint32_t word, uint64_t wanted) const {
  const store::Segment& segment = *part.segment;
  std::array<uint64_t, 64> offsets;
  ForEachBit(wanted, [&](uint32_t i) {
    offsets[i] = LoadRelaxed(segment.record(static_cast<Slot>(word * 64 + i)));
    PrefetchRecord(segment, offsets[i]);
  });
  ForEachBit(wanted, [&](uint32_t i) { PrefetchMetadata(segment, offsets[i]); });
  FewOf<uint64_t> yes(conditions_.size());
  FewOf<bool> answers(conditions_.size());
  uint64_t asked = 0;
  ForEachBit(wanted, [&](uint32_t i) {
    const auto record = store::ReadRecord(segment, offsets[i]);
    if (!record || !filter_.AskRecord(record->id, record->metadata, answers.data())) {
      damaged_.store(Position(segment.number(), offsets[i]).raw(), std::memory_order_relaxed);
      return;
    }
    asked |= uint64_t{1} << i;
    for (size_t leaf = 0; leaf < conditions_.size(); ++leaf) yes[leaf] |= uint64_t{answers[leaf]} << i;
  });
  asked_.fetch_add(static_cast<uint64_t>(std::popcount(asked)), std::memory_order_relaxed);
  for (size_t leaf = 0; leaf < conditions_.size(); ++leaf) {
    if (part.answers[leaf] != nullptr) part.answers[leaf]->Note(word, asked, yes[leaf] & asked);
  }
}

Status MemoryFilter::status() const {
  const Position damaged(damaged_.load(std::memory_order_relaxed));
  return damaged.none() ? Status::Ok() : Status::Corrupt(FileRole::kLog, Raw(damaged.segment()), damaged.offset());
}

}  // namespace thermocline::search
