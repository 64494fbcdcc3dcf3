// What the four files of the timing harness share. harness.c says what it does.
#ifndef TULLE_BENCH_HARNESS_H
#define TULLE_BENCH_HARNESS_H
#include <sys/resource.h>
#include <sys/types.h>

// A job has one contender per peer and variant; 32 is twice the largest.
enum { CONTENDERS_MAX = 32, WORDS_MAX = 32, VERBS_MAX = 8, BURST_MAX = 256 };

struct pod {
  int number;
  char path[256];
  char *result; // what ADD printed, or NULL
};

struct contender {
  char *name, *exe, *conf;
  char *arguments[WORDS_MAX], *environment[WORDS_MAX], *verbs[VERBS_MAX];
  int argument_count, environment_count, verb_count, burst, rounds, inside, keeps_resident, node;
  pid_t agent; // 0: none
  struct pod resident;
};

struct job {
  struct contender contenders[CONTENDERS_MAX];
  int count, rounds, warmup, limit_seconds, one_by_one, quiet_ms;
  unsigned long long order_seed;
  char pods_directory[200];
};

struct process {
  pid_t pid; // 0 once it has been waited for
  int output_file, errors_file, exit_code;
  double began, ended; // monotonic milliseconds
  struct rusage usage;
  char *output, *errors; // filled by wait_for, freed by the caller
};

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

// harness-job.c
void read_job(struct job *job);

// harness-agent.c
double agent_cpu_ms(pid_t agent);
void wait_until_quiet(pid_t agent, int milliseconds);

// harness-process.c
void start(struct process *process, struct contender *one, const char *verb,
           const struct pod *pod);
void wait_for(struct process *processes, int count, int limit_seconds);
#endif
