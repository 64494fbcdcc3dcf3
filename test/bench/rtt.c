// Round trips of single UDP packets, each of a flow of its own: what a host port costs is paid by
// a flow's first packet. `rtt serve PORT` echoes until it is killed; `rtt ask ADDRESS PORT COUNT`
// says the median as the harness reads it, {"milliseconds":…}.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { COUNT_MAX = 20000 };

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

static int serve(const char *port) {
  char text[64];
  struct sockaddr_in own = place("0.0.0.0", port), from;
  int file = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(file, (struct sockaddr *)&own, sizeof own)) die("bind");
  for (;;) {
    socklen_t size = sizeof from;
    ssize_t count = recvfrom(file, text, sizeof text, 0, (struct sockaddr *)&from, &size);
    if (count > 0) sendto(file, text, count, 0, (struct sockaddr *)&from, size);
  }
}

static double ask(const struct sockaddr_in *to) {
  char text[64];
  struct timeval limit = {.tv_sec = 1};
  int file = socket(AF_INET, SOCK_DGRAM, 0);
  if (connect(file, (const struct sockaddr *)to, sizeof *to)) die("connect");
  setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  double began = now_ms();
  if (send(file, "x", 1, 0) != 1 || recv(file, text, sizeof text, 0) != 1) die("no answer");
  double took = now_ms() - began;
  close(file);
  return took;
}

static int compare(const void *left, const void *right) {
  double difference = *(const double *)left - *(const double *)right;
  return difference < 0 ? -1 : difference > 0;
}

int main(int count, char **words) {
  static double took[COUNT_MAX];
  if (count == 3 && !strcmp(words[1], "serve")) return serve(words[2]);
  if (count != 5 || strcmp(words[1], "ask")) return 2;
  struct sockaddr_in to = place(words[2], words[3]);
  int times = atoi(words[4]);
  if (times < 1 || times > COUNT_MAX) return 2;
  for (int at = 0; at < times; at++) took[at] = ask(&to);
  qsort(took, times, sizeof *took, compare);
  printf("{\"milliseconds\":%.5f}\n", took[times / 2]);
  return 0;
}
