// The launcher's parts, and what they share. launcher.c tells what it is.
#ifndef TULLE_LAUNCHER_H
#define TULLE_LAUNCHER_H

#include "launcher-system.h"

/* store/launcher.ts finds `mark` in the file and writes both paths, which end in a NUL. */
struct places {
  char mark[64];
  char executable[256];
  char socket[256];
};
extern struct places places;

/* Of one packet, either way. */
enum { packet_max = 128 * 1024, header_max = 128 };

/*
 * The call as it came. `text` is what a request says behind its header: argv[0], variables, an
 * empty string, and from `input_at` on standard input; it fits into a packet with any header.
 */
struct call {
  char **argv;
  char **environment;
  char **environment_end;
  char attempt[sizeof "TULLE_ATTEMPT=0123456789abcdef"];
  unsigned char *text;
  size_t text_length;
  size_t input_at;
  /* Standard input was read: all of it, or as much as there is room for. */
  int is_input_read;
  int is_input_whole;
  /* A variable CNI_COMMAND that says something; without one this is no plugin's call. */
  int is_cni;
  const char *netns;
  /* Descriptors, -1 where there is none: our own namespace, the pod's, a socket in the pod's. */
  int fds[3];
  int fd_count;
  /* Why there are fewer than three; 0 where no namespace was named. */
  int fault;
  /* This process is in the pod's namespace. */
  int is_inside;
};

/* launcher-call.c: false where the environment alone is too large for a packet. */
int read_environment(struct call *call);
void read_input(struct call *call);
/* Opens `fds`, and is in the pod's namespace from then on; false: nobody can be asked. */
int open_namespaces(struct call *call);
size_t write_header(const struct call *call, char *header);

/* launcher-agent.c: a descriptor, or -errno */
int connect_agent(void);
/* Returns only if Node has to do it. True: the agent had taken it up; false: nothing was begun. */
int ask_agent(struct call *call, int connection);

/* launcher-execute.c */
enum attempt_known { attempt_not_made, attempt_made };
__attribute__((noreturn)) void execute(struct call *call, enum attempt_known attempt);

/* launcher.c: what all of them need. */
__attribute__((noreturn)) void end(int code);
size_t length_of(const char *text);
/* If `text` begins with `start`: what stands behind it; else null. */
const char *behind(const char *text, const char *start);
/* Writes the number and returns what stands behind it. */
char *put_decimal(char *at, unsigned long number);
char *put_text(char *at, const char *text);
/* As read(2), but waits where the descriptor would have us ask again. */
long read_some(int fd, void *into, size_t room);
/* All of it, in as many writes as it takes, also where the other end is slow; 0 or -errno. */
long write_whole(int fd, const void *bytes, size_t length);
/* Descriptors 0 to 2 are the caller's, also those that it has closed. */
long above_standard(long fd);

#endif
