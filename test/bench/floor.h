// What programs that make pods by netlink alone share. floor-pod.c makes them.
#ifndef TULLE_BENCH_FLOOR_H
#define TULLE_BENCH_FLOOR_H
#include <net/if.h>
#include <netinet/in.h>

struct pod {
  int number, routed, masquerade, dual, netns, host_index, bridge_index;
  const char *netns_path;
  char host_name[IFNAMSIZ];
  struct in_addr address, gateway;
  struct in6_addr address6, gateway6;
};

__attribute__((noreturn)) void die(const char *what);
int open_netlink(int protocol);

// A pod with all its addresses, by its number; words: routed|bridge plain|masq single|dual.
struct pod describe_pod(int number, const char *netns_path, char **words);

// home is the caller's namespace; route and filter are sockets in it.
void add_pod(struct pod *pod, int home, int route, int filter);
void remove_elements(const struct pod *pod, int filter);

// Deletes the link of that index, or all of a group if the index is 0.
void delete_links(int route, int index, int group);
void put_into_group(int route, int index, int group);
#endif
