// read.cc: a look-up.
namespace {

#pragma cut core/store/read.cc constexpr int kRestartsMax

}  // namespace

#pragma cut core/store/read.cc bool Store::Matches(
#pragma cut core/store/read.cc Result<MemoryRef> Store::ReadAt(
#pragma cut core/store/read.cc Status Store::CheckRecord(
#pragma cut core/store/read.cc class Store::LookUp final
#pragma cut core/store/read.cc Result<std::optional<MemoryRef>> Store::Find(
#pragma cut core/store/read.cc Position Store::PositionInIndex(
#pragma cut core/store/read.cc Result<std::optional<MemoryRef>> Store::FindOnce(
