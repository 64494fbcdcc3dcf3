// A runtime's part in a chain of CNI plugins, no more: runs each with the result of the one before
// (ADD), each with the final result (CHECK), or backwards (DEL), or each by itself (STATUS).
// Arguments: pairs of an executable and its configuration, in which @PORT@ stands for a port of the
// container's own.
// Standard input: the job's text with the final result behind `{,"prevResult":`.
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 60000, FIRST_PORT = 20000, PORTS = 20000 };
extern char **environ;

__attribute__((noreturn)) static void die(const char *what) {
  perror(what);
  exit(2);
}

static size_t read_all(int file, char *text) {
  size_t length = 0;
  ssize_t count;
  while ((count = read(file, text + length, TEXT_MAX - 1 - length)) > 0) length += count;
  if (count < 0) die("read");
  text[length] = 0;
  return length;
}

static unsigned port_of(const char *container) {
  unsigned hash = 2166136261u;  // FNV-1a
  for (; *container; container++) hash = (hash ^ (unsigned char)*container) * 16777619u;
  return FIRST_PORT + hash % PORTS;
}

// The configuration with its port, and the result behind its last key.
static void fill(char *text, const char *conf, unsigned port, const char *result) {
  const char *mark = strstr(conf, "@PORT@");
  int length = mark ? snprintf(text, TEXT_MAX, "%.*s%u%s", (int)(mark - conf), conf, port, mark + 6)
                    : snprintf(text, TEXT_MAX, "%s", conf);
  if (*result) snprintf(text + length - 1, TEXT_MAX - length, ",\"prevResult\":%s}", result);
}

// Runs one plugin; what it prints replaces `output`. Ends with the plugin's exit code if it fails.
static void run(char *executable, const char *input, char *output) {
  int in[2], out[2], status;
  pid_t pid;
  char *arguments[] = {executable, NULL};
  posix_spawn_file_actions_t actions;
  size_t length = strlen(input);
  if (pipe2(in, 02000000) || pipe2(out, 02000000)) die("pipe");  // O_CLOEXEC
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  if (write(in[1], input, length) != (ssize_t)length) die("write");
  if (posix_spawn(&pid, executable, &actions, NULL, arguments, environ)) die(executable);
  close(in[0]), close(in[1]), close(out[1]);
  read_all(out[0], output);
  close(out[0]);
  if (waitpid(pid, &status, 0) != pid) die("waitpid");
  if (status == 0) return;
  fprintf(stderr, "%s: %s", executable, output);
  exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

int main(int count, char **words) {
  static char input[TEXT_MAX], output[TEXT_MAX], text[TEXT_MAX];
  const char *verb = getenv("CNI_COMMAND"), *container = getenv("CNI_CONTAINERID");
  const char *mark = "{,\"prevResult\":";
  int plugins = (count - 1) / 2;
  size_t length = read_all(0, text);
  if (!verb) return 2;
  if (!container) container = "";  // STATUS is about none
  int adds = !strcmp(verb, "ADD"), backwards = !strcmp(verb, "DEL");
  if (!strncmp(text, mark, strlen(mark))) {
    text[length - 1] = 0;
    strcpy(input, text + strlen(mark));
  }
  for (int at = 0; at < plugins; at++) {
    int place = 1 + 2 * (backwards ? plugins - 1 - at : at);
    fill(text, words[place + 1], port_of(container), input);
    run(words[place], text, output);
    if (adds) strcpy(input, output);
  }
  if (adds) fputs(input, stdout);
  return 0;
}
