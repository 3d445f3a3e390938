#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "core/io/mapping.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // <linux/mman.h> since Linux 5.14
#endif

namespace thermocline::io {
namespace {

constexpr uint64_t kPage = 4096;  // madvise wants page starts; larger pages only make the range generous

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      length_(std::exchange(other.length_, 0)),
      guard_(std::exchange(other.guard_, nullptr)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Unmap();
    data_ = std::exchange(other.data_, nullptr);
    length_ = std::exchange(other.length_, 0);
    guard_ = std::exchange(other.guard_, nullptr);
  }
  return *this;
}

Mapping::~Mapping() { Unmap(); }

void Mapping::Unmap() {
  if (guard_ != nullptr) UnguardRange(guard_);
  guard_ = nullptr;
  if (data_ != nullptr) ::munmap(data_, length_);
  data_ = nullptr;
  length_ = 0;
}

Result<Mapping> Mapping::Map(const File& file, uint64_t offset, uint64_t length, Kind kind, FileWatch watch) {
  const int protection = kind == Kind::kSharedReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
  const int flags = kind == Kind::kPrivate ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED | MAP_NORESERVE;
  void* data = ::mmap(nullptr, length, protection, flags, file.descriptor(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) return Status::FromErrno(errno, file.role());
  // A forked child has no participant of its own: better no mapping there than one that can write unseen.
  ::madvise(data, length, MADV_DONTFORK);
  Mapping mapping;
  mapping.data_ = static_cast<char*>(data);
  mapping.length_ = length;
  mapping.guard_ =
      GuardRange(data, length, offset, file.descriptor(), file.role(), kind == Kind::kPrivate, std::move(watch));
  return mapping;
}

void Mapping::Populate(uint64_t offset, uint64_t length) const {
  const uint64_t from = offset & ~(kPage - 1);
  const uint64_t to = (offset + length + kPage - 1) & ~(kPage - 1);
  ::madvise(data_ + from, to - from, MADV_POPULATE_WRITE);
}

void Mapping::AdviseRandom() const { ::madvise(data_, length_, MADV_RANDOM); }

}  // namespace thermocline::io
