// Lets launchers in, on a thread that does nothing else: each is told at once that it was taken up,
// however long what the worker is at takes. A worker that is stuck takes nobody up.
#define _GNU_SOURCE
#include "serve.h"
#include "thread.h"
#include "values.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// A piece of a call is some milliseconds; one that waits for the store's lock, twenty seconds.
#define STUCK_NANOSECONDS 25000000000LL
#define DESCRIPTORS_MAX 65536

struct door {
  int listening;
  int to_worker; // a pipe: each descriptor as an int
  pthread_t thread;
  atomic_uchar is_open[DESCRIPTORS_MAX]; // connections that nobody has hung up
};

// 0 while the worker waits for something to do, else since when it does not.
static _Atomic int64_t busy_since;

static int64_t monotonic_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void worker_waits(void) { atomic_store(&busy_since, 0); }
void worker_works(void) { atomic_store(&busy_since, monotonic_now()); }

static int is_stuck(void) {
  int64_t since = atomic_load(&busy_since);
  return since != 0 && monotonic_now() - since > STUCK_NANOSECONDS;
}

static int is_root(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

static void *admit(void *given) {
  struct door *door = given;
  for (;;) {
    int fd = accept4(door->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && errno == EINVAL) break; // shut down
    if (fd < 0) {
      // No descriptors left, say: who waits in the backlog starts a process.
      struct timespec moment = {0, 10000000};
      if (errno != EINTR && errno != ECONNABORTED) nanosleep(&moment, NULL);
      continue;
    }
    int is_taken = fd < DESCRIPTORS_MAX && is_root(fd) && !is_stuck() &&
                   send(fd, "R", 1, MSG_NOSIGNAL) == 1;
    if (is_taken) {
      atomic_store(&door->is_open[fd], 1);
      if (write(door->to_worker, &fd, sizeof fd) == sizeof fd) continue;
      atomic_store(&door->is_open[fd], 0);
    }
    close(fd);
  }
  close(door->to_worker);
  return NULL;
}

// Also the environment's cleanup hook: a worker that ends, however it does, leaves no launcher
// waiting.
static void shut(void *given) {
  struct door *door = given;
  shutdown(door->listening, SHUT_RDWR);
  pthread_join(door->thread, NULL);
  for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
    if (atomic_exchange(&door->is_open[fd], 0)) close(fd);
  close(door->listening);
}

static void forget(napi_env env, void *given, void *hint) {
  (void)env;
  (void)hint;
  free(given);
}

napi_value admit_all(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  napi_value handle;
  int ends[2];
  struct door *door = calloc(1, sizeof *door);
  if (!door) return answer(env, -ENOMEM);
  door->listening = number(env, argument[0]);
  if (pipe2(ends, O_CLOEXEC) != 0) {
    free(door);
    return answer(env, -errno);
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  door->to_worker = ends[1];
  worker_works();
  int refusal = start_thread(&door->thread, admit, door);
  if (refusal != 0) {
    close(ends[0]);
    close(ends[1]);
    free(door);
    return answer(env, -refusal);
  }
  napi_add_env_cleanup_hook(env, shut, door);
  napi_create_external(env, door, forget, NULL, &handle);
  napi_value pair;
  napi_create_object(env, &pair);
  napi_set_named_property(env, pair, "fd", answer(env, ends[0]));
  napi_set_named_property(env, pair, "door", handle);
  return pair;
}

napi_value next_admitted(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int fd = -1;
  ssize_t length = read(number(env, argument[0]), &fd, sizeof fd);
  return answer(env, length == sizeof fd ? fd : length == 0 ? -EPIPE : -errno);
}

napi_value hang_up(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  void *door = NULL;
  napi_get_value_external(env, argument[0], &door);
  int fd = number(env, argument[1]);
  if (!door || fd < 0 || fd >= DESCRIPTORS_MAX) return answer(env, -EBADF);
  if (atomic_exchange(&((struct door *)door)->is_open[fd], 0) == 0)
    return answer(env, -EBADF);
  return answer(env, close(fd) == 0 ? 0 : -errno);
}
