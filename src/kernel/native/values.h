#ifndef TULLE_VALUES_H
#define TULLE_VALUES_H

// What every function that JavaScript calls takes and gives.

#define NAPI_VERSION 8
#include <errno.h>
#include <node_api.h>

#define ARGUMENTS(count) \
  napi_value argument[count]; \
  size_t given = count; \
  napi_get_cb_info(env, info, &given, argument, NULL, NULL)

static inline int32_t number(napi_env env, napi_value value) {
  int32_t result = -1;
  napi_get_value_int32(env, value, &result);
  return result;
}

static inline napi_value answer(napi_env env, long result) {
  napi_value value;
  napi_create_int32(env, (int32_t)result, &value);
  return value;
}

// Of a system call: what it returned, or its errno.
static inline napi_value outcome(napi_env env, long result) {
  return answer(env, result < 0 ? -errno : result);
}

#endif
