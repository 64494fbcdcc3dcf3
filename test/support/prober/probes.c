// Many questions at once, one packet each: first all are sent, then answers are waited for.
#include "prober.h"

struct probe {
  struct watch watch;
  int pod;
  char protocol; // first letter: T, U, S, I
  char answer;   // '1' answered, '0' not, 'r' refused: nobody listens, 'u' no way there
  union place to;
};

static struct probe probes[PROBES_MAX];
static int probe_count, answered;
static uint32_t first_tag = 1;

void add_probe(int pod, const char *protocol, const char *address, uint16_t port) {
  if (probe_count == PROBES_MAX) die("too many probes");
  probes[probe_count++] = (struct probe){
      .pod = pod, .protocol = protocol[0], .answer = '0', .to = place_of(address, port)};
}

static void answer(struct probe *probe, char with) {
  if (probe->answer != '0') return;
  probe->answer = with;
  answered++;
}

void answer_tagged(uint32_t tag) {
  if (tag >= first_tag && tag - first_tag < (uint32_t)probe_count)
    answer(&probes[tag - first_tag], '1');
}

static char faultOf(int error) { return error == ECONNREFUSED ? 'r' : 'u'; }

static void ready_probe(struct watch *watch, uint32_t events) {
  struct probe *probe = (struct probe *)watch;
  uint32_t tag = 0;
  (void)events;
  if (probe->protocol == 'U') {
    if (recv(watch->file, &tag, sizeof tag, 0) < 0) answer(probe, faultOf(errno));
    else answer_tagged(tag);
  } else {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(watch->file, SOL_SOCKET, SO_ERROR, &error, &size);
    answer(probe, error ? faultOf(error) : '1');
  }
  forget_file(watch);
}

static void send_probe(struct probe *probe, uint32_t tag) {
  struct pod *pod = enter_pod(probe->pod);
  if (probe->protocol == 'S') return send_init(pod, &probe->to, tag);
  if (probe->protocol == 'I') return send_echo(pod, &probe->to, tag);
  int is_tcp = probe->protocol == 'T';
  int file = open_client(&probe->to, is_tcp ? SOCK_STREAM : SOCK_DGRAM);
  probe->watch.ready = ready_probe;
  if (is_tcp) {
    // closed by a reset: no port is kept
    setsockopt(file, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
  } else {
    union place own = {.any.sa_family = probe->to.any.sa_family};
    own.v4.sin_port = htons(take_port(pod)); // at the same place in both families
    if (bind(file, &own.any, size_of(&own))) die("bind");
  }
  if (connect(file, &probe->to.any, size_of(&probe->to)) && errno != EINPROGRESS) {
    answer(probe, faultOf(errno));
    close(file);
    return;
  }
  if (!is_tcp && send(file, &tag, sizeof tag, 0) != sizeof tag) answer(probe, faultOf(errno));
  watch_file(&probe->watch, file, is_tcp ? EPOLLOUT : EPOLLIN);
}

void send_probes(void) {
  answered = 0;
  for (int at = 0; at < probe_count; at++) {
    send_probe(&probes[at], first_tag + at);
    if (at % 64 == 63) turn(0); // receive buffers are finite
  }
  printf("sent %d\n", probe_count);
}

void collect_probes(int wanted, int milliseconds) {
  uint64_t end = now_microseconds() + milliseconds * 1000ull;
  while (answered < wanted && now_microseconds() < end) turn(1);
  while (turn(0) > 0) {}
  for (int at = 0; at < probe_count; at++) {
    putchar(probes[at].answer);
    forget_file(&probes[at].watch);
  }
  putchar('\n');
  first_tag += probe_count;
  probe_count = 0;
}
