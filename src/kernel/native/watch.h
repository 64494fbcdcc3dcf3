#ifndef TULLE_WATCH_H
#define TULLE_WATCH_H

#define NAPI_VERSION 8
#include <node_api.h>

// watch(socketFd, onReadable) answers a handle, or -errno. onReadable is called once, and again
// after each arm(handle); unwatch(handle) has joined the thread when it returns.
napi_value watch_socket(napi_env env, napi_callback_info info);
napi_value arm_watch(napi_env env, napi_callback_info info);
napi_value end_watch(napi_env env, napi_callback_info info);
napi_value join_group(napi_env env, napi_callback_info info);
napi_value port_id(napi_env env, napi_callback_info info);

#endif
