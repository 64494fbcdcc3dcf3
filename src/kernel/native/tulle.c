// The least native code that Node lacks (DESIGN D3): a netlink socket inside a network namespace, a
// sysctl inside one, flock(2) with a time limit, _exit(2), and namespaces for the operator's tool;
// beside it, in watch.c, waiting for a socket, and in serve.c what the CNI worker waits with.
// Node-API 8, no C++, everything synchronous on the calling thread. Every function answers a number
// ≥ 0, or -errno; JavaScript makes the sentence (kernel/errno.ts).
//
// setns(2) moves only the calling thread, so each function that enters a namespace leaves it before
// it returns (all but enterNamespace and unshare, which the plugin does not call): no JavaScript of
// a plugin ever runs inside a foreign namespace, and libuv's pool threads are never born in one.
#define _GNU_SOURCE
#include "serve.h"
#include "values.h"
#include "watch.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 // include/uapi/asm-generic/socket.h, Linux 5.14
#endif

// Enters the namespace behind `target` (none if negative). Returns a descriptor of the namespace to
// go back to, -2 for "did not move", or -1 with errno.
static int enter(int target) {
  if (target < 0) return -2;
  int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return -1;
  if (setns(target, CLONE_NEWNET) == 0) return home;
  int refusal = errno;
  close(home);
  errno = refusal;
  return -1;
}

// Goes back. A thread that can't leave a pod's namespace would do host work in it: better no
// process at all.
static void leave(int home) {
  if (home == -2) return;
  int kept = errno;
  if (setns(home, CLONE_NEWNET) != 0) abort();
  close(home);
  errno = kept;
}

// The options that Tulle always wants. Strict checking is refused by some families: that and
// extended acknowledgements are wishes, not needs.
static void set_options(int fd) {
  // A node's policies go in one batch, so in one message; the size is a limit, nothing is reserved.
  int on = 1, bytes = 4 << 20, bytes_sent = 256 << 20;
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes_sent, sizeof bytes_sent);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
}

// socketIn(netnsFd | -1, protocol): a netlink socket of that namespace.
static napi_value socket_in(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int home = enter(number(env, argument[0]));
  if (home == -1) return answer(env, -errno);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, number(env, argument[1]));
  leave(home);
  if (fd < 0) return answer(env, -errno);
  set_options(fd);
  return answer(env, fd);
}

static int option(int fd, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
}

// furnish(socketFd, protocol): the same options for a netlink socket that somebody else opened;
// -EPROTOTYPE if it is none: only the kernel is sure to answer who waits for it.
static napi_value furnish(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd = number(env, argument[0]);
  int is_netlink = option(fd, SO_DOMAIN) == AF_NETLINK;
  if (!is_netlink || option(fd, SO_PROTOCOL) != number(env, argument[1]))
    return answer(env, -EPROTOTYPE);
  set_options(fd);
  return answer(env, 0);
}

// netnsCookie(socketFd): the number that names the socket's network namespace; never given twice in
// one boot.
static napi_value netns_cookie(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  napi_value value;
  int fd = number(env, argument[0]);
  if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0) return outcome(env, -1);
  napi_create_bigint_uint64(env, cookie, &value);
  return value;
}

// transfer(fd, buffer, length) sends; receive(fd, buffer, wait) answers the datagram's real length
// even where the buffer is too short for it (MSG_TRUNC), so that a cut is seen.
static napi_value send_bytes(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  void *bytes = NULL;
  size_t size = 0;
  napi_get_buffer_info(env, argument[1], &bytes, &size);
  int32_t length = number(env, argument[2]);
  if (length < 0 || (size_t)length > size) return answer(env, -EINVAL);
  return outcome(env, send(number(env, argument[0]), bytes, (size_t)length, 0));
}

static napi_value receive(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  void *bytes = NULL;
  size_t size = 0;
  napi_get_buffer_info(env, argument[1], &bytes, &size);
  int flags = MSG_TRUNC | (number(env, argument[2]) ? 0 : MSG_DONTWAIT);
  long length;
  do length = recv(number(env, argument[0]), bytes, size, flags);
  while (length < 0 && errno == EINTR);
  return outcome(env, length);
}

static napi_value close_fd(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  return outcome(env, close(number(env, argument[0])));
}

static int path_of(napi_env env, napi_value value, char *path, size_t size) {
  size_t length = 0;
  napi_status read = napi_get_value_string_utf8(env, value, path, size, &length);
  return read == napi_ok && length < size - 1 ? 0 : -1;
}

// readIn(netnsFd | -1, path, buffer) and writeIn(netnsFd | -1, path, text): one small file of
// /proc/sys as that namespace sees it.
static napi_value read_in(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  char path[512];
  void *bytes = NULL;
  size_t size = 0;
  napi_get_buffer_info(env, argument[2], &bytes, &size);
  if (path_of(env, argument[1], path, sizeof path) != 0) return answer(env, -ENAMETOOLONG);
  int home = enter(number(env, argument[0]));
  if (home == -1) return answer(env, -errno);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long result = fd < 0 ? -errno : read(fd, bytes, size);
  if (fd >= 0 && result < 0) result = -errno;
  if (fd >= 0) close(fd);
  leave(home);
  return answer(env, result);
}

static napi_value write_in(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  char path[512], text[256];
  size_t length = 0;
  if (path_of(env, argument[1], path, sizeof path) != 0) return answer(env, -ENAMETOOLONG);
  napi_get_value_string_utf8(env, argument[2], text, sizeof text, &length);
  int home = enter(number(env, argument[0]));
  if (home == -1) return answer(env, -errno);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  long result = fd < 0 ? -errno : write(fd, text, length);
  if (fd >= 0 && result < 0) result = -errno;
  if (fd >= 0) close(fd);
  leave(home);
  return answer(env, result);
}

static void wake(int signal) { (void)signal; }

// lock(fd, LOCK_SH | LOCK_EX, limitMilliseconds): waits in the kernel's queue, and gives up with
// -ETIMEDOUT. The timer's signal goes to this thread alone (SIGEV_THREAD_ID), so no other thread of
// Node swallows it.
static napi_value lock(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd = number(env, argument[0]), how = number(env, argument[1]);
  int limit = number(env, argument[2]);
  if (flock(fd, how | LOCK_NB) == 0) return answer(env, 0);
  if (errno != EWOULDBLOCK || limit <= 0) return answer(env, -errno);
  // It stays: another thread may wait for a lock as well.
  struct sigaction action = {.sa_handler = wake};
  sigaction(SIGRTMIN + 3, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3};
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  int timer; // the kernel's timer_t; raw calls, as glibc's own would ask for glibc 2.34 on the node
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) != 0) return outcome(env, -1);
  // Repeats, in case the signal comes between arming and waiting.
  struct itimerspec when = {{0, 50000000}, {limit / 1000, (limit % 1000) * 1000000L}};
  syscall(SYS_timer_settime, timer, 0, &when, NULL);
  long result = flock(fd, how) == 0 ? 0 : errno == EINTR ? -ETIMEDOUT : -errno;
  syscall(SYS_timer_delete, timer);
  return answer(env, result);
}

// The operator's conformance tool works in namespaces of its own, for as long as it lives; it runs
// on this thread alone, and children are born on it. unshare(flags), enterNamespace(fd, flags),
// mount(source, target, type, flags), unmount(target).
static napi_value unshare_thread(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  return outcome(env, unshare(number(env, argument[0])));
}

static napi_value enter_namespace(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  return outcome(env, setns(number(env, argument[0]), number(env, argument[1])));
}

static napi_value mount_at(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  char words[3][512];
  for (int at = 0; at < 3; at++)
    if (path_of(env, argument[at], words[at], sizeof words[at]) != 0)
      return answer(env, -ENAMETOOLONG);
  unsigned long flags = (unsigned long)number(env, argument[3]);
  return outcome(env, mount(words[0], words[1], words[2], flags, NULL));
}

static napi_value unmount_at(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  char path[512];
  if (path_of(env, argument[0], path, sizeof path) != 0) return answer(env, -ENAMETOOLONG);
  return outcome(env, umount2(path, MNT_DETACH));
}

// exit(code): ends the process without tearing the engine down (1 to 4 ms of nothing that anybody
// needs).
static napi_value leave_process(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  _exit(number(env, argument[0]));
}

#define FUNCTION(name, function) \
  { name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL }

NAPI_MODULE_INIT() {
  napi_property_descriptor functions[] = {
      FUNCTION("socketIn", socket_in), FUNCTION("netnsCookie", netns_cookie),
      FUNCTION("send", send_bytes),    FUNCTION("receive", receive),
      FUNCTION("close", close_fd),     FUNCTION("readIn", read_in),
      FUNCTION("writeIn", write_in),   FUNCTION("lock", lock),
      FUNCTION("exit", leave_process), FUNCTION("unshare", unshare_thread),
      FUNCTION("mount", mount_at),     FUNCTION("unmount", unmount_at),
      FUNCTION("enterNamespace", enter_namespace),
      FUNCTION("watch", watch_socket), FUNCTION("arm", arm_watch),
      FUNCTION("unwatch", end_watch),  FUNCTION("joinGroup", join_group),
      FUNCTION("portId", port_id),     FUNCTION("furnish", furnish),
      FUNCTION("listenAt", listen_at), FUNCTION("shutDown", shut_down),
      FUNCTION("admit", admit_all),    FUNCTION("nextAdmitted", next_admitted),
      FUNCTION("hangUp", hang_up),     FUNCTION("receiveWith", receive_with),
      FUNCTION("poll", poll_all),      FUNCTION("sendLater", send_later),
      FUNCTION("sentLater", sent_later),
  };
  napi_define_properties(env, exports, sizeof functions / sizeof *functions, functions);
  return exports;
}
