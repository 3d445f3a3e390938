// Reads JSON text value by value, without a tree and without allocating.
//
// Accepts what JSON.parse accepts, nested at most as deep as it is told to. Text may come from a damaged disk: whatever
// is wrong sets failed(), for good, and no byte outside the text is ever read. Strings come out in one canonical form:
// UTF-8, surrogates that stand alone as three bytes each, so that equal strings have equal bytes however they were
// escaped. Bytes that are no UTF-8 pass as they are. Not here: what a value means.
// Thread rule: a value, used by one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace thermocline::filter {

class JsonReader {
 public:
  enum class Kind : uint8_t { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull, kNone };

  /// A string as it stands between its quotes.
  struct Text {
    std::string_view raw;
    bool escaped = false;
  };

  JsonReader(std::string_view text, uint32_t depth_max)
      : at_(text.data()), end_(text.data() + text.size()), depth_max_(depth_max) {}

  bool failed() const { return failed_; }
  /// Nothing but white space is left.
  bool AtEnd();

  /// Kind of the value that comes next, which is not read yet. kNone: failed, or there is none.
  Kind Peek();

  /// After Peek said kObject or kArray.
  void Open();
  /// To the next member, whose value is then read or skipped. False: the object has ended and is read, or failed.
  bool NextMember(Text* key);
  /// To the next element, likewise.
  bool NextElement();

  /// After Peek said kString.
  Text ReadString();
  /// After Peek said kNumber: the double nearest to it, as JSON.parse has it (an infinity beyond the largest).
  double ReadNumber();
  /// Any value, nested ones included.
  void Skip();

  /// The string in its canonical form: in the text itself, or in `scratch` when it had escapes.
  static std::string_view Decode(const Text& text, std::string& scratch);

 private:
  void SkipSpace();
  bool Fail();
  bool NextItem(char close);
  bool SkipEscape();
  std::string_view ScanNumber();
  void ReadLiteral(std::string_view word);

  const char* at_;
  const char* end_;
  uint32_t depth_ = 0;
  uint32_t depth_max_;
  bool just_opened_ = false;  // no comma before the next item
  bool failed_ = false;
};

}  // namespace thermocline::filter
