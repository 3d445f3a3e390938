// For tests of decoders: bytes in a heap block of exactly their size, so that AddressSanitizer sees any read beyond.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace thermocline::test {

class ExactCopy {
 public:
  explicit ExactCopy(std::string_view bytes) : size_(bytes.size()), bytes_(std::make_unique<char[]>(bytes.size())) {
    if (size_ > 0) std::memcpy(bytes_.get(), bytes.data(), size_);
  }
  std::span<const char> span() const { return {bytes_.get(), size_}; }
  char* data() { return bytes_.get(); }

  /// Whether a view lies within these bytes.
  bool Holds(std::string_view view) const {
    return view.data() >= bytes_.get() && view.data() + view.size() <= bytes_.get() + size_;
  }

 private:
  size_t size_;
  std::unique_ptr<char[]> bytes_;
};

}  // namespace thermocline::test
