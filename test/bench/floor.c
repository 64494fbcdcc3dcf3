// The kernel's own part of ADD and DEL: the same kind and number of objects that the plugin leaves
// (floor-pod.c). The time is taken inside, so that no process start is in it.
//
//   CNI_COMMAND=ADD|DEL CNI_NETNS=… CNI_CONTAINERID=…-N  floor routed|bridge plain|masq single|dual
//
// prints {"milliseconds":…}.
#include "floor.h"
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

int main(int count, char **words) {
  const char *verb = getenv("CNI_COMMAND"), *container = getenv("CNI_CONTAINERID");
  if (count != 4 || !verb || !container) return 2;
  struct pod pod = describe_pod(atoi(strrchr(container, '-') + 1), getenv("CNI_NETNS"), words + 1);
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  int route = open_netlink(NETLINK_ROUTE), filter = open_netlink(NETLINK_NETFILTER);
  double began = now_ms();
  if (!strcmp(verb, "ADD")) add_pod(&pod, home, route, filter);
  else {
    remove_elements(&pod, filter);
    delete_links(route, pod.host_index, 0);
  }
  printf("{\"milliseconds\":%.4f}\n", now_ms() - began);
  return 0;
}
