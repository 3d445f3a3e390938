// Metadata cut into values natively, so that JavaScript makes the object without parsing a text.
//
// Memories of one store share a handful of shapes: the same keys in the same order. A shape that is known has a number,
// under which src/ keeps its keys; what crosses per read is the values alone, as numbers. Only flat objects are cut;
// whatever is not (nesting, escapes, too many keys, a shape not seen before) is left to JSON.parse, which also
// judges what is damaged. So this decides nothing but how fast a read is.
// Thread rule: one per handle, used by its thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace thermocline::binding {

class MetadataShapes {
 public:
  static constexpr size_t kValuesMax = 16;
  /// First number of a value: the place of a string's first unit and of the one after its last follows; or one of
  /// these, and of a number the number follows. No place is negative, so one comparison tells them apart.
  enum ValueKind : int { kNumber = -1, kTrue = -2, kFalse = -3, kNull = -4 };
  static constexpr size_t kNumbersPerValue = 2;

  struct Shape {
    uint32_t number = 0;   // from 1; 0: not cut
    uint32_t version = 0;  // another one: the number stands for other keys than before
  };

  /// Cuts ASCII metadata. `values`: room for kValuesMax of them.
  Shape Cut(std::string_view metadata, double* values);

 private:
  static constexpr size_t kShapes = 32;
  static constexpr size_t kKeyBytesMax = 240;
  /// So often in a row a place must have been wanted for other keys before it is given to them: shapes that take turns
  /// would make src/ learn one at every read, which costs more than parsing.
  static constexpr uint32_t kMissesMax = 8;

  struct Place {
    uint32_t version = 0;
    uint32_t misses = 0;
    uint32_t key_bytes = 0;
    bool cut = false;
    std::array<char, kKeyBytesMax> keys;
  };

  /// The shape of keys that stand one after the other, each followed by a quote.
  Shape Find(std::string_view keys);

  std::array<Place, kShapes> places_;
};

}  // namespace thermocline::binding
