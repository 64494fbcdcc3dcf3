// Waiting for a netlink socket on a thread of its own, so that the engine's loop hears of multicast
// messages: Node offers no way to wait for a descriptor that it did not make. The thread reads
// nothing. It says "readable" once and then waits to be armed again; what is there is read on
// JavaScript's own thread, as much at a time as that wants.
#define _GNU_SOURCE
#include "watch.h"
#include "thread.h"
#include "values.h"
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define ARM 1ULL
#define STOP (1ULL << 32)

struct watch {
  napi_env env;
  napi_threadsafe_function call;
  pthread_t thread;
  int socket;
  int wake; // an eventfd: ARM and STOP add up in it
  int running;
};

static void tell(struct watch *watch, uint64_t what) {
  while (write(watch->wake, &what, sizeof what) < 0 && errno == EINTR) continue;
}

static void *wait_and_tell(void *given) {
  struct watch *watch = given;
  struct pollfd ready[2] = {{watch->socket, POLLIN, 0}, {watch->wake, POLLIN, 0}};
  for (;;) {
    if (poll(ready, 2, -1) < 0) continue; // EINTR, or no memory for a moment
    if (ready[1].revents) {
      uint64_t told = 0;
      if (read(watch->wake, &told, sizeof told) < 0) continue;
      if (told >= STOP) return NULL;
      ready[0].fd = watch->socket;
    } else if (ready[0].revents) {
      ready[0].fd = -1; // until armed again; poll(2) skips it
      napi_call_threadsafe_function(watch->call, NULL, napi_tsfn_nonblocking);
    }
  }
}

// Also the environment's cleanup hook: a process that ends has no thread of ours left.
static void stop(void *given) {
  struct watch *watch = given;
  if (!watch->running) return;
  watch->running = 0;
  tell(watch, STOP);
  pthread_join(watch->thread, NULL);
  close(watch->wake);
  napi_release_threadsafe_function(watch->call, napi_tsfn_abort);
}

static void forget(napi_env env, void *given, void *hint) {
  (void)hint;
  struct watch *watch = given;
  if (watch->running) napi_remove_env_cleanup_hook(env, stop, watch);
  stop(watch);
  free(watch);
}

napi_value watch_socket(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  napi_value name, handle;
  struct watch *watch = calloc(1, sizeof *watch);
  if (!watch) return answer(env, -ENOMEM);
  watch->env = env;
  watch->socket = number(env, argument[0]);
  watch->wake = eventfd(0, EFD_CLOEXEC);
  if (watch->wake < 0) {
    int refusal = errno;
    free(watch);
    return answer(env, -refusal);
  }
  napi_create_string_utf8(env, "tulle watch", NAPI_AUTO_LENGTH, &name);
  // One call waits at most: the thread stays silent until it is armed.
  napi_status made = napi_create_threadsafe_function(
      env, argument[1], NULL, name, 1, 1, NULL, NULL, NULL, NULL, &watch->call);
  int refusal = made == napi_ok ? start_thread(&watch->thread, wait_and_tell, watch) : EINVAL;
  if (refusal != 0) {
    if (made == napi_ok) napi_release_threadsafe_function(watch->call, napi_tsfn_abort);
    close(watch->wake);
    free(watch);
    return answer(env, -refusal);
  }
  watch->running = 1;
  napi_add_env_cleanup_hook(env, stop, watch);
  napi_create_external(env, watch, forget, NULL, &handle);
  return handle;
}

static struct watch *watch_of(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  void *watch = NULL;
  napi_get_value_external(env, argument[0], &watch);
  return watch;
}

napi_value arm_watch(napi_env env, napi_callback_info info) {
  struct watch *watch = watch_of(env, info);
  if (!watch || !watch->running) return answer(env, -EBADF);
  tell(watch, ARM);
  return answer(env, 0);
}

napi_value end_watch(napi_env env, napi_callback_info info) {
  struct watch *watch = watch_of(env, info);
  if (!watch || !watch->running) return answer(env, -EBADF);
  napi_remove_env_cleanup_hook(env, stop, watch);
  stop(watch);
  return answer(env, 0);
}

// nl_pid of the socket, given to it if it has none yet, or -errno.
static int64_t bound_port(int fd) {
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  socklen_t length = sizeof address;
  for (int attempt = 0; attempt < 2; attempt++) {
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) return -errno;
    if (address.nl_pid != 0) return address.nl_pid;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) return -errno;
  }
  return -EADDRNOTAVAIL;
}

// joinGroup(socketFd, group): from now on it hears what the kernel tells that group. A socket that
// has no id yet would be taken for the kernel's own, and left out.
napi_value join_group(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd = number(env, argument[0]), group = number(env, argument[1]);
  int64_t port = bound_port(fd);
  if (port < 0) return answer(env, (long)port);
  int refused = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group);
  return outcome(env, refused);
}

// portId(socketFd): nl_pid, which the kernel writes into what it tells others of this socket's
// doings.
napi_value port_id(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  napi_value value;
  napi_create_int64(env, bound_port(number(env, argument[0])), &value);
  return value;
}
