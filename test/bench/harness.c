// Times programs from exec to exit as a container runtime would start them, interleaved, so that a
// drift of the machine hits every contender alike. The job comes from standard input
// (harness-job.c has its keys); one JSON line per call goes to standard output, round by round:
//   {"contender":0,"verb":"ADD","round":3,"count":1,"failed":0,"ms":…,"userMs":…,"systemMs":…,
//    "agentMs":…,"rssKiB":…}
// and "exit", "stdout", "stderr" of the first failure, if there was one.
// A round goes through the verbs, and for each verb through the contenders, every time in another
// order. Needs root. All namespaces and mounts of pods end with this process.
#define _GNU_SOURCE
#include "harness.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

// Between calls, so that the exit work of one process does not run into the next one's time; and
// between rounds, when the reader of our lines has its turn.
enum { GAP_MICROSECONDS = 1000, ROUND_GAP_MICROSECONDS = 5000, OUTPUT_BUFFER_BYTES = 65536 };
// Of a call that took so long is told at once.
enum { LONG_CALL_MS = 1000 };
// The round number of the pod that stays attached; job.ts knows it too.
enum { RESIDENT_ROUND = -1000 };

static const char *const verbs[] = {"VERSION", "STATUS", "ADD", "CHECK", "DEL", "RTT"};
enum { VERB_COUNT = sizeof verbs / sizeof *verbs };

static struct job job;
static struct process processes[BURST_MAX];
static int pod_count;

void die(const char *format, ...) {
  int error = errno;
  va_list values;
  va_start(values, format);
  fprintf(stderr, "harness: ");
  vfprintf(stderr, format, values);
  fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
  va_end(values);
  exit(1);
}

// ---- pods --------------------------------------------------------------------------------------

static void own_mounts(void) {
  if (!*job.pods_directory) return;
  if (unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
      mount("pods", job.pods_directory, "tmpfs", 0, NULL))
    die("cannot mount %s", job.pods_directory);
}

static void enter(int node) {
  if (setns(node, CLONE_NEWNET)) die("cannot enter the node");
}

static struct pod make_pod(int node) {
  struct pod pod = {.number = ++pod_count};
  snprintf(pod.path, sizeof pod.path, "%s/pod-%d", job.pods_directory, pod.number);
  int file = open(pod.path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
  if (file < 0) die("cannot make %s", pod.path);
  close(file);
  if (unshare(CLONE_NEWNET) || mount("/proc/self/ns/net", pod.path, NULL, MS_BIND, NULL))
    die("cannot make a namespace at %s", pod.path);
  enter(node);
  return pod;
}

static int needs_pod(const char *verb) {
  return !strcmp(verb, "ADD") || !strcmp(verb, "CHECK") || !strcmp(verb, "DEL");
}

static int has_verb(const struct contender *one, const char *verb) {
  for (int v = 0; v < one->verb_count; v++)
    if (!strcmp(one->verbs[v], verb)) return 1;
  return 0;
}

// ---- calls and their lines ---------------------------------------------------------------------

static double to_ms(struct timeval time) { return time.tv_sec * 1e3 + time.tv_usec / 1e3; }

static void print_string(const char *key, const char *text) {
  printf(",\"%s\":\"", key);
  for (; *text; text++) {
    unsigned char byte = *text;
    if (byte == '"' || byte == '\\') printf("\\%c", byte);
    else if (byte < 0x20) printf("\\u%04x", byte);
    else putchar(byte);
  }
  putchar('"');
}

static double figure_of(const struct contender *one, int count) {
  double last = 0;
  const char *printed = one->inside ? strstr(processes[0].output, "\"milliseconds\":") : NULL;
  if (printed) return atof(printed + strlen("\"milliseconds\":"));
  for (int i = 0; i < count; i++)
    if (processes[i].ended > last) last = processes[i].ended;
  return last - processes[0].began;
}

// For a burst: the wall time of all, the CPU time of all, the largest process.
static void report(const struct contender *one, const char *verb, int round, int count,
                   double agent_ms) {
  double user = 0, system = 0;
  long rss = 0;
  int failed = 0, shown = round == RESIDENT_ROUND ? 0 : -1;
  for (int i = 0; i < count; i++) {
    const struct process *process = &processes[i];
    user += to_ms(process->usage.ru_utime);
    system += to_ms(process->usage.ru_stime);
    if (process->usage.ru_maxrss > rss) rss = process->usage.ru_maxrss;
    if (process->exit_code && failed++ == 0) shown = i;
  }
  printf("{\"contender\":%d,\"verb\":\"%s\",\"round\":%d,\"count\":%d,\"failed\":%d",
         (int)(one - job.contenders), verb, round, count, failed);
  double figure = figure_of(one, count);
  printf(",\"ms\":%.4f,\"userMs\":%.3f,\"systemMs\":%.3f,\"agentMs\":%.3f,\"rssKiB\":%ld", figure,
         user, system, agent_ms, rss);
  if (shown >= 0) {
    printf(",\"exit\":%d", processes[shown].exit_code);
    print_string("stdout", processes[shown].output);
    print_string("stderr", processes[shown].errors);
  }
  printf("}\n");
  if (figure >= LONG_CALL_MS) fflush(stdout);
}

static void call(struct contender *one, const char *verb, int round, struct pod *pods, int count) {
  enter(one->node);
  usleep(GAP_MICROSECONDS);
  double before = agent_cpu_ms(one->agent);
  for (int i = 0; i < count; i++)
    start(&processes[i], one, verb, needs_pod(verb) ? &pods[i] : NULL);
  wait_for(processes, count, job.limit_seconds);
  wait_until_quiet(one->agent, job.quiet_ms);
  report(one, verb, round, count, agent_cpu_ms(one->agent) - before);
  for (int i = 0; i < count; i++) {
    free(processes[i].errors);
    if (!strcmp(verb, "ADD") && !processes[i].exit_code) pods[i].result = processes[i].output;
    else free(processes[i].output);
  }
}

// No contender always runs behind the same neighbour.
static void shuffle(int *order, int count) {
  for (int i = count - 1; i > 0; i--) {
    job.order_seed = job.order_seed * 6364136223846793005ULL + 1442695040888963407ULL;
    int other = (job.order_seed >> 33) % (i + 1), kept = order[i];
    order[i] = order[other];
    order[other] = kept;
  }
}

static int takes_part(const struct contender *one, int round) {
  return !one->rounds || (round >= 0 && round < one->rounds);
}

static struct pod pods[CONTENDERS_MAX][BURST_MAX];

static void call_verb(int contender, int verb, int round) {
  struct contender *one = &job.contenders[contender];
  if (has_verb(one, verbs[verb]) && takes_part(one, round))
    call(one, verbs[verb], round, pods[contender], one->burst);
}

static void make_pods(int contender, int round) {
  const struct contender *one = &job.contenders[contender];
  enter(one->node);
  for (int p = 0; takes_part(one, round) && has_verb(one, "ADD") && p < one->burst; p++)
    pods[contender][p] = make_pod(one->node);
}

static void free_results(int contender) {
  for (int p = 0; p < job.contenders[contender].burst; p++) {
    free(pods[contender][p].result);
    pods[contender][p].result = NULL;
  }
}

static void run_round(int *order, int round) {
  for (int i = 0; i < job.count; i++) make_pods(i, round);
  if (job.one_by_one) {
    shuffle(order, job.count);
    for (int i = 0; i < job.count; i++)
      for (int v = 0; v < VERB_COUNT; v++) call_verb(order[i], v, round);
  } else
    for (int v = 0; v < VERB_COUNT; v++) {
      shuffle(order, job.count);
      for (int i = 0; i < job.count; i++) call_verb(order[i], v, round);
    }
  for (int i = 0; i < job.count; i++) free_results(i);
  fflush(stdout);
  usleep(ROUND_GAP_MICROSECONDS);
}

int main(void) {
  int order[CONTENDERS_MAX];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setvbuf(stdout, NULL, _IOFBF, OUTPUT_BUFFER_BYTES);
  read_job(&job);
  own_mounts();
  for (int i = 0; i < job.count; i++) {
    struct contender *one = &job.contenders[i];
    order[i] = i;
    if (!one->keeps_resident) continue;
    enter(one->node);
    one->resident = make_pod(one->node);
    call(one, "ADD", RESIDENT_ROUND, &one->resident, 1);
  }
  for (int round = -job.warmup; round < job.rounds; round++) run_round(order, round);
  for (int i = 0; i < job.count; i++) {
    struct contender *one = &job.contenders[i];
    if (one->keeps_resident) call(one, "DEL", RESIDENT_ROUND, &one->resident, 1);
  }
  return 0;
}
