// The one include site of Node-API, and the small conversions that every file here uses.
//
// Statuses: a call that fails leaves an exception pending, or the environment is going down and nothing can be done;
// in both cases the caller returns nullptr, so most statuses need no look. Where one decides, it is looked at.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace thermocline::binding {

class Handle;

/// What belongs to one JavaScript environment (the main thread or one worker).
struct Environment {
  napi_env env = nullptr;
  napi_ref make_error = nullptr;
  std::vector<Handle*> handles;  // not owned; each removes itself

  static Environment& Of(napi_env env);
};

/// The JavaScript error of a status, made by the factory that src/errors.ts registered.
napi_value MakeError(napi_env env, const Status& status);
/// Throws it; returns nullptr, for `return Throw(...)`.
napi_value Throw(napi_env env, const Status& status);

inline napi_value Number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

inline napi_value Boolean(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

inline napi_value Undefined(napi_env env) {
  napi_value result = nullptr;
  napi_get_undefined(env, &result);
  return result;
}

inline napi_value Null(napi_env env) {
  napi_value result = nullptr;
  napi_get_null(env, &result);
  return result;
}

inline napi_value Text(napi_env env, std::string_view text, bool ascii) {
  napi_value result = nullptr;
  // ASCII is latin1; that way V8 copies bytes instead of decoding them.
  if (ascii) {
    napi_create_string_latin1(env, text.data(), text.size(), &result);
  } else {
    napi_create_string_utf8(env, text.data(), text.size(), &result);
  }
  return result;
}

inline void SetNumber(napi_env env, napi_value object, const char* name, double value) {
  napi_set_named_property(env, object, name, Number(env, value));
}

inline double GetDouble(napi_env env, napi_value value, double fallback) {
  double result = fallback;
  return napi_get_value_double(env, value, &result) == napi_ok ? result : fallback;
}

inline double GetNumber(napi_env env, napi_value object, const char* name, double fallback) {
  napi_value value = nullptr;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return fallback;
  return GetDouble(env, value, fallback);
}

inline bool GetBoolean(napi_env env, napi_value object, const char* name) {
  napi_value value = nullptr;
  bool result = false;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return false;
  napi_get_value_bool(env, value, &result);
  return result;
}

inline napi_valuetype TypeOf(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  return type;
}

}  // namespace thermocline::binding
