// Somebody in a pod who sends before there is a network: again and again until the kernel takes it.
#include "prober.h"
#include <netinet/tcp.h>
#include <time.h>

struct race {
  int pod;
  int udp[2]; // by family
  int tcp;
  int is_connecting;
  union place tcp_to, targets[TARGETS_MAX];
  int target_count;
  uint64_t tries, sent, first, last;
};

static struct race races[RACES_MAX];
static int race_count;

int has_races(void) { return race_count > 0; }

void add_race(int pod, const union place *tcp, const union place *targets, int count) {
  if (race_count == RACES_MAX) die("too many races");
  struct race *race = &races[race_count];
  *race = (struct race){.pod = pod, .tcp_to = *tcp, .target_count = count};
  memcpy(race->targets, targets, count * sizeof *targets);
  enter_pod(pod);
  race->tcp = open_client(tcp, SOCK_STREAM);
  for (int is_v6 = 0; is_v6 < 2; is_v6++) {
    union place own = {.any.sa_family = is_v6 ? AF_INET6 : AF_INET};
    race->udp[is_v6] = open_client(&own, SOCK_DGRAM);
  }
  race_count++;
}

// Fast until the first packet leaves and for 20 ms more, then slowly: others want to run too.
static void tick(struct race *race, uint64_t now) {
  uint64_t gap = race->first == 0 ? 0 : now - race->first < 20000 ? 200 : 5000;
  if (now - race->last < gap) return;
  race->last = now;
  race->tries++;
  for (int at = 0; at < race->target_count; at++) {
    const union place *to = &race->targets[at];
    int file = race->udp[to->any.sa_family == AF_INET6];
    if (sendto(file, "from the first moment", 21, 0, &to->any, size_of(to)) != 21) continue;
    if (race->first == 0) race->first = now;
    race->sent++;
  }
  if (race->is_connecting) return;
  race->is_connecting =
      !connect(race->tcp, &race->tcp_to.any, size_of(&race->tcp_to)) || errno == EINPROGRESS;
}

void tick_races(void) {
  for (int at = 0; at < race_count; at++) tick(&races[at], now_microseconds());
  nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

// "tries sent state retransmits": state is tcpi_state, 1 for established.
void end_race(int pod) {
  for (int at = 0; at < race_count; at++) {
    struct race *race = &races[at];
    if (race->pod != pod) continue;
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    getsockopt(race->tcp, IPPROTO_TCP, TCP_INFO, &info, &size);
    printf("%lu %lu %u %u\n", race->tries, race->sent, info.tcpi_state, info.tcpi_total_retrans);
    close(race->tcp);
    for (int is_v6 = 0; is_v6 < 2; is_v6++) close(race->udp[is_v6]);
    *race = races[--race_count];
    return;
  }
  errno = ENOENT;
  die("unrace");
}
