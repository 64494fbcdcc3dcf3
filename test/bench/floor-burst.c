// The kernel's own part of many ADDs and DELs at once: what is left when no process has to start
// and nobody waits for anybody but the kernel (RTNL, RCU).
//
//   floor-burst PODS routed|bridge plain|masq single|dual
//
// prints {"addThreads":…,"addOne":…,"delThreadsUnseen":…,"delThreads":…,"delGroupUnseen":…,
// "delGroup":…}, all in milliseconds: ADDs by a thread each, and by one thread; deletions of the
// links by a thread each, and by one request for their link group, until none of them can be seen,
// and until the calls have returned.
#define _GNU_SOURCE
#include "floor.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PODS_MAX = 256, GROUP = 116, SETTLE_MICROSECONDS = 20000, LOOK_MICROSECONDS = 100 };

struct work {
  void (*run)(struct pod *pod, int route, int filter);
  struct pod *pods;
  int count;
};

static struct pod pods[PODS_MAX];
static int pod_count, home;
static pthread_barrier_t begin;

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

// Every pod and every thread keeps its descriptors to the end.
static void allow_many_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files)) die("getrlimit");
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files)) die("setrlimit");
}

static void make_pod(int number, char **words) {
  static char paths[PODS_MAX][32];
  if (unshare(CLONE_NEWNET)) die("unshare");
  int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (netns < 0 || setns(home, CLONE_NEWNET)) die("a pod's namespace");
  snprintf(paths[number], sizeof *paths, "/proc/self/fd/%d", netns);
  pods[number] = describe_pod(number + 1, paths[number], words);
}

static void add(struct pod *pod, int route, int filter) { add_pod(pod, home, route, filter); }

static void delete(struct pod *pod, int route, int filter) {
  (void)filter;
  delete_links(route, pod->host_index, 0);
}

static void delete_all(struct pod *first, int route, int filter) {
  (void)first;
  (void)filter;
  for (int p = 0; p < pod_count; p++) put_into_group(route, pods[p].host_index, GROUP);
  delete_links(route, 0, GROUP);
}

static void *start(void *argument) {
  const struct work *work = argument;
  int route = open_netlink(NETLINK_ROUTE), filter = open_netlink(NETLINK_NETFILTER);
  pthread_barrier_wait(&begin);
  for (int p = 0; p < work->count; p++) work->run(&work->pods[p], route, filter);
  // Closing may wait for the kernel too, and is not what is measured: the process's end does it.
  return NULL;
}

// Until the links of all pods are unseen; SIOCGIFINDEX takes no lock.
static void wait_until_unseen(void) {
  for (int p = 0; p < pod_count; p++)
    while (if_nametoindex(pods[p].host_name)) usleep(LOOK_MICROSECONDS);
}

// A thread for each part of the work; how long until all have returned.
static double time_work(struct work *parts, int count, double *unseen) {
  pthread_t threads[PODS_MAX];
  pthread_barrier_init(&begin, NULL, count + 1);
  for (int i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, start, &parts[i])) die("a thread");
  usleep(SETTLE_MICROSECONDS);
  double began = now_ms();
  pthread_barrier_wait(&begin);
  if (unseen) {
    wait_until_unseen();
    *unseen = now_ms() - began;
  }
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  double ended = now_ms();
  pthread_barrier_destroy(&begin);
  return ended - began;
}

static double each_by_a_thread(void (*run)(struct pod *, int, int), double *unseen) {
  struct work parts[PODS_MAX];
  for (int p = 0; p < pod_count; p++) parts[p] = (struct work){run, &pods[p], 1};
  return time_work(parts, pod_count, unseen);
}

static void forget_elements(void) {
  int filter = open_netlink(NETLINK_NETFILTER);
  for (int p = 0; p < pod_count; p++) remove_elements(&pods[p], filter);
  close(filter);
}

int main(int count, char **words) {
  double threads_unseen, group_unseen;
  if (count != 5 || (pod_count = atoi(words[1])) < 1 || pod_count > PODS_MAX) return 2;
  allow_many_files();
  home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  for (int p = 0; p < pod_count; p++) make_pod(p, words + 2);
  double add_threads = each_by_a_thread(add, NULL);
  forget_elements();
  double delete_threads = each_by_a_thread(delete, &threads_unseen);
  double add_one = time_work(&(struct work){add, pods, pod_count}, 1, NULL);
  forget_elements();
  double delete_group = time_work(&(struct work){delete_all, pods, 1}, 1, &group_unseen);
  printf("{\"addThreads\":%.3f,\"addOne\":%.3f,\"delThreadsUnseen\":%.3f,\"delThreads\":%.3f,",
         add_threads, add_one, threads_unseen, delete_threads);
  printf("\"delGroupUnseen\":%.3f,\"delGroup\":%.3f}\n", group_unseen, delete_group);
  return 0;
}
