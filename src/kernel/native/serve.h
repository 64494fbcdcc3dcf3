#ifndef TULLE_SERVE_H
#define TULLE_SERVE_H

#define NAPI_VERSION 8
#include <node_api.h>

// Each answers a number ≥ 0, or -errno.
//   listenAt(path)                 a SOCK_SEQPACKET socket that root alone may connect to
//   shutDown(listeningFd)          from any thread: nobody can connect any more
//   receiveWith(fd, bytes, fds)    one packet's length, 0 at its end; fds[0]: how many came with it
//   poll(fds, ready, milliseconds) how many of `fds` have something to read, or are at an end;
//                                  ready[n] is 1 for those
//   sendLater(bytes, length)       to rtnetlink, on a thread of its own; a handle
//   sentLater(handle)              1 while the kernel is at it, else its answer, told once
napi_value listen_at(napi_env env, napi_callback_info info);
napi_value shut_down(napi_env env, napi_callback_info info);
napi_value receive_with(napi_env env, napi_callback_info info);
napi_value poll_all(napi_env env, napi_callback_info info);
napi_value send_later(napi_env env, napi_callback_info info);
napi_value sent_later(napi_env env, napi_callback_info info);

// admit.c
//   admit(listeningFd)             lets launchers in on a thread of its own: {fd, door}; who came
//                                  is told through fd, and it ends when nobody can come any more
//   nextAdmitted(fd)               a connection, or -EAGAIN, or -EPIPE at the end
//   hangUp(door, connection)       closes it
napi_value admit_all(napi_env env, napi_callback_info info);
napi_value next_admitted(napi_env env, napi_callback_info info);
napi_value hang_up(napi_env env, napi_callback_info info);

// Around each wait of the worker.
void worker_waits(void);
void worker_works(void);

#endif
