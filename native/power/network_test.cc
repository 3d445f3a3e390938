// File systems of other machines are refused (design R10): locks and mappings there do not mean what this store needs.
// The type that the system tells is put in its place; no network file system is mounted here.

#include "power/system_calls.h"
#include "test/store_fixture.h"

namespace thermocline::power {
namespace {

constexpr uint32_t kNetwork[] = {0x6969,     0x517B,     0xFE534D42, 0xFF534D42, 0x01021997,
                                 0x5346414F, 0x73757245, 0x00C36400, 0x564C};
constexpr uint32_t kLocal[] = {0xEF53 /* ext4 */, 0x58465342 /* xfs */, 0x9123683E /* btrfs */, 0x01021994 /* tmpfs */,
                               0x794C7630 /* overlay */};

store::OpenOptions Options(bool allowed) {
  store::OpenOptions options;
  options.dimensions = 2;
  options.lock_timeout_us = test::kLockTimeout;
  options.allow_network_file_system = allowed;
  return options;
}

TEST(NetworkFileSystem, IsRefusedBeforeAnythingIsMadeUnlessItIsAllowed) {
  for (const uint32_t type : kNetwork) {
    const TempDirectory directory;
    const std::string path = directory.Join("store");
    const OtherFileSystem remote(type);
    EXPECT_ERROR(store::Store::Open(path, Options(false)), ErrorCode::kNetworkFs);
    std::error_code error;
    EXPECT_TRUE(!std::filesystem::exists(path, error) || std::filesystem::is_empty(path, error));
    const auto allowed = store::Store::Open(path, Options(true));
    ASSERT_OK(allowed);
    EXPECT_OK(test::PutText(**allowed, "a", "1"));
    EXPECT_OK((*allowed)->Close());
    EXPECT_ERROR(store::Store::Open(path, Options(false)), ErrorCode::kNetworkFs);
  }
}

TEST(NetworkFileSystem, ALocalOneIsNotTakenForOne) {
  for (const uint32_t type : kLocal) {
    const TempDirectory directory;
    const OtherFileSystem local(type);
    const auto opened = store::Store::Open(directory.Join("store"), Options(false));
    ASSERT_OK(opened);
    EXPECT_OK((*opened)->Close());
  }
}

}  // namespace
}  // namespace thermocline::power
