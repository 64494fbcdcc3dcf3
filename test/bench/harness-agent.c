// The processor time of an agent that a program hands its work to: part of what a call costs, and
// no child's.
#define _GNU_SOURCE
#include "harness.h"
#include <errno.h>
#include <time.h>
#include <unistd.h>

// It rests while it gains less than RESTING_MS from one look to the next. An idle event loop gains
// a thirtieth of that.
enum { LOOK_MS = 5, LOOKS_MAX = 2000 };
static const double RESTING_MS = 0.2;

// Of all its threads, ended ones too: what utime + stime of /proc/PID/stat are rounded from.
double agent_cpu_ms(pid_t agent) {
  clockid_t clock;
  struct timespec time;
  if (!agent) return 0;
  errno = clock_getcpuclockid(agent, &clock);
  if (errno || clock_gettime(clock, &time)) die("no agent is process %d", agent);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

// Returns when it has been at rest for so long.
void wait_until_quiet(pid_t agent, int milliseconds) {
  double before = agent_cpu_ms(agent);
  for (int rest = 0, looks = 0; agent && rest < milliseconds && looks < LOOKS_MAX; looks++) {
    usleep(LOOK_MS * 1000);
    double now = agent_cpu_ms(agent);
    rest = now - before < RESTING_MS ? rest + LOOK_MS : 0;
    before = now;
  }
}
