// The words by which participants find each other, mapped by hand.
#pragma once

#include "test/store_fixture.h"

namespace thermocline::test {

class SessionByHand {
 public:
  explicit SessionByHand(const std::string& path) {
    const auto directory = io::File::OpenDirectory(path.c_str());
    EXPECT_OK(directory);
    const auto file = io::File::Open(*directory, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
    EXPECT_OK(file);
    auto map = io::Mapping::Map(*file, 0, format::kLockFileBytes, io::Mapping::Kind::kShared);
    EXPECT_OK(map);
    map_ = std::move(*map);
  }
  format::SessionWords* operator->() const { return reinterpret_cast<format::SessionWords*>(map_.data()); }
  /// How a lock word names the participant that has this number now.
  uint32_t WordOf(uint32_t number) const {
    const auto* lines = reinterpret_cast<const format::ParticipantLine*>(map_.data() + format::kParticipantsOffset);
    return store::Participant{number, lines[number].incarnation}.word();
  }

 private:
  io::Mapping map_;
};

}  // namespace thermocline::test
