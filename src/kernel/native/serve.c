// What the CNI worker waits with: packets of launchers with their descriptors, which Node's own
// sockets would drop, and requests that the kernel answers long after it has done them.
#define _GNU_SOURCE
#include "serve.h"
#include "thread.h"
#include "values.h"
#include <linux/netlink.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 8
#define POLLED_MAX 1024
#define LATER_MAX 64

// Of an Int32Array or Uint8Array: its elements, and their count.
static void *elements(napi_env env, napi_value value, size_t *count) {
  void *data = NULL;
  *count = 0;
  napi_get_typedarray_info(env, value, NULL, count, &data, NULL, NULL);
  return data;
}

static int listen_on(const struct sockaddr_un *address) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  // Whoever comes before listen(2) is refused, so nobody is let in by a wider mode.
  if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
      chmod(address->sun_path, 0600) == 0 && listen(fd, 4096) == 0)
    return fd;
  int refusal = errno;
  close(fd);
  errno = refusal;
  return -1;
}

napi_value listen_at(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = 0;
  napi_get_value_string_utf8(env, argument[0], address.sun_path, sizeof address.sun_path,
                             &length);
  if (length >= sizeof address.sun_path - 1) return answer(env, -ENAMETOOLONG);
  return outcome(env, listen_on(&address));
}

napi_value shut_down(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  return outcome(env, shutdown(number(env, argument[0]), SHUT_RDWR));
}

static size_t take_descriptors(struct msghdr *message, int32_t *fds, size_t room) {
  size_t taken = 0;
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t at = 0; at < count; at++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + at * sizeof fd, sizeof fd);
      if (taken + 1 < room) fds[++taken] = fd;
      else close(fd);
    }
  }
  return taken;
}

// A packet that does not fit, or whose descriptors do not, is no message of ours: -EMSGSIZE.
napi_value receive_with(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  size_t size = 0, room = 0;
  void *bytes = elements(env, argument[1], &size);
  int32_t *fds = elements(env, argument[2], &room);
  char control[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)] __attribute__((aligned(8)));
  struct iovec part = {bytes, size};
  struct msghdr message = {.msg_iov = &part,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = sizeof control};
  ssize_t length;
  do length = recvmsg(number(env, argument[0]), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (length < 0 && errno == EINTR);
  if (length < 0) return outcome(env, -1);
  fds[0] = (int32_t)take_descriptors(&message, fds, room);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) return answer(env, length);
  for (int32_t at = 1; at <= fds[0]; at++) close(fds[at]);
  fds[0] = 0;
  return answer(env, -EMSGSIZE);
}

napi_value poll_all(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  static _Thread_local struct pollfd polled[POLLED_MAX];
  size_t count = 0, room = 0;
  const int32_t *fds = elements(env, argument[0], &count);
  uint8_t *ready = elements(env, argument[1], &room);
  double milliseconds = -1;
  napi_get_value_double(env, argument[2], &milliseconds);
  if (count > POLLED_MAX || count > room) return answer(env, -EINVAL);
  for (size_t at = 0; at < count; at++) polled[at] = (struct pollfd){fds[at], POLLIN, 0};
  long nanoseconds = (long)(milliseconds * 1e6);
  struct timespec limit = {nanoseconds / 1000000000L, nanoseconds % 1000000000L};
  worker_waits();
  int found = ppoll(polled, count, milliseconds < 0 ? NULL : &limit, NULL);
  worker_works();
  if (found < 0) return outcome(env, -1);
  for (size_t at = 0; at < count; at++)
    ready[at] = polled[at].revents != 0;
  return answer(env, found);
}

struct later {
  atomic_int answer; // 1: none yet
  size_t length;
  char bytes[];
};
static struct later *laters[LATER_MAX];

static int ask(const struct later *later) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  struct {
    struct nlmsghdr header;
    struct nlmsgerr error;
    char rest[4096];
  } reply;
  int refusal = 0;
  ssize_t length = send(fd, later->bytes, later->length, 0);
  // The kernel has answered each message with NLM_F_ACK when send(2) returns.
  if (length < 0) refusal = -errno;
  while (length >= 0 && refusal == 0) {
    length = recv(fd, &reply, sizeof reply, MSG_DONTWAIT);
    if (length < 0) break;
    if (reply.header.nlmsg_type == NLMSG_ERROR && reply.error.error != -ENODEV)
      refusal = reply.error.error;
  }
  close(fd);
  return refusal;
}

static void *answer_later(void *given) {
  struct later *later = given;
  atomic_store(&later->answer, ask(later));
  return NULL;
}

// -EAGAIN: as many as may be are under way.
napi_value send_later(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  size_t size = 0;
  const void *bytes = elements(env, argument[0], &size);
  size_t length = (size_t)number(env, argument[1]);
  if (length > size) return answer(env, -EINVAL);
  int handle = 0;
  while (handle < LATER_MAX && laters[handle]) handle++;
  if (handle == LATER_MAX) return answer(env, -EAGAIN);
  struct later *later = malloc(sizeof *later + length);
  if (!later) return answer(env, -ENOMEM);
  later->length = length;
  atomic_init(&later->answer, 1);
  memcpy(later->bytes, bytes, length);
  pthread_t thread;
  int refusal = start_thread(&thread, answer_later, later);
  if (refusal != 0) {
    free(later);
    return answer(env, -refusal);
  }
  pthread_detach(thread);
  laters[handle] = later;
  return answer(env, handle);
}

napi_value sent_later(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int handle = number(env, argument[0]);
  if (handle < 0 || handle >= LATER_MAX || !laters[handle]) return answer(env, -EBADF);
  int told = atomic_load(&laters[handle]->answer);
  if (told == 1) return answer(env, 1);
  free(laters[handle]);
  laters[handle] = NULL;
  return answer(env, told);
}
