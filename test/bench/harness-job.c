// Reads a job from standard input: one "key value" a line; all keys after `contender` belong to
// that contender. job.ts writes it.
//   pods DIR        directory that pod namespaces are mounted in (a private tmpfs of the harness)
//   rounds N        measured rounds                 warmup N    rounds before them, numbered < 0
//   seed N          of the order in which a round visits the contenders
//   order WORD      `verbs`: all contenders at a verb, then the next verb (default); `contenders`:
//                   one contender with all its verbs, then the next
//   quiet N         milliseconds that an agent rests until a call's work is over (default 50)
//   limit N         seconds after which the programs of a call are killed
//   contender NAME  begins a contender
//   node PATH       namespace in which it runs (default: that of the harness)
//   exe PATH        program                         arg WORD    repeated
//   env K=V         its whole environment, but for CNI_COMMAND, CNI_CONTAINERID and CNI_NETNS
//   conf JSON       standard input; prevResult is added for CHECK and DEL, as libcni does;
//                   @PORT@ in it is a host port of the pod's own
//   verb WORD       repeated: VERSION, STATUS, ADD, CHECK, DEL; the last three get a pod namespace
//   burst N         processes started at once, each with a pod of its own (default 1)
//   rounds N        takes part in that many rounds and no more, nor in those of the warm-up
//   agent PID       its CPU time during a call, and after it until it is quiet, is part of the
//                   call's
//   figure inside   the time is the "milliseconds" that the program prints, not exec to exit
//   resident yes    one more pod stays attached from before the first round to after the last
#include "harness.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void push(char **list, int *count, int max, const char *value) {
  if (*count >= max - 1) die("more than %d values of one key", max - 1);
  list[(*count)++] = strdup(value);
}

static int open_node(const char *path) {
  int node = open(path, O_RDONLY | O_CLOEXEC);
  if (node < 0) die("cannot open node %s", path);
  return node;
}

static void read_common(struct job *job, const char *key, const char *value) {
  if (!strcmp(key, "pods")) snprintf(job->pods_directory, sizeof job->pods_directory, "%s", value);
  else if (!strcmp(key, "rounds")) job->rounds = atoi(value);
  else if (!strcmp(key, "warmup")) job->warmup = atoi(value);
  else if (!strcmp(key, "limit")) job->limit_seconds = atoi(value);
  else if (!strcmp(key, "quiet")) job->quiet_ms = atoi(value);
  else if (!strcmp(key, "order")) job->one_by_one = !strcmp(value, "contenders");
  else if (!strcmp(key, "seed")) job->order_seed = strtoull(value, NULL, 10);
  else die("unknown key %s before the first contender", key);
}

static void read_own(struct contender *one, const char *key, const char *value) {
  if (!strcmp(key, "exe")) one->exe = strdup(value);
  else if (!strcmp(key, "conf")) one->conf = strdup(value);
  else if (!strcmp(key, "arg")) push(one->arguments, &one->argument_count, WORDS_MAX, value);
  else if (!strcmp(key, "env")) push(one->environment, &one->environment_count, WORDS_MAX, value);
  else if (!strcmp(key, "verb")) push(one->verbs, &one->verb_count, VERBS_MAX, value);
  else if (!strcmp(key, "burst")) one->burst = atoi(value);
  else if (!strcmp(key, "rounds")) one->rounds = atoi(value);
  else if (!strcmp(key, "agent")) one->agent = atoi(value);
  else if (!strcmp(key, "figure")) one->inside = !strcmp(value, "inside");
  else if (!strcmp(key, "resident")) one->keeps_resident = !strcmp(value, "yes");
  else if (!strcmp(key, "node")) {
    close(one->node);
    one->node = open_node(value);
  } else die("unknown key %s of contender %s", key, one->name);
}

void read_job(struct job *job) {
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  *job = (struct job){.rounds = 1, .limit_seconds = 120, .quiet_ms = 50, .order_seed = 1};
  while ((length = getline(&line, &capacity, stdin)) > 0) {
    errno = 0; // getline asks whether stdin is a terminal; die() must not tell of that
    line[strcspn(line, "\n")] = 0;
    char *value = strchr(line, ' ');
    if (!value) die("no value in line %s", line);
    *value++ = 0;
    if (!strcmp(line, "contender")) {
      if (job->count == CONTENDERS_MAX) die("more than %d contenders", CONTENDERS_MAX);
      job->contenders[job->count++] = (struct contender){
          .name = strdup(value), .conf = "", .burst = 1, .node = open_node("/proc/self/ns/net")};
    } else if (job->count) read_own(&job->contenders[job->count - 1], line, value);
    else read_common(job, line, value);
  }
  for (int i = 0; i < job->count; i++) {
    const struct contender *one = &job->contenders[i];
    if (!one->exe || one->burst < 1 || one->burst > BURST_MAX)
      die("contender %s has no exe, or a burst outside of 1 to %d", one->name, BURST_MAX);
  }
  free(line);
}
