// Connections that live: a message every few milliseconds, answered by the server, or pushed by it.
#include "prober.h"
#include <netinet/tcp.h>

struct flow {
  struct watch watch;
  int is_tcp;
  uint32_t push_milliseconds, sent, served, echoed, interval;
  uint64_t due;
  // the server's end, where it pushes
  int server;
  union place client;
  int partial;
};

struct connection {
  struct watch watch;
  char bytes[sizeof(struct message)];
  size_t have;
};

static struct flow flows[FLOWS_MAX];
static int flow_count, is_hushed;

int has_flows(void) { return flow_count > 0; }

// A message that came to a server: counted, then answered, or the first of many is pushed later.
static int serve(const struct message *message, int file, const union place *from) {
  if (message->flow >= (uint32_t)flow_count) return 0;
  struct flow *flow = &flows[message->flow];
  if (!message->push_milliseconds) {
    flow->served++;
    return 1;
  }
  flow->server = file;
  if (from) flow->client = *from;
  return 0;
}

void serve_datagram(int file, const char *bytes, ssize_t count, const union place *from) {
  struct message message;
  int is_answered = 1;
  if (count == sizeof message) {
    memcpy(&message, bytes, sizeof message);
    is_answered = serve(&message, file, from);
  }
  if (is_answered) sendto(file, bytes, count, 0, &from->any, size_of(from));
}

static void ready_connection(struct watch *watch, uint32_t events) {
  struct connection *connection = (struct connection *)watch;
  (void)events;
  for (;;) {
    size_t room = sizeof connection->bytes - connection->have;
    ssize_t count = read(watch->file, connection->bytes + connection->have, room);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      forget_file(watch);
      return;
    }
    if ((connection->have += count) < sizeof connection->bytes) continue;
    connection->have = 0;
    if (serve((struct message *)connection->bytes, watch->file, NULL) &&
        send(watch->file, connection->bytes, sizeof connection->bytes, MSG_NOSIGNAL) < 0)
      return;
  }
}

void accept_flow(int file) {
  struct connection *connection = calloc(1, sizeof *connection);
  int one = 1;
  setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  connection->watch.ready = ready_connection;
  watch_file(&connection->watch, file, EPOLLIN);
}

static void ready_flow(struct watch *watch, uint32_t events) {
  struct flow *flow = (struct flow *)watch;
  char bytes[4096];
  (void)events;
  for (;;) {
    ssize_t count = read(watch->file, bytes, sizeof bytes);
    if (count <= 0) {
      if (count < 0 && errno == EAGAIN) return;
      if (flow->is_tcp) forget_file(watch);
      return;
    }
    flow->partial += count;
    flow->echoed += flow->partial / sizeof(struct message);
    flow->partial %= sizeof(struct message);
  }
}

static int say(struct flow *flow) {
  struct message message = {flow - flows, flow->sent, flow->push_milliseconds, 0};
  return send(flow->watch.file, &message, sizeof message, MSG_NOSIGNAL) == sizeof message;
}

void add_flow(int at, const char *protocol, const union place *to, uint32_t interval, int push) {
  if (flow_count == FLOWS_MAX) die("too many flows");
  struct flow *flow = &flows[flow_count];
  int one = 1;
  *flow = (struct flow){.watch.ready = ready_flow, .is_tcp = protocol[0] == 'T', .server = -1};
  flow->interval = interval;
  flow->push_milliseconds = push ? interval : 0;
  enter_pod(at);
  int file = open_client(to, flow->is_tcp ? SOCK_STREAM : SOCK_DGRAM);
  if (flow->is_tcp) setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(file, &to->any, size_of(to)) && errno != EINPROGRESS) die("connect");
  watch_file(&flow->watch, file, EPOLLIN);
  printf("flow %d\n", flow_count++);
}

// A flow that pushes says hello until the server has heard it.
static void tick(struct flow *flow, uint64_t now) {
  if (now < flow->due) return;
  flow->due = now + flow->interval * 1000ull;
  if (!flow->push_milliseconds || flow->server < 0) {
    if (flow->watch.file > 0 && say(flow)) flow->sent++;
    return;
  }
  struct message message = {flow - flows, flow->served, flow->push_milliseconds, 0};
  ssize_t count = flow->is_tcp ? send(flow->server, &message, sizeof message, MSG_NOSIGNAL)
                               : sendto(flow->server, &message, sizeof message, 0,
                                        &flow->client.any, size_of(&flow->client));
  if (count == sizeof message) flow->served++;
}

void hush_flows(void) {
  is_hushed = 1;
  printf("done\n");
}

void tick_flows(void) {
  if (is_hushed) return;
  uint64_t now = now_microseconds();
  for (int at = 0; at < flow_count; at++) tick(&flows[at], now);
}

void print_flows(void) {
  for (int at = 0; at < flow_count; at++) {
    struct flow *flow = &flows[at];
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (flow->is_tcp && flow->watch.file > 0)
      getsockopt(flow->watch.file, IPPROTO_TCP, TCP_INFO, &info, &size);
    printf("%u %u %u %u%c", flow->sent, flow->served, flow->echoed, info.tcpi_total_retrans,
           at + 1 < flow_count ? ',' : '\n');
  }
  if (flow_count == 0) putchar('\n');
}

void stop_flows(void) {
  for (int at = 0; at < flow_count; at++) forget_file(&flows[at].watch);
  flow_count = is_hushed = 0;
  printf("done\n");
}
