// The launcher: what a container runtime starts in the place of the Node executable. It hands the
// call to the agent over a unix socket, or, wherever that does not work, executes Node with the
// same call. No C library, so that it starts in a fraction of a millisecond; few system calls, as
// that is all it is there for.
//
// Protocol 1 (SOCK_SEQPACKET, a packet is a message):
//   launcher  tulle-cni 1 <build> <fds> <errno>\n argv[0]\0 NAME=VALUE\0 … \0 <standard input>
//             with <fds> descriptors: its own network namespace, CNI_NETNS, a route socket in there
//   agent     R  taken up                              launcher  G  go, only now work begins
//   agent     Or<path> Ow<path> S<protocol>            launcher  F with a descriptor, E<errno>
//   agent     N<text>  for standard error
//   agent     D<code><standard output>                 launcher  U if that can't be written: undo
// A connection that closes before D: Node does the same call again, and is told the attempt's name.

#include "launcher.h"

#include <linux/poll.h>

/* What no installation has written to is where "tulle install --warm" puts things by default. */
struct places places = {
    .mark = "CNI tulle plugin v" TULLE_VERSION " launcher",
    .executable = "/opt/cni/bin/.tulle/tulle",
    .socket = "/run/tulle/cni.sock",
};

LAUNCHER_START;

static unsigned char text[packet_max - header_max];

__attribute__((noreturn, used)) void begin(long *stack);
void begin(long *stack) {
  struct call call = {.text = text, .fds = {-1, -1, -1}};
  call.argv = (char **)(stack + 1);
  call.environment = call.argv + stack[0] + 1;
  int fits = read_environment(&call);
  if (!call.is_cni || !fits) execute(&call, attempt_not_made);
  // First of all: without an agent nothing else was in vain, and it may wake meanwhile.
  int connection = connect_agent();
  if (connection < 0) execute(&call, attempt_not_made);
  read_input(&call);
  enum attempt_known attempt = attempt_not_made;
  if (call.is_input_whole && open_namespaces(&call) && ask_agent(&call, connection))
    attempt = attempt_made;
  system_call(__NR_close, connection, 0, 0, 0, 0);
  execute(&call, attempt);
}

void end(int code) {
  for (;;) system_call(__NR_exit_group, code, 0, 0, 0, 0);
}

size_t length_of(const char *string) {
  size_t length = 0;
  while (string[length]) length++;
  return length;
}

const char *behind(const char *string, const char *start) {
  while (*start)
    if (*string++ != *start++) return 0;
  return string;
}

char *put_text(char *at, const char *string) {
  while (*string) *at++ = *string++;
  return at;
}

char *put_decimal(char *at, unsigned long number) {
  char digits[20];
  int count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count) *at++ = digits[--count];
  return at;
}

static void wait_for(int fd, short events) {
  struct pollfd asked = {.fd = fd, .events = events};
  CALL5(ppoll, &asked, 1, 0, 0, 0);
}

long read_some(int fd, void *into, size_t room) {
  for (;;) {
    long length = CALL3(read, fd, into, room);
    if (length != -EAGAIN) return length;
    wait_for(fd, POLLIN);
  }
}

long write_whole(int fd, const void *bytes, size_t length) {
  const char *at = bytes;
  while (length > 0) {
    long written = CALL3(write, fd, at, length);
    if (written == -EAGAIN) {
      wait_for(fd, POLLOUT);
      continue;
    }
    if (written < 0) return written;
    at += written;
    length -= (size_t)written;
  }
  return 0;
}

/* gcc makes calls of these out of loops and copied structures. */
void *memcpy(void *to, const void *from, size_t length) {
  for (size_t at = 0; at < length; at++) ((char *)to)[at] = ((const char *)from)[at];
  return to;
}

void *memset(void *to, int value, size_t length) {
  for (size_t at = 0; at < length; at++) ((char *)to)[at] = (char)value;
  return to;
}
