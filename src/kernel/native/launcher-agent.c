// The talk with the agent, and what is done for it in the pod's namespace.

#include "launcher.h"

#include <asm/socket.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/time_types.h>

static const long patience_microseconds = 50 * 1000;

struct unix_address {
  unsigned short family;
  char path[108];
};

/* Where many wait to be accepted there may be no place: it is waited for, but not long. */
int connect_agent(void) {
  struct unix_address agent = {.family = AF_UNIX};
  size_t length = length_of(places.socket);
  if (length >= sizeof agent.path) return -ENAMETOOLONG;
  __builtin_memcpy(agent.path, places.socket, length + 1);
  long fd = above_standard(CALL3(socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (fd < 0) return (int)fd;
  long limit[2] = {0, patience_microseconds}; // struct timeval
  CALL5(setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, limit, sizeof limit);
  long done = CALL3(connect, fd, &agent, sizeof agent.family + length + 1);
  if (done >= 0) return (int)fd;
  system_call(__NR_close, fd, 0, 0, 0, 0);
  return (int)done;
}

/* One packet of up to two pieces, with `count` descriptors; true if it was sent. */
static int send_packet(int connection, struct vector pieces[2], const int *fds, int count) {
  struct rights rights = {sizeof rights - sizeof rights.fds + sizeof(int) * (size_t)count,
                          SOL_SOCKET, SCM_RIGHTS, {-1, -1, -1, -1}};
  for (int index = 0; index < count; index++) rights.fds[index] = fds[index];
  struct message message = {.vectors = pieces, .vector_count = pieces[1].base ? 2 : 1};
  if (count > 0) {
    message.control = &rights;
    message.control_length = rights.length;
  }
  return CALL3(sendmsg, connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static int send_text(int connection, const char *bytes, size_t length) {
  struct vector pieces[2] = {{bytes, length}, {0, 0}};
  return send_packet(connection, pieces, 0, 0);
}

static int is_request_sent(struct call *call, int connection) {
  char header[header_max];
  size_t length = write_header(call, header);
  struct vector pieces[2] = {{header, length}, {call->text, call->text_length}};
  return send_packet(connection, pieces, call->fds, call->fd_count);
}

/* `R` within the time; ppoll(2) counts on by itself where a signal interrupts it. */
static int is_taken_up(int connection) {
  struct pollfd readable = {.fd = connection, .events = POLLIN};
  struct __kernel_timespec limit = {.tv_nsec = patience_microseconds * 1000};
  if (CALL5(ppoll, &readable, 1, &limit, 0, 0) <= 0) return 0;
  char word[2];
  return CALL5(recvfrom, connection, word, sizeof word, 0, 0) == 1 && word[0] == 'R';
}

/* The namespace is in no other files; the agent, which may less than we, gets no others of ours. */
static int is_of_namespace(const char *path) {
  static const char folder[] = "/proc/sys/net/";
  if (!behind(path, folder)) return 0;
  for (const char *at = path + sizeof folder - 2; *at; at++) {
    const char *next = behind(at, "/..");
    if (next && (*next == '/' || *next == 0)) return 0;
  }
  return 1;
}

/* "r<path>" or "w<path>", ended by a NUL. */
static long opened(const char *asked) {
  const char *path = asked + 1;
  if ((*asked != 'r' && *asked != 'w') || !is_of_namespace(path)) return -EACCES;
  int way = *asked == 'r' ? O_RDONLY : O_WRONLY;
  return CALL4(openat, AT_FDCWD, path, way | O_CLOEXEC, 0);
}

static long netlink_of(const char *digits) {
  long protocol = 0;
  for (; *digits >= '0' && *digits <= '9' && protocol < 1000; digits++)
    protocol = protocol * 10 + (*digits - '0');
  if (*digits) return -EINVAL;
  return CALL3(socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
}

/* `F` with the descriptor, or `E` and the errno; ours is closed. */
static int answer(int connection, long fd) {
  char refusal[24] = "E";
  if (fd < 0) {
    char *end_of = put_decimal(refusal + 1, (unsigned long)-fd);
    return send_text(connection, refusal, (size_t)(end_of - refusal));
  }
  int handed = (int)above_standard(fd);
  struct vector pieces[2] = {{"F", 1}, {0, 0}};
  int is_sent = send_packet(connection, pieces, &handed, 1);
  system_call(__NR_close, handed, 0, 0, 0, 0);
  return is_sent;
}

/* A piece of what the agent has to say, and the NUL behind it. */
static unsigned char packet[packet_max + 2 + 1];

/* True: goes on; false: the agent said what this is no word of. */
static int serve(struct call *call, int connection, size_t length) {
  char *told = (char *)packet + 1;
  switch (packet[0]) {
  case 'O':
    return answer(connection, call->is_inside ? opened(told) : -ENXIO);
  case 'S':
    return answer(connection, call->is_inside ? netlink_of(told) : -ENXIO);
  case 'N':
    write_whole(2, told, length - 1);
    return 1;
  default:
    return 0;
  }
}

/* Serves until the connection closes; `D` before that ends the process, if it can be told. */
static void work(struct call *call, int connection) {
  int is_undone = 0;
  for (;;) {
    long length = CALL5(recvfrom, connection, packet, sizeof packet - 1, MSG_TRUNC, 0);
    if (length <= 0 || length > (long)sizeof packet - 1) break;
    packet[length] = 0;
    if (packet[0] == 'D' && length >= 2 && !is_undone) {
      long printed = write_whole(1, packet + 2, (size_t)length - 2);
      // Who closed it wants no output: Node would have opened /dev/null in its place.
      if (printed == 0 || printed == -EBADF) end(packet[1]);
      is_undone = 1;
      if (!send_text(connection, "U", 1)) break;
    } else if (!serve(call, connection, (size_t)length)) break;
  }
  if (is_undone) end(1);
}

int ask_agent(struct call *call, int connection) {
  if (!is_request_sent(call, connection) || !is_taken_up(connection)) return 0;
  if (!send_text(connection, "G", 1)) return 0;
  // Whoever reads our output may be gone: the agent is told then. Node gets it back as it was.
  struct signal_action before, ignore = {.handler = (void *)SIG_IGN};
  CALL4(rt_sigaction, SIGPIPE, &ignore, &before, sizeof ignore.mask);
  work(call, connection);
  CALL4(rt_sigaction, SIGPIPE, &before, 0, sizeof before.mask);
  return 1;
}
