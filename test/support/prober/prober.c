// Commands on stdin, a line each; test/support/prober.ts has the words.
#include "prober.h"
#include <sys/resource.h>
#include <time.h>

enum { EVENTS_MAX = 256, WORDS_MAX = 16 };
static int poll_file;

void die(const char *what) {
  fprintf(stderr, "prober: %s: %s\n", what, strerror(errno));
  exit(1);
}

uint64_t now_microseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000ull + time.tv_nsec / 1000;
}

int watch_file(struct watch *watch, int file, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = watch};
  watch->file = file;
  if (epoll_ctl(poll_file, EPOLL_CTL_ADD, file, &event)) die("epoll_ctl");
  return file;
}

// An event of this turn may still name it.
void forget_file(struct watch *watch) {
  if (watch->file > 0) close(watch->file);
  watch->file = -1;
}

int turn(int milliseconds) {
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(poll_file, events, EVENTS_MAX, milliseconds);
  if (count < 0 && errno != EINTR) die("epoll_wait");
  for (int at = 0; at < count; at++) {
    struct watch *watch = events[at].data.ptr;
    if (watch->file >= 0) watch->ready(watch, events[at].events);
  }
  return count;
}

// What has arrived already is counted; nothing more is sent meanwhile.
static void settle(void) {
  while (turn(0) > 0) {}
}

static void obey(int count, char **words) {
  const char *verb = words[0];
  if (!strcmp(verb, "pod") && count == 3) add_pod(words[1], words[2]);
  else if (!strcmp(verb, "drop") && count == 2) drop_pod(words[1]);
  else if (!strcmp(verb, "listen") && count == 4)
    listen_at(find_pod(words[1]), words[2], atoi(words[3]));
  else if (!strcmp(verb, "probe") && count == 5)
    add_probe(find_pod(words[1]), words[2], words[3], atoi(words[4]));
  else if (!strcmp(verb, "send")) send_probes();
  else if (!strcmp(verb, "collect") && count == 3) collect_probes(atoi(words[1]), atoi(words[2]));
  else if ((!strcmp(verb, "flow") || !strcmp(verb, "push")) && count == 6) {
    union place to = place_of(words[3], atoi(words[4]));
    add_flow(find_pod(words[1]), words[2], &to, atoi(words[5]), verb[0] == 'p');
  } else if (!strcmp(verb, "flows")) {
    settle();
    print_flows();
  } else if (!strcmp(verb, "hush")) hush_flows();
  else if (!strcmp(verb, "stop")) stop_flows();
  else if (!strcmp(verb, "race") && count >= 4 && count <= 4 + TARGETS_MAX) {
    union place targets[TARGETS_MAX], tcp = place_of(words[3], atoi(words[2]));
    for (int at = 4; at < count; at++) targets[at - 4] = place_of(words[at], atoi(words[2]));
    add_race(find_pod(words[1]), &tcp, targets, count - 4);
  } else if (!strcmp(verb, "unrace") && count == 2) end_race(find_pod(words[1]));
  else if (!strcmp(verb, "sync")) printf("done\n");
  else {
    errno = EINVAL;
    die(verb);
  }
}

static void read_commands(struct watch *watch, uint32_t events) {
  static char text[1 << 16];
  static size_t have;
  (void)events;
  ssize_t count = read(watch->file, text + have, sizeof text - have);
  if (count <= 0) exit(0);
  have += count;
  char *line = text, *end;
  while ((end = memchr(line, '\n', text + have - line))) {
    char *words[WORDS_MAX], *rest = line;
    int found = 0;
    *end = 0;
    for (char *word; found < WORDS_MAX && (word = strtok_r(rest, " ", &rest));)
      words[found++] = word;
    if (found > 0) obey(found, words);
    line = end + 1;
  }
  have -= line - text;
  memmove(text, line, have);
  if (have == sizeof text) die("a line is too long");
  fflush(stdout);
}

int main(void) {
  static struct watch commands = {.ready = read_commands};
  struct rlimit files = {0};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  poll_file = epoll_create1(0);
  watch_file(&commands, STDIN_FILENO, EPOLLIN);
  for (;;) {
    turn(has_races() ? 0 : has_flows() ? 1 : -1);
    if (has_flows()) tick_flows();
    if (has_races()) tick_races();
  }
}
