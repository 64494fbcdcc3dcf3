// Packets between pods: one process with sockets in the namespaces of all of them.
#ifndef PROBER_H
#define PROBER_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PODS_MAX = 2048, PROBES_MAX = 8192, FLOWS_MAX = 512, RACES_MAX = 64, TARGETS_MAX = 4 };

// What epoll hands back: the head of whatever waits for a file.
struct watch {
  void (*ready)(struct watch *, uint32_t events);
  int file;
};

union place {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

struct raw {
  struct watch watch;
  int pod;
  int protocol;
};

struct pod {
  char *name;
  int netns;
  struct raw sctp[2], icmp[2]; // by family: IPv4, IPv6
  uint16_t next_port;
};

// One message of a flow; what a client says and what a server answers or pushes.
struct message {
  uint32_t flow;
  uint32_t number;
  uint32_t push_milliseconds; // 0: the server answers; else it sends on its own
  uint32_t zero;
};

__attribute__((noreturn)) void die(const char *what);
uint64_t now_microseconds(void);
int watch_file(struct watch *watch, int file, uint32_t events);
void forget_file(struct watch *watch);
// Handles what is ready; waits for it at most so long. Says how much there was.
int turn(int milliseconds);

void add_pod(const char *name, const char *path);
void drop_pod(const char *name);
int find_pod(const char *name);
struct pod *enter_pod(int pod);
uint16_t take_port(struct pod *pod);
void listen_at(int pod, const char *protocol, uint16_t port);
union place place_of(const char *address, uint16_t port);
socklen_t size_of(const union place *place);
int open_client(const union place *to, int type);

void send_init(struct pod *pod, const union place *to, uint32_t tag);
void send_echo(struct pod *pod, const union place *to, uint32_t tag);
void open_raw(int pod);

void add_probe(int pod, const char *protocol, const char *address, uint16_t port);
void send_probes(void);
void collect_probes(int wanted, int milliseconds);
void answer_tagged(uint32_t tag);

void add_flow(int pod, const char *protocol, const union place *to, uint32_t interval, int push);
void accept_flow(int file);
void serve_datagram(int file, const char *bytes, ssize_t count, const union place *from);
void tick_flows(void);
int has_flows(void);
void print_flows(void);
void hush_flows(void);
void stop_flows(void);

void add_race(int pod, const union place *tcp, const union place *targets, int count);
int has_races(void);
void tick_races(void);
void end_race(int pod);
#endif
