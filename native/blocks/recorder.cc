// A disk in memory that writes down what it is asked to write: a plug-in of nbdkit, for the tests that cut the power of
// a whole file system (test/blocks).
//
// The trace, in the byte order of the machine: per request a header of 24 bytes (time in ns of CLOCK_MONOTONIC u64,
// offset u64, length u32, kind u32: 0 a write, 1 a flush), then the bytes of a write. A request is written down before
// it is answered, so what a flush covers stands before it.
//
// Thread rule: nbdkit hands over one request at a time.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS

namespace {

enum Kind : uint32_t { kWrite = 0, kFlush = 1 };

struct Header {
  uint64_t time_ns;
  uint64_t offset;
  uint32_t length;
  uint32_t kind;
};
static_assert(sizeof(Header) == 24);

std::string trace_path;
uint64_t disk_bytes = 0;
std::vector<char> disk;
std::FILE* trace = nullptr;

uint64_t NowNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

int WriteDown(Kind kind, uint64_t offset, const void* bytes, uint32_t length) {
  const Header header{NowNanoseconds(), offset, length, kind};
  const bool written = std::fwrite(&header, sizeof header, 1, trace) == 1 &&
                       (bytes == nullptr || std::fwrite(bytes, 1, length, trace) == length) && std::fflush(trace) == 0;
  if (!written) nbdkit_error("the trace cannot be written");
  return written ? 0 : -1;
}

int Config(const char* key, const char* value) {
  if (std::strcmp(key, "trace") == 0) {
    trace_path = value;
  } else if (std::strcmp(key, "size") == 0) {
    const int64_t size = nbdkit_parse_size(value);
    if (size <= 0) return -1;
    disk_bytes = static_cast<uint64_t>(size);
  } else {
    nbdkit_error("unknown parameter %s", key);
    return -1;
  }
  return 0;
}

int ConfigComplete() {
  if (!trace_path.empty() && disk_bytes > 0) return 0;
  nbdkit_error("trace=<file> and size=<bytes> are needed");
  return -1;
}

int GetReady() {
  disk.resize(disk_bytes);
  trace = std::fopen(trace_path.c_str(), "wb");
  if (trace == nullptr) nbdkit_error("%s cannot be opened", trace_path.c_str());
  return trace == nullptr ? -1 : 0;
}

void Unload() {
  if (trace != nullptr) std::fclose(trace);
}

void* Open(int) { return NBDKIT_HANDLE_NOT_NEEDED; }

int64_t GetSize(void*) { return static_cast<int64_t>(disk_bytes); }

int CanFlush(void*) { return 1; }

int Read(void*, void* buffer, uint32_t count, uint64_t offset, uint32_t) {
  std::memcpy(buffer, disk.data() + offset, count);
  return 0;
}

int Write(void*, const void* buffer, uint32_t count, uint64_t offset, uint32_t) {
  std::memcpy(disk.data() + offset, buffer, count);
  return WriteDown(kWrite, offset, buffer, count);
}

int Flush(void*, uint32_t) { return WriteDown(kFlush, 0, nullptr, 0); }

nbdkit_plugin Plugin() {
  nbdkit_plugin made{};
  made.name = "recorder";
  made.unload = Unload;
  made.config = Config;
  made.config_complete = ConfigComplete;
  made.get_ready = GetReady;
  made.open = Open;
  made.get_size = GetSize;
  made.can_flush = CanFlush;
  made.pread = Read;
  made.pwrite = Write;
  made.flush = Flush;
  return made;
}

nbdkit_plugin plugin = Plugin();

}  // namespace

NBDKIT_REGISTER_PLUGIN(plugin)
