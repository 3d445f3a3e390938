// One handle of one JavaScript environment on a store: `NativeStore` of src/native.ts.
//
// Converts and does not decide. Its methods are functions whose data pointer is the handle, so that a call costs no
// unwrapping; src/ keeps the object that owns them alive while it calls.
// Thread rule: the thread of its environment. Work on the thread pool holds what it needs by shared pointers: a use of
// the store, never the handle's JavaScript side.
// Lifetime: `close` gives the use back; the store closes when the last use of the process is gone, which a running
// flush may delay. The Handle itself goes when its object is collected.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "binding/background_commit.h"
#include "binding/metadata_shapes.h"
#include "binding/node.h"
#include "core/filter/filter.h"
#include "core/io/file_loss.h"
#include "core/store/registry.h"
#include "core/store/store.h"

namespace thermocline::binding {

/// Places in the shared Float64Array. src/ asks for them by name (`numberAt`).
enum NumberPlace : size_t {
  kConfidence,
  kCreatedAt,
  kActivation,
  kLastAccess,
  kRecallCount,
  kIfSequence,
  kSequence,
  kHasEmbedding,
  kSegment,
  kSlot,
  kLogOffset,
  kLogLength,
  kSlabOffset,
  kApplied,
  kMomentApplied,
  kMomentList,
  kIdLength,
  kContentLength,
  kMetadataShape,
  kMetadataVersion,
  kMetadataValues,  // the first of all there may be
  kNumberPlaces = kMetadataValues + MetadataShapes::kNumbersPerValue * MetadataShapes::kValuesMax
};

/// Of one memory in the array of numbers of a batch, in this order; the texts are counted in UTF-16 units.
enum BatchField : size_t {
  kFieldConfidence,
  kFieldCreatedAt,
  kFieldActivation,
  kFieldLastAccess,
  kFieldRecallCount,
  kFieldIdUnits,
  kFieldContentUnits,   // -1: none
  kFieldMetadataUnits,  // 0: {}
  kFieldHasEmbedding,
  kBatchFields
};

/// Gives the store back when the last holder lets go.
class StoreUse {
 public:
  explicit StoreUse(std::shared_ptr<store::Store> store) : store_(std::move(store)) {}
  ~StoreUse() {
    // Nobody is left to tell. What could not be synced was reported by flush or is repaired by the next opener.
    const Status status = store::ReleaseStore(store_);
    static_cast<void>(status);
  }
  StoreUse(const StoreUse&) = delete;
  StoreUse& operator=(const StoreUse&) = delete;
  store::Store& store() const { return *store_; }

 private:
  std::shared_ptr<store::Store> store_;
};

/// A job's use of the store. Of the job's end and the handle's close the later one gives it back, on its own thread: a
/// process that exits right after a close waits for its jobs, but not for what they would do on the JavaScript thread.
class JobUse {
 public:
  explicit JobUse(std::shared_ptr<StoreUse> use) : use_(std::move(use)) {}
  /// The job has run.
  void EndJob() { GiveBackIfLast(job_ended_, handle_closed_); }
  /// The handle is closed.
  void CloseHandle() { GiveBackIfLast(handle_closed_, job_ended_); }
  void GiveBack() { GiveBackIfLast(job_ended_, true); }

 private:
  void GiveBackIfLast(bool& now, const bool& other) {
    std::shared_ptr<StoreUse> use;  // given back without the mutex: that may close the store
    const std::lock_guard<std::mutex> guard(mutex_);
    now = true;
    if (other) use.swap(use_);
  }

  std::mutex mutex_;
  std::shared_ptr<StoreUse> use_;
  bool job_ended_ = false;
  bool handle_closed_ = false;
};

/// What holds segments mapped beyond a call, for as long as a JavaScript object lives, which may be collected late or
/// never. The handle's close makes it let go before. JavaScript thread.
class Holder {
 public:
  Holder() = default;
  virtual ~Holder() {
    if (among_ != nullptr) among_->erase(this);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  virtual void LetGo() = 0;

 private:
  friend class Handle;
  std::unordered_set<Holder*>* among_ = nullptr;  // the handle's, until that closes
};

/// A wait for commits; lives until its callback ran or was cancelled.
struct ChangeWait {
  napi_threadsafe_function function = nullptr;
  uint64_t store_token = 0;
  std::atomic<bool> cancelled{false};
  std::atomic<bool> fired{false};
};

class Handle {
 public:
  /// Opens and returns the JavaScript object, or throws.
  static napi_value Open(napi_env env, napi_callback_info info);

  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  void Close();
  /// Jobs that can be given up end soon. A flush goes on.
  void InterruptJobs();
  bool closed() const { return use_ == nullptr; }
  store::Store& store() const { return use_->store(); }
  const std::shared_ptr<StoreUse>& use() const { return use_; }
  napi_env env() const { return env_; }
  store::Durability durability() const { return durability_; }
  uint64_t lock_timeout_us() const { return lock_timeout_us_; }
  bool read_only() const { return read_only_; }

  /// Fills numbers, strings and, with `embedding`, the slab from a record. False with an exception pending.
  bool FillFrom(const store::MemoryRef& memory, bool with_embedding);
  /// The record's texts: as one string, with their lengths in numbers, when they are short and ASCII, which costs one
  /// call into V8 instead of five; else `true`, and they are in the array `strings`. nullptr with an exception pending.
  napi_value ReadTexts(const store::MemoryRef& memory, napi_value strings, bool with_id);
  bool FillStrings(const store::MemoryRef& memory, napi_value strings, bool with_id);
  /// Metadata's shape and values in numbers, for ASCII: places are counted from its first unit.
  void CutMetadata(const store::MemoryRef& memory);
  Status CommitBatch(store::Batch& batch, Sequence* last);
  bool flushes_commits() const { return durability_ == store::Durability::kCommit; }

  double* numbers = nullptr;
  float* slab = nullptr;
  size_t slab_length = 0;
  store::Batch single;
  /// A frame in the making, and where src/ puts its memories: numbers and embeddings. Two of them, so that one can be
  /// gathered while the other is committed; the arrays are made at first need.
  struct Stage {
    explicit Stage(const HashKey& key) : batch(key) {}
    store::Batch batch;
    double* fields = nullptr;
    float* rows = nullptr;
    size_t capacity = 0;  // memories
    napi_ref fields_reference = nullptr;
    napi_ref rows_reference = nullptr;
  };
  Stage stages[2];
  size_t current_stage = 0;
  Stage& stage() { return stages[current_stage]; }
  BackgroundCommit background;
  MetadataShapes shapes;
  std::vector<char16_t> units_buffer;
  std::vector<char> content_buffer;
  std::vector<char> metadata_buffer;
  /// For a job that is to be started.
  std::shared_ptr<JobUse> MakeJobUse();

  std::map<uint32_t, std::shared_ptr<std::atomic<bool>>> searches;
  std::map<uint32_t, std::shared_ptr<std::atomic<bool>>> compactions;
  std::map<uint32_t, std::shared_ptr<ChangeWait>> waits;
  uint32_t next_wait = 1;
  /// Set by close; work on the thread pool looks at it.
  std::shared_ptr<std::atomic<bool>> closing = std::make_shared<std::atomic<bool>>(false);

  void KeepBuffer(napi_value buffer);
  /// The holder is of this handle from now on; it goes with its own object.
  void Join(Holder& holder);
  napi_ref slab_reference = nullptr;

 private:
  Handle(napi_env env, std::shared_ptr<StoreUse> use, const store::OpenOptions& options);
  napi_value MakeObject();

  napi_env env_;
  std::shared_ptr<StoreUse> use_;
  store::Durability durability_;
  bool read_only_;
  uint64_t lock_timeout_us_;
  napi_ref numbers_reference_ = nullptr;
  std::vector<napi_ref> buffers_;  // weak; detached at close
  std::vector<std::shared_ptr<JobUse>> job_uses_;
  std::unordered_set<Holder*> holders_;
};

/// The handle of a method call, arguments read; throws _CLOSED and returns nullptr on a closed one.
Handle* Enter(napi_env env, napi_callback_info info, napi_value* arguments, size_t count);

/// The handle that a function's data pointer is.
inline Handle* HandleOfData(void* data) { return static_cast<Handle*>(data); }
/// What a method answers after a page of some mapped file was lost: `answer`, unless it was one of this handle's store.
napi_value AnswerUnlessLost(napi_env env, napi_callback_info info, Handle* (*handle_of)(void*), napi_value answer);

/// A method of the handle's object. Every one is pinned: what a call found mapped stays so until it returns.
class Method {
 public:
  /// What is read of lost pages is not handed out.
  template <napi_callback Call, Handle* (*HandleOf)(void*) = HandleOfData>
  static Method Of(const char* method_name) {
    return Method(method_name, [](napi_env env, napi_callback_info info) {
      const store::Pin pin;
      const napi_value answer = Call(env, info);
      return io::AnyPageLost() ? AnswerUnlessLost(env, info, HandleOf, answer) : answer;
    });
  }
  /// Reads nothing of the store, or answers by a promise, whose job looks itself.
  template <napi_callback Call>
  static Method Unwatched(const char* method_name) {
    return Method(method_name, [](napi_env env, napi_callback_info info) {
      const store::Pin pin;
      return Call(env, info);
    });
  }
  const char* name() const { return name_; }
  napi_callback call() const { return call_; }

 private:
  Method(const char* method_name, napi_callback function) : name_(method_name), call_(function) {}
  const char* name_;
  napi_callback call_;
};
// By file.
const std::vector<Method>& ReadMethods();         // methods_read.cc
const std::vector<Method>& WriteMethods();        // methods_write.cc
const std::vector<Method>& SearchMethods();       // methods_search.cc
const std::vector<Method>& MaintenanceMethods();  // methods_maintenance.cc
const std::vector<Method>& WaitMethods();         // methods_wait.cc

/// Gives the object the holder, which goes with it. False: an exception is pending.
bool AttachHolder(napi_env env, napi_value object, std::unique_ptr<Holder> holder);

/// Of the addon, not of a handle: salvage(from, to), a promise.
napi_value Salvage(napi_env env, napi_callback_info info);

/// Cancels all waits of a handle, calling back those that have not fired.
void EndWaits(Handle& handle);

/// Reads a string of at most `bytes_max` bytes of UTF-8 into a reused buffer; kTooLarge beyond.
/// Any length, by V8's own conversion.
Status ReadLongText(napi_env env, napi_value value, std::vector<char>& buffer, uint64_t bytes_max,
                    std::string_view* out);
/// The same, faster for texts of a few thousand characters. `ascii`: set to true when the text is known to be.
Status ReadText(napi_env env, napi_value value, Handle* handle, std::vector<char>& buffer, uint64_t bytes_max,
                std::string_view* out, bool* ascii);

/// A filter given as text; undefined: none. kArgument, kArgumentRange.
/// The key `indexed` of OpenOptions: metadata paths.
Status ReadIndexed(napi_env env, napi_value options, std::vector<std::string>* paths);
Status ReadFilter(napi_env env, napi_value value, std::shared_ptr<const filter::Filter>* filter);

/// An id on the stack.
struct IdText {
  char bytes[520];
  size_t length = 0;
  std::string_view view() const { return {bytes, length}; }
};
/// kKeySize unless 1..511 bytes.
Status ReadId(napi_env env, napi_value value, IdText* id);

/// Of a slot, as they are now, to their places in `numbers`.
void FillStatistics(const format::Statistics& statistics, double* numbers);

}  // namespace thermocline::binding
