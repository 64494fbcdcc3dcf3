// The call as it came: arguments, environment, standard input, namespaces.

#include "launcher.h"

#include <linux/auxvec.h>
#include <linux/fcntl.h>
#include <linux/netlink.h>
#include <linux/sched.h>

static const size_t room = packet_max - header_max;

/* The string with its NUL; false where there is no room for it and the empty string at the end. */
static int add(struct call *call, const char *string) {
  size_t length = length_of(string) + 1;
  if (length + 1 > room - call->text_length) return 0;
  __builtin_memcpy(call->text + call->text_length, string, length);
  call->text_length += length;
  return 1;
}

static int is_handed_on(const char *variable) {
  return behind(variable, "CNI_") || behind(variable, "TRACEPARENT=") ||
         behind(variable, "TRACESTATE=") || behind(variable, "BAGGAGE=");
}

/* 16 random bytes lie behind the environment (AT_RANDOM): no call is needed for 8 of them. */
static void name_attempt(struct call *call) {
  char *at = put_text(call->attempt, "TULLE_ATTEMPT=");
  const unsigned char *random = 0;
  for (unsigned long *entry = (unsigned long *)(call->environment_end + 1); entry[0] != AT_NULL;
       entry += 2)
    if (entry[0] == AT_RANDOM) random = (const unsigned char *)entry[1];
  for (int index = 0; index < 8; index++) {
    unsigned char byte = random ? random[index] : 0;
    *at++ = "0123456789abcdef"[byte >> 4];
    *at++ = "0123456789abcdef"[byte & 15];
  }
  *at = 0;
}

int read_environment(struct call *call) {
  int fits = add(call, call->argv[0] ? call->argv[0] : "tulle");
  char **variable = call->environment;
  for (; *variable; variable++) {
    if (!is_handed_on(*variable)) continue;
    const char *command = behind(*variable, "CNI_COMMAND=");
    if (command && *command) call->is_cni = 1;
    const char *netns = behind(*variable, "CNI_NETNS=");
    if (netns) call->netns = netns;
    fits = fits && add(call, *variable);
  }
  call->environment_end = variable;
  if (!call->is_cni) return fits;
  name_attempt(call);
  fits = fits && add(call, call->attempt) && call->text_length < room;
  if (!fits) return 0;
  call->text[call->text_length++] = 0;
  call->input_at = call->text_length;
  return 1;
}

/* To its end, right into the request. What can't be read is left for Node to complain of. */
void read_input(struct call *call) {
  while (call->text_length < room) {
    long length = read_some(0, call->text + call->text_length, room - call->text_length);
    if (length < 0) return;
    call->is_input_read = 1;
    if (length == 0) {
      call->is_input_whole = 1;
      return;
    }
    call->text_length += (size_t)length;
  }
}

long above_standard(long fd) {
  if (fd < 0 || fd > 2) return fd;
  long higher = CALL3(fcntl, fd, F_DUPFD_CLOEXEC, 3);
  system_call(__NR_close, fd, 0, 0, 0, 0);
  return higher;
}

static long open_to_read(const char *path) {
  return above_standard(CALL4(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
}

int open_namespaces(struct call *call) {
  long own = open_to_read("/proc/self/ns/net");
  if (own < 0) return 0;
  call->fds[call->fd_count++] = (int)own;
  if (!call->netns || !*call->netns) return 1;
  long pod = open_to_read(call->netns);
  if (pod >= 0) {
    call->fds[call->fd_count++] = (int)pod;
    long entered = CALL2(setns, pod, CLONE_NEWNET);
    if (entered >= 0) {
      call->is_inside = 1;
      long netlink = SOCK_RAW | SOCK_CLOEXEC;
      netlink = above_standard(CALL3(socket, AF_NETLINK, netlink, NETLINK_ROUTE));
      if (netlink >= 0) call->fds[call->fd_count++] = (int)netlink;
      else call->fault = (int)-netlink;
    } else call->fault = (int)-entered;
  } else call->fault = (int)-pod;
  return 1;
}

size_t write_header(const struct call *call, char *header) {
  char *at = put_text(header, "tulle-cni 1 " TULLE_BUILD " ");
  at = put_decimal(at, (unsigned long)call->fd_count);
  *at++ = ' ';
  at = put_decimal(at, (unsigned long)call->fault);
  *at++ = '\n';
  return (size_t)(at - header);
}

_Static_assert(sizeof "tulle-cni 1 " TULLE_BUILD " 3 4095\n" <= header_max, "TULLE_BUILD");
