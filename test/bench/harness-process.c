// Starts a program as a runtime does and waits for it: posix_spawn (vfork inside), the whole input
// already in the pipe, nothing inherited but what the job says.
#define _GNU_SOURCE
#include "harness.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// A pipe takes 64 KiB; what does not fit would block its writer: us before the start, or the
// program until `limit` ends it.
enum { INPUT_BYTES_MAX = 60000, OUTPUT_BYTES_MAX = 65536 };
enum { FIRST_PORT = 20000, PORTS = 20000 }; // as chain.c has them

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

// The configuration with a host port of the pod's own, if it asks for one; its length.
static int fill(char *text, const char *conf, const struct pod *pod) {
  const char *mark = strstr(conf, "@PORT@");
  int port = FIRST_PORT + (pod ? pod->number % PORTS : 0);
  return mark ? snprintf(text, INPUT_BYTES_MAX, "%.*s%d%s", (int)(mark - conf), conf, port,
                         mark + strlen("@PORT@"))
              : snprintf(text, INPUT_BYTES_MAX, "%s", conf);
}

// A pipe that already holds the whole input: the program never waits for its writer.
static int input_of(const struct contender *one, const char *verb, const struct pod *pod) {
  static char text[INPUT_BYTES_MAX];
  int length = fill(text, one->conf, pod), ends[2];
  if (pod && pod->result && strcmp(verb, "ADD") && length > 1 && length < INPUT_BYTES_MAX)
    length += snprintf(text + length - 1, sizeof text - length, ",\"prevResult\":%s}",
                       pod->result) - 1;
  if (length >= INPUT_BYTES_MAX) die("input of %s is too long", one->name);
  if (pipe2(ends, O_CLOEXEC) || write(ends[1], text, length) != length) die("cannot write input");
  close(ends[1]);
  return ends[0];
}

static void spawn(struct process *process, char **arguments, char **environment, int input,
                  int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, 0);
  posix_spawn_file_actions_adddup2(&actions, output, 1);
  posix_spawn_file_actions_adddup2(&actions, process->errors_file, 2);
  process->began = now_ms();
  errno = posix_spawn(&process->pid, arguments[0], &actions, NULL, arguments, environment);
  if (errno) die("cannot start %s", arguments[0]);
  posix_spawn_file_actions_destroy(&actions);
}

void start(struct process *process, struct contender *one, const char *verb,
           const struct pod *pod) {
  char command[64], container[64], netns[300];
  char *environment[WORDS_MAX + 4], *arguments[WORDS_MAX + 2] = {one->exe};
  int count = one->environment_count, output[2];
  memcpy(environment, one->environment, sizeof *environment * count);
  memcpy(arguments + 1, one->arguments, sizeof *arguments * one->argument_count);
  snprintf(command, sizeof command, "CNI_COMMAND=%s", verb);
  environment[count++] = command;
  if (pod) {
    snprintf(container, sizeof container, "CNI_CONTAINERID=bench-%d", pod->number);
    snprintf(netns, sizeof netns, "CNI_NETNS=%s", pod->path);
    environment[count++] = container;
    environment[count++] = netns;
  }
  environment[count] = NULL;
  int input = input_of(one, verb, pod), errors = memfd_create("stderr", MFD_CLOEXEC);
  if (errors < 0 || pipe2(output, O_CLOEXEC)) die("cannot make a pipe");
  *process = (struct process){.output_file = output[0], .errors_file = errors};
  spawn(process, arguments, environment, input, output[1]);
  close(input);
  close(output[1]);
}

// No larger than the text: a started process's peak memory is at first that of this one.
static char *drain(int file) {
  static char text[OUTPUT_BYTES_MAX];
  size_t used = 0;
  ssize_t got;
  while (used < OUTPUT_BYTES_MAX - 1 &&
         (got = read(file, text + used, OUTPUT_BYTES_MAX - 1 - used)) > 0)
    used += got;
  close(file);
  while (used && (text[used - 1] == '\n' || text[used - 1] == ' ')) used--;
  text[used] = 0;
  return strdup(text);
}

// For the signal handler, which kills what runs too long.
static struct process *running;
static volatile sig_atomic_t running_count;

static void kill_late(int signal_number) {
  (void)signal_number;
  for (int i = 0; i < running_count; i++)
    if (running[i].pid > 0) kill(running[i].pid, SIGKILL);
}

static void reap_one(struct process *processes, int count) {
  int status;
  struct rusage usage;
  pid_t pid = wait4(-1, &status, 0, &usage);
  double ended = now_ms();
  if (pid < 0) die("lost a process");
  for (int i = 0; i < count; i++) {
    if (processes[i].pid != pid) continue;
    processes[i].pid = 0;
    processes[i].ended = ended;
    processes[i].usage = usage;
    processes[i].exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

void wait_for(struct process *processes, int count, int limit_seconds) {
  running = processes;
  running_count = count;
  signal(SIGALRM, kill_late);
  alarm(limit_seconds);
  for (int left = count; left > 0; left--) reap_one(processes, count);
  alarm(0);
  running_count = 0;
  for (int i = 0; i < count; i++) {
    lseek(processes[i].errors_file, 0, SEEK_SET);
    processes[i].output = drain(processes[i].output_file);
    processes[i].errors = drain(processes[i].errors_file);
  }
}
