// What a packet and a connection cost: `traffic serve PORT` answers UDP and TCP until it is killed;
// `traffic ask ADDRESS PORT COUNT` says the median of round trips on one flow in milliseconds,
// `traffic connect ADDRESS PORT COUNT` how many connections a second were made, one by one, of so
// many or of as many as 300 ms allow.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 100000, CONNECT_MILLISECONDS = 300 };

__attribute__((noreturn)) static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static struct sockaddr_in place(const char *address, const char *port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, address, &to.sin_addr) != 1) die(address);
  return to;
}

static int bound(const char *port, int type) {
  struct sockaddr_in own = place("0.0.0.0", port);
  int file = socket(AF_INET, type, 0);
  if (bind(file, (struct sockaddr *)&own, sizeof own)) die("bind");
  return file;
}

static int serve(const char *port) {
  char text[64];
  struct sockaddr_in from;
  struct pollfd both[2] = {{bound(port, SOCK_DGRAM), POLLIN, 0},
                           {bound(port, SOCK_STREAM), POLLIN, 0}};
  if (listen(both[1].fd, 4096)) die("listen");
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (poll(both, 2, -1) < 0) die("poll");
    if (both[0].revents) {
      socklen_t size = sizeof from;
      ssize_t count = recvfrom(both[0].fd, text, sizeof text, 0, (struct sockaddr *)&from, &size);
      if (count > 0) sendto(both[0].fd, text, count, 0, (struct sockaddr *)&from, size);
    }
    if (both[1].revents) close(accept(both[1].fd, NULL, NULL));
  }
}

static int compare(const void *left, const void *right) {
  double difference = *(const double *)left - *(const double *)right;
  return difference < 0 ? -1 : difference > 0;
}

static void ask(const struct sockaddr_in *to, int times) {
  static double took[COUNT_MAX];
  char text[64];
  struct timeval limit = {.tv_sec = 1};
  int file = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(file, (const struct sockaddr *)to, sizeof *to)) die("connect");
  setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  for (int at = 0; at < times; at++) {
    double began = now_ms();
    if (send(file, "x", 1, 0) != 1 || recv(file, text, sizeof text, 0) != 1) die("no answer");
    took[at] = now_ms() - began;
  }
  qsort(took, times, sizeof *took, compare);
  printf("%.6f\n", took[times / 2]);
}

static void connect_again(const struct sockaddr_in *to, int times) {
  struct timeval limit = {.tv_sec = 2};
  double began = now_ms();
  int at = 0;
  for (; at < times && now_ms() - began < CONNECT_MILLISECONDS; at++) {
    int file = socket(AF_INET, SOCK_STREAM, 0);
    // closed by a reset: no port is kept
    setsockopt(file, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(file, (const struct sockaddr *)to, sizeof *to)) die("connect");
    close(file);
  }
  printf("%.1f\n", at * 1e3 / (now_ms() - began));
}

int main(int count, char **words) {
  if (count == 3 && !strcmp(words[1], "serve")) return serve(words[2]);
  if (count != 5) return 2;
  struct sockaddr_in to = place(words[2], words[3]);
  int times = atoi(words[4]);
  if (times < 1 || times > COUNT_MAX) return 2;
  if (!strcmp(words[1], "ask")) ask(&to, times);
  else if (!strcmp(words[1], "connect")) connect_again(&to, times);
  else return 2;
  return 0;
}
