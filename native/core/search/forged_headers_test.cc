// Goal: a frame, record or image whose header says anything at all, under checksums that hold, is answered by a typed
// error or by what somebody could have written; nothing crashes, hangs or reads beyond a file. Method: in a store as it
// was written, and in one that was compacted, each field of some headers in turn says something else, near and far, and
// is sealed anew; then the store is opened, asked for everything, written to, compacted, verified and salvaged.

#include <cstdio>

#include "core/store/log_scan.h"
#include "test/hostile_fixture.h"

namespace thermocline::search {
namespace {

using test::HostileStore;
using test::StoreFiles;

/// A header in a log, and the frame that it lies in.
struct Place {
  std::string file;
  SegmentNumber segment{};
  uint64_t frame = 0;
  uint64_t header = 0;
  enum class Of : uint8_t { kFrame, kRecord, kImage } of = Of::kFrame;
};

struct Field {
  size_t offset;
  size_t size;
};

constexpr uint64_t kPart = 5;

// Checksums and magic numbers are not among them: those must hold.
constexpr Field kFrameFields[] = {{12, 2}, {14, 2}, {16, 8}, {24, 8}, {32, 4}, {36, 4}, {40, 8},
                                  {48, 8}, {56, 8}, {64, 8}, {72, 8}, {80, 8}, {88, 8}, {96, 4}};
constexpr Field kRecordFields[] = {{0, 4},  {4, 1},  {5, 1},  {6, 2},  {8, 8},  {16, 8}, {24, 4},
                                   {28, 4}, {32, 8}, {40, 8}, {48, 4}, {52, 4}, {56, 4}};
constexpr Field kImageFields[] = {{0, 4}, {4, 4}, {8, 4}, {16, 8}, {56, 4}, {60, 4}};

std::span<const Field> FieldsOf(Place::Of of) {
  if (of == Place::Of::kFrame) return kFrameFields;
  if (of == Place::Of::kRecord) return kRecordFields;
  return kImageFields;
}

/// Of each log: headers of its first and last frames and of one in the middle, and of a frame with images.
std::vector<Place> PlacesIn(const HostileStore& store) {
  std::vector<Place> places;
  for (const auto& [name, bytes] : store.original()) {
    if (!name.ends_with(".log")) continue;
    const auto segment = static_cast<SegmentNumber>(std::atoi(name.c_str()));
    const store::LogScan scan(bytes, segment, store::SeedState::Of(store.salt()));
    std::vector<store::ScannedFrame> frames;
    for (uint64_t at = format::kHeaderBytes; const auto frame = scan.FrameAt(at);) {
      frames.push_back(*frame);
      at += sizeof frame->header + frame->header.body_bytes;
    }
    bool with_images = false;
    for (size_t i = 0; i < frames.size(); ++i) {
      const format::FrameHeader& header = frames[i].header;
      const bool images = header.image_count > 0 && !std::exchange(with_images, with_images || header.image_count > 0);
      if (i > 1 && i != frames.size() / 2 && i + 1 != frames.size() && !images) continue;
      const uint64_t body = frames[i].offset + sizeof header;
      places.push_back({name, segment, frames[i].offset, frames[i].offset, Place::Of::kFrame});
      if (header.record_count > 0) places.push_back({name, segment, frames[i].offset, body, Place::Of::kRecord});
      if (header.image_count > 0) {
        places.push_back({name, segment, frames[i].offset, body + header.record_bytes, Place::Of::kImage});
      }
    }
  }
  return places;
}

std::vector<uint64_t> Forgeries(uint64_t value, size_t size) {
  const uint64_t most = ~uint64_t{0} >> (64 - 8 * size);
  std::set<uint64_t> forged = {0, 1, (value + 1) & most, (value - 1) & most, (value + 8) & most, most / 2, most};
  forged.erase(value);
  return {forged.begin(), forged.end()};
}

void Forge(const HostileStore& store, const Place& place, const Field& field, uint64_t value, std::string* log) {
  char* const bytes = log->data();
  std::memcpy(bytes + place.header + field.offset, &value, field.size);
  const auto seed_at = [&](uint64_t at) { return format::FrameSeed(store.salt(), Position(place.segment, at)); };
  format::RecordHeader record;
  std::memcpy(&record, bytes + place.header, sizeof record);
  const bool sealable = record.length >= sizeof record && record.length <= log->size() - place.header;
  if (place.of == Place::Of::kRecord && sealable) format::SealRecord(bytes + place.header, seed_at(place.header));
  format::FrameHeader frame;
  std::memcpy(&frame, bytes + place.frame, sizeof frame);
  const uint64_t body = place.frame + sizeof frame;
  if (frame.body_bytes <= log->size() - body) format::SealFrame(frame, seed_at(place.frame), bytes + body);
  std::memcpy(bytes + place.frame, &frame, sizeof frame);
}

void ForgeEach(HostileStore::History history) {
  HostileStore store(history);
  store.resealed_ = true;
  store.compacts_ = true;
  uint64_t forgeries = 0;
  uint64_t opened = 0;
  uint64_t turn = TestSeed();
  for (const Place& place : PlacesIn(store)) {
    for (const Field& field : FieldsOf(place.of)) {
      uint64_t value = 0;
      std::memcpy(&value, store.original().at(place.file).data() + place.header + field.offset, field.size);
      for (const uint64_t forged : Forgeries(value, field.size)) {
        // A part of them in each run, all in the night.
        if (++turn % (TestScale() > 1 ? 1 : kPart) != 0) continue;
        StoreFiles files = store.original();
        Forge(store, place, field, forged, &files[place.file]);
        store.ExpectSalvage(files);
        // Recovered from the log alone; or by the cache, as it is found after a kill.
        if (forgeries++ % 2 == 0) {
          files.erase("cache");
        } else {
          files["cache"].replace(format::kCleanOffset, sizeof(format::CleanMarker), sizeof(format::CleanMarker), '\0');
        }
        const int failures = test::FailureCount();
        std::string outcome;
        opened += store.Examine(files, false, &outcome) ? 1 : 0;
        if (test::FailureCount() == failures) continue;
        std::fflush(stdout);
        std::printf("       %s, frame at %llu, header at %llu, byte %zu: %llu for %llu -> %s\n", place.file.c_str(),
                    static_cast<unsigned long long>(place.frame), static_cast<unsigned long long>(place.header),
                    field.offset, static_cast<unsigned long long>(forged), static_cast<unsigned long long>(value),
                    outcome.c_str());
        return;
      }
    }
  }
  EXPECT_GT(opened, forgeries / 5);
  std::printf("       %llu forgeries: %llu opened, %llu answers right, %llu refused\n",
              static_cast<unsigned long long>(forgeries), static_cast<unsigned long long>(opened),
              static_cast<unsigned long long>(store.right()), static_cast<unsigned long long>(store.refused()));
}

TEST(ForgedHeaders, OfAStoreAsItWasWrittenGiveTypedErrorsOrAnswers) { ForgeEach(HostileStore::History::kWritten); }

TEST(ForgedHeaders, OfACompactedStoreGiveTypedErrorsOrAnswers) { ForgeEach(HostileStore::History::kCompacted); }

}  // namespace
}  // namespace thermocline::search
