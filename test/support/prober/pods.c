// Pods, and what listens in them.
#include "prober.h"

static struct pod pods[PODS_MAX];
static int pod_count;

void add_pod(const char *name, const char *path) {
  if (pod_count == PODS_MAX) die("too many pods");
  struct pod *pod = &pods[pod_count];
  pod->netns = open(path, O_RDONLY | O_CLOEXEC);
  if (pod->netns < 0) die(path);
  pod->name = strdup(name);
  pod->next_port = 16384;
  open_raw(pod_count++);
}

// Only raw sockets and the namespace itself: what listens there must have been somebody else's.
void drop_pod(const char *name) {
  struct pod *pod = &pods[find_pod(name)];
  for (int at = 0; at < 2; at++) {
    forget_file(&pod->sctp[at].watch);
    forget_file(&pod->icmp[at].watch);
  }
  close(pod->netns);
  pod->name[0] = 0;
}

// The newest first: a name can be used again.
int find_pod(const char *name) {
  for (int at = pod_count; at-- > 0;)
    if (!strcmp(pods[at].name, name)) return at;
  errno = ENOENT;
  die(name);
}

struct pod *enter_pod(int pod) {
  static int current = -1;
  if (current != pod && setns(pods[pod].netns, CLONE_NEWNET)) die("setns");
  current = pod;
  return &pods[pod];
}

// Never one again that a connection of a moment ago had, as far as that can be.
uint16_t take_port(struct pod *pod) {
  if (pod->next_port == 65535) pod->next_port = 16384;
  return pod->next_port++;
}

union place place_of(const char *address, uint16_t port) {
  union place place = {0};
  if (strchr(address, ':')) {
    place.v6.sin6_family = AF_INET6;
    place.v6.sin6_port = htons(port);
    if (inet_pton(AF_INET6, address, &place.v6.sin6_addr) != 1) die(address);
  } else {
    place.v4.sin_family = AF_INET;
    place.v4.sin_port = htons(port);
    if (inet_pton(AF_INET, address, &place.v4.sin_addr) != 1) die(address);
  }
  return place;
}

socklen_t size_of(const union place *place) {
  return place->any.sa_family == AF_INET6 ? sizeof place->v6 : sizeof place->v4;
}

int open_client(const union place *to, int type) {
  int file = socket(to->any.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (file < 0) die("socket");
  return file;
}

static void ready_to_accept(struct watch *watch, uint32_t events) {
  (void)events;
  for (;;) {
    int file = accept4(watch->file, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (file < 0) return;
    accept_flow(file);
  }
}

static void ready_datagrams(struct watch *watch, uint32_t events) {
  char bytes[64];
  (void)events;
  for (;;) {
    union place from;
    socklen_t size = sizeof from;
    ssize_t count = recvfrom(watch->file, bytes, sizeof bytes, 0, &from.any, &size);
    if (count < 0) return;
    serve_datagram(watch->file, bytes, count, &from);
  }
}

// Both families by one socket. SCTP is answered by the raw sockets on every port.
void listen_at(int pod, const char *protocol, uint16_t port) {
  union place own = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
  int is_tcp = !strcmp(protocol, "TCP"), one = 1, zero = 0;
  if (!strcmp(protocol, "SCTP")) return;
  enter_pod(pod);
  struct watch *watch = calloc(1, sizeof *watch);
  int file = open_client(&own, is_tcp ? SOCK_STREAM : SOCK_DGRAM);
  setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(file, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  if (bind(file, &own.any, sizeof own.v6)) die("bind");
  if (is_tcp && listen(file, 4096)) die("listen");
  watch->ready = is_tcp ? ready_to_accept : ready_datagrams;
  watch_file(watch, file, EPOLLIN);
}
