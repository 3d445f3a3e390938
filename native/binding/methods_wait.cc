// Waits for commits: a callback on the JavaScript thread once, whichever thread saw the commit.

#include "binding/handle.h"

namespace thermocline::binding {
namespace {

/// On the JavaScript thread. `data`: a shared pointer of its own to the wait.
void CallWaiter(napi_env env, napi_value callback, void*, void* data) {
  std::unique_ptr<std::shared_ptr<ChangeWait>> wait(static_cast<std::shared_ptr<ChangeWait>*>(data));
  if (env == nullptr || callback == nullptr || (*wait)->cancelled.load()) return;
  napi_call_function(env, Undefined(env), callback, 0, nullptr, nullptr);
}

/// Queues the callback once and lets the function go. Any thread.
void Fire(const std::shared_ptr<ChangeWait>& wait) {
  if (wait->fired.exchange(true)) return;
  auto* data = new std::shared_ptr<ChangeWait>(wait);
  if (napi_call_threadsafe_function(wait->function, data, napi_tsfn_nonblocking) != napi_ok) delete data;
  napi_release_threadsafe_function(wait->function, napi_tsfn_release);
}

napi_value ChangesWait(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  Handle* handle = Enter(env, info, arguments, 2);
  if (handle == nullptr) return nullptr;
  std::erase_if(handle->waits, [](const auto& entry) { return entry.second->fired.load(); });
  auto wait = std::make_shared<ChangeWait>();
  if (napi_create_threadsafe_function(env, arguments[1], nullptr, Text(env, "thermocline.changes", true), 0, 1, nullptr,
                                      nullptr, nullptr, CallWaiter, &wait->function) != napi_ok) {
    return nullptr;
  }
  const Result<uint64_t> noted =
      handle->store().NotifyAbove(static_cast<Sequence>(GetDouble(env, arguments[0], 0)), [wait] { Fire(wait); });
  if (!noted.ok()) {
    napi_release_threadsafe_function(wait->function, napi_tsfn_abort);
    return Throw(env, noted.status());
  }
  wait->store_token = *noted;
  const uint32_t token = handle->next_wait++;
  handle->waits[token] = wait;
  return Number(env, token);
}

napi_value ChangesCancel(napi_env env, napi_callback_info info) {
  napi_value argument = nullptr;
  Handle* handle = Enter(env, info, &argument, 1);
  if (handle == nullptr) return nullptr;
  const auto found = handle->waits.find(static_cast<uint32_t>(GetDouble(env, argument, 0)));
  if (found == handle->waits.end()) return Undefined(env);
  const std::shared_ptr<ChangeWait> wait = found->second;
  wait->cancelled.store(true);
  handle->store().CancelNotify(wait->store_token);
  if (!wait->fired.exchange(true)) napi_release_threadsafe_function(wait->function, napi_tsfn_abort);
  handle->waits.erase(found);
  return Undefined(env);
}

}  // namespace

void EndWaits(Handle& handle) {
  for (auto& [token, wait] : handle.waits) {
    handle.store().CancelNotify(wait->store_token);
    Fire(wait);
  }
  handle.waits.clear();
}

const std::vector<Method>& WaitMethods() {
  static const std::vector<Method> methods = {
      Method::Unwatched<ChangesWait>("changesWait"),
      Method::Unwatched<ChangesCancel>("changesCancel"),
  };
  return methods;
}

}  // namespace thermocline::binding
