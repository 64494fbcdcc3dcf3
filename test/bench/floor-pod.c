// Links, addresses, routes, neighbours, sysctls and set elements of a pod, over netlink, by a
// program that knows everything beforehand (names, indexes, addresses): nothing is looked up, no
// lease is kept. Each thread has a batch of its own. node.ts makes the bridge and nftables sets.
#define _GNU_SOURCE
#include "floor.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// One pod's messages take about 1 KiB a send.
enum { BATCH_BYTES_MAX = 8192, PROTOCOL = 116, POD_INDEX = 2, HOST_INDEX_BASE = 1000 };

struct batch {
  char bytes[BATCH_BYTES_MAX];
  int used, acks;
  struct nlmsghdr *message; // the one that attributes are added to
};

static const unsigned char host_mac[6] = {0x02, 0, 0, 0, 0, 1}, pod_mac[6] = {0x02, 0, 0, 0, 0, 2};
static __thread struct batch batch;
static __thread unsigned sequence = 1;

void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

// ---- messages ----------------------------------------------------------------------------------

static void *message(int type, int flags, int body_bytes) {
  struct nlmsghdr *header = (void *)(batch.bytes + batch.used);
  memset(header, 0, NLMSG_SPACE(body_bytes));
  *header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(body_bytes), .nlmsg_type = type,
                              .nlmsg_flags = NLM_F_REQUEST | flags, .nlmsg_seq = sequence++};
  if (flags & NLM_F_ACK) batch.acks++;
  batch.message = header;
  batch.used += NLMSG_SPACE(body_bytes);
  return NLMSG_DATA(header);
}

static struct nlattr *attribute(int type, const void *value, int bytes) {
  struct nlattr *one = (void *)(batch.bytes + batch.used);
  int padded = NLA_ALIGN(NLA_HDRLEN + bytes);
  if (batch.used + padded > BATCH_BYTES_MAX) die("batch is full");
  memset(one, 0, padded);
  *one = (struct nlattr){.nla_len = NLA_HDRLEN + bytes, .nla_type = type};
  if (bytes) memcpy((char *)one + NLA_HDRLEN, value, bytes);
  batch.used += padded;
  batch.message->nlmsg_len = batch.bytes + batch.used - (char *)batch.message;
  return one;
}

static struct nlattr *nest(int type) { return attribute(type | NLA_F_NESTED, NULL, 0); }

static void end_nest(struct nlattr *one) { one->nla_len = batch.bytes + batch.used - (char *)one; }

// Sends the batch and takes one answer for every message that asked for it.
static void commit(int socket, const char *what) {
  static __thread char answer[BATCH_BYTES_MAX];
  if (send(socket, batch.bytes, batch.used, 0) < 0) die(what);
  while (batch.acks > 0) {
    int length = recv(socket, answer, sizeof answer, 0);
    if (length < 0) die(what);
    for (struct nlmsghdr *one = (void *)answer; NLMSG_OK(one, length);
         one = NLMSG_NEXT(one, length)) {
      if (one->nlmsg_type != NLMSG_ERROR) continue;
      errno = -((struct nlmsgerr *)NLMSG_DATA(one))->error;
      if (errno) die(what);
      batch.acks--;
    }
  }
  batch.used = 0;
}

int open_netlink(int protocol) {
  int one = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), yes = 1;
  if (one < 0) die("socket");
  setsockopt(one, SOL_NETLINK, NETLINK_CAP_ACK, &yes, sizeof yes); // answers without our request
  return one;
}

// ---- rtnetlink ---------------------------------------------------------------------------------

enum { NEW = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL };

static void new_veth(const struct pod *pod) {
  struct ifinfomsg *info = message(RTM_NEWLINK, NEW, sizeof *info);
  info->ifi_index = pod->host_index;
  attribute(IFLA_IFNAME, pod->host_name, strlen(pod->host_name) + 1);
  attribute(IFLA_ADDRESS, host_mac, sizeof host_mac);
  struct nlattr *link = nest(IFLA_LINKINFO);
  attribute(IFLA_INFO_KIND, "veth", 5);
  struct nlattr *data = nest(IFLA_INFO_DATA), *peer = nest(VETH_INFO_PEER);
  struct ifinfomsg peer_info = {.ifi_index = POD_INDEX};
  memcpy(batch.bytes + batch.used, &peer_info, sizeof peer_info);
  batch.used += sizeof peer_info;
  attribute(IFLA_IFNAME, "eth0", 5);
  attribute(IFLA_ADDRESS, pod_mac, sizeof pod_mac);
  attribute(IFLA_NET_NS_FD, &pod->netns, sizeof pod->netns);
  end_nest(peer);
  end_nest(data);
  end_nest(link);
}

static void set_up(int index, int master, const char *alias) {
  struct ifinfomsg *info = message(RTM_NEWLINK, NLM_F_ACK, sizeof *info);
  unsigned char mode = IN6_ADDR_GEN_MODE_NONE;
  info->ifi_index = index;
  info->ifi_flags = info->ifi_change = IFF_UP;
  if (master) attribute(IFLA_MASTER, &master, sizeof master);
  if (!alias) return;
  attribute(IFLA_IFALIAS, alias, strlen(alias));
  struct nlattr *families = nest(IFLA_AF_SPEC), *six = nest(AF_INET6);
  attribute(IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
  end_nest(six);
  end_nest(families);
}

static int bytes_of(int family) { return family == AF_INET ? 4 : 16; }

static void new_address(int index, int family, const void *address, int prefix) {
  struct ifaddrmsg *info = message(RTM_NEWADDR, NEW, sizeof *info);
  *info = (struct ifaddrmsg){.ifa_family = family, .ifa_prefixlen = prefix, .ifa_index = index,
                             .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0};
  attribute(IFA_LOCAL, address, bytes_of(family));
  attribute(IFA_ADDRESS, address, bytes_of(family));
}

static void new_neighbour(int index, int family, const void *address, const unsigned char *mac) {
  struct ndmsg *info = message(RTM_NEWNEIGH, NEW, sizeof *info);
  *info = (struct ndmsg){.ndm_family = family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
  attribute(NDA_DST, address, bytes_of(family));
  attribute(NDA_LLADDR, mac, 6);
}

// Destination NULL is the default route, gateway NULL one on the link.
static void new_route(int index, int family, const void *destination, int prefix,
                      const void *gateway) {
  struct rtmsg *info = message(RTM_NEWROUTE, NEW, sizeof *info);
  *info = (struct rtmsg){.rtm_family = family, .rtm_dst_len = prefix, .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = PROTOCOL, .rtm_type = RTN_UNICAST,
                         .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK};
  if (destination) attribute(RTA_DST, destination, bytes_of(family));
  if (gateway) attribute(RTA_GATEWAY, gateway, bytes_of(family));
  attribute(RTA_OIF, &index, sizeof index);
}

// One family of the routed host end; a bridge port carries nothing itself.
static void host_side(const struct pod *pod, int family, const void *address, const void *gateway) {
  int all = 8 * bytes_of(family);
  new_address(pod->host_index, family, gateway, all);
  new_neighbour(pod->host_index, family, address, pod_mac);
  new_route(pod->host_index, family, address, all, NULL);
}

static void pod_side(const struct pod *pod, int family, const void *address, const void *gateway) {
  int all = 8 * bytes_of(family);
  new_address(POD_INDEX, family, address, pod->routed ? all : family == AF_INET ? 16 : 64);
  if (pod->routed) {
    new_route(POD_INDEX, family, gateway, all, NULL);
    new_neighbour(POD_INDEX, family, gateway, host_mac);
  }
  new_route(POD_INDEX, family, NULL, 0, gateway);
}

// ---- nf_tables: one batch, one element in each set ---------------------------------------------

static void batch_edge(int type) {
  struct nfgenmsg *info = message(type, 0, sizeof *info);
  info->res_id = htons(NFNL_SUBSYS_NFTABLES);
}

static void element(int family, int verb, const char *set, const void *key, int bytes) {
  int flags = NLM_F_ACK | (verb == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
  struct nfgenmsg *info = message(NFNL_SUBSYS_NFTABLES << 8 | verb, flags, sizeof *info);
  info->nfgen_family = family;
  attribute(NFTA_SET_ELEM_LIST_TABLE, "floor", 6);
  attribute(NFTA_SET_ELEM_LIST_SET, set, strlen(set) + 1);
  struct nlattr *list = nest(NFTA_SET_ELEM_LIST_ELEMENTS), *one = nest(NFTA_LIST_ELEM);
  struct nlattr *value = nest(NFTA_SET_ELEM_KEY);
  attribute(NFTA_DATA_VALUE, key, bytes);
  end_nest(value);
  end_nest(one);
  end_nest(list);
}

// The spoof guard's key is the port's name and the address that may come from it.
static void elements_of(const struct pod *pod, int verb, const char *guard, const char *masquerade,
                        const void *address, int bytes) {
  char key[IFNAMSIZ + sizeof(struct in6_addr)] = "";
  memcpy(key, pod->host_name, sizeof pod->host_name); // a name and zeros
  memcpy(key + IFNAMSIZ, address, bytes);
  element(pod->routed ? NFPROTO_INET : NFPROTO_BRIDGE, verb, guard, key, IFNAMSIZ + bytes);
  if (pod->masquerade) element(NFPROTO_INET, verb, masquerade, address, bytes);
}

static void change_sets(int socket, const struct pod *pod, int verb) {
  batch_edge(NFNL_MSG_BATCH_BEGIN);
  elements_of(pod, verb, "guard4", "masquerade4", &pod->address, 4);
  if (pod->dual) elements_of(pod, verb, "guard6", "masquerade6", &pod->address6, 16);
  batch_edge(NFNL_MSG_BATCH_END);
  commit(socket, "set elements");
}

// ---- verbs -------------------------------------------------------------------------------------

static void refuse_advertisements(const char *name) {
  char path[96];
  snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/accept_ra", name);
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, "0", 1) != 1) die(path);
  close(file);
}

void add_pod(struct pod *pod, int home, int route, int filter) {
  pod->netns = open(pod->netns_path, O_RDONLY | O_CLOEXEC);
  if (pod->netns < 0) die(pod->netns_path);
  new_veth(pod);
  commit(route, "veth");
  refuse_advertisements(pod->host_name);
  set_up(pod->host_index, pod->bridge_index, "floor 10.88.0.2 eth0 bench bench-2");
  if (pod->routed) host_side(pod, AF_INET, &pod->address, &pod->gateway);
  if (pod->routed && pod->dual) host_side(pod, AF_INET6, &pod->address6, &pod->gateway6);
  commit(route, "host side");
  if (setns(pod->netns, CLONE_NEWNET)) die("setns");
  int inside = open_netlink(NETLINK_ROUTE);
  refuse_advertisements("eth0");
  if (setns(home, CLONE_NEWNET)) die("setns");
  set_up(POD_INDEX, 0, NULL);
  pod_side(pod, AF_INET, &pod->address, &pod->gateway);
  if (pod->dual) pod_side(pod, AF_INET6, &pod->address6, &pod->gateway6);
  commit(inside, "pod side");
  change_sets(filter, pod, NFT_MSG_NEWSETELEM);
  close(inside);
  close(pod->netns);
}

void remove_elements(const struct pod *pod, int filter) {
  change_sets(filter, pod, NFT_MSG_DELSETELEM);
}

void delete_links(int route, int index, int group) {
  struct ifinfomsg *info = message(RTM_DELLINK, NLM_F_ACK, sizeof *info);
  info->ifi_index = index;
  if (!index) attribute(IFLA_GROUP, &group, sizeof group);
  commit(route, "delete link");
}

void put_into_group(int route, int index, int group) {
  struct ifinfomsg *info = message(RTM_NEWLINK, NLM_F_ACK, sizeof *info);
  info->ifi_index = index;
  attribute(IFLA_GROUP, &group, sizeof group);
  commit(route, "link group");
}

struct pod describe_pod(int number, const char *netns_path, char **words) {
  struct pod pod = {.number = number, .netns_path = netns_path,
                    .routed = !strcmp(words[0], "routed"), .masquerade = !strcmp(words[1], "masq"),
                    .dual = !strcmp(words[2], "dual")};
  pod.host_index = HOST_INDEX_BASE + pod.number;
  pod.bridge_index = if_nametoindex("cni0");
  snprintf(pod.host_name, sizeof pod.host_name, "floor%d", pod.number);
  pod.gateway.s_addr = htonl(0x0a580001);
  pod.address.s_addr = htonl(0x0a580001 + pod.number);
  inet_pton(AF_INET6, "fd00:88::1", &pod.gateway6);
  pod.address6 = pod.gateway6;
  pod.address6.s6_addr32[3] = htonl(1 + pod.number);
  return pod;
}
