#include "binding/metadata_shapes.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/base/crc32c.h"
#include "core/filter/json_reader.h"

namespace thermocline::binding {
namespace {

using filter::JsonReader;

/// Reads the value that comes next; `text`: where places are counted from. False: it is not of a flat object.
bool CutValue(JsonReader& reader, const char* text, double* value) {
  switch (reader.Peek()) {
    case JsonReader::Kind::kString: {
      const JsonReader::Text string = reader.ReadString();
      if (reader.failed() || string.escaped) return false;
      value[0] = static_cast<double>(string.raw.data() - text);
      value[1] = value[0] + static_cast<double>(string.raw.size());
      return true;
    }
    case JsonReader::Kind::kNumber:
      value[0] = MetadataShapes::kNumber;
      value[1] = reader.ReadNumber();
      return true;
    case JsonReader::Kind::kTrue:
      value[0] = MetadataShapes::kTrue;
      break;
    case JsonReader::Kind::kFalse:
      value[0] = MetadataShapes::kFalse;
      break;
    case JsonReader::Kind::kNull:
      value[0] = MetadataShapes::kNull;
      break;
    default:
      return false;
  }
  reader.Skip();
  return true;
}

/// Whether an object lists such keys in the order in which it got them, and each of them once. `keys`: as Find has
/// them.
bool AreListedInOrder(std::string_view keys) {
  std::vector<std::string_view> each;
  while (!keys.empty()) {
    const size_t length = keys.find('"');
    const std::string_view key = keys.substr(0, length);
    keys.remove_prefix(length + 1);
    // Numbers come first, whenever they were set; __proto__ is better left alone.
    const bool number = !key.empty() && key.find_first_not_of("0123456789") == std::string_view::npos;
    if (number || key == "__proto__" || std::find(each.begin(), each.end(), key) != each.end()) return false;
    each.push_back(key);
  }
  return true;
}

}  // namespace

MetadataShapes::Shape MetadataShapes::Cut(std::string_view metadata, double* values) {
  JsonReader reader(metadata, 1);
  if (reader.Peek() != JsonReader::Kind::kObject) return {};
  reader.Open();
  std::array<char, kKeyBytesMax> keys;
  size_t key_bytes = 0;
  size_t count = 0;
  JsonReader::Text key;
  while (reader.NextMember(&key)) {
    if (count == kValuesMax || key.escaped || key_bytes + key.raw.size() + 1 > keys.size()) return {};
    std::memcpy(keys.data() + key_bytes, key.raw.data(), key.raw.size());
    key_bytes += key.raw.size();
    keys[key_bytes++] = '"';  // which no such key contains
    if (!CutValue(reader, metadata.data(), values + kNumbersPerValue * count)) return {};
    ++count;
  }
  return reader.AtEnd() && count > 0 ? Find({keys.data(), key_bytes}) : Shape();
}

MetadataShapes::Shape MetadataShapes::Find(std::string_view keys) {
  const size_t at = Crc32c(0, keys.data(), keys.size()) % kShapes;
  Place& place = places_[at];
  const bool known = std::string_view(place.keys.data(), place.key_bytes) == keys;
  if (!known) {
    if (place.version != 0 && ++place.misses < kMissesMax) return {};
    ++place.version;
    place.key_bytes = static_cast<uint32_t>(keys.size());
    std::memcpy(place.keys.data(), keys.data(), keys.size());
    place.cut = AreListedInOrder(keys);
  }
  place.misses = 0;
  if (!place.cut) return {};
  return {static_cast<uint32_t>(at) + 1, place.version};
}

}  // namespace thermocline::binding
