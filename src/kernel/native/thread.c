#define _GNU_SOURCE
#include "thread.h"
#include <signal.h>

int start_thread(pthread_t *thread, void *(*work)(void *), void *given) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int refusal = pthread_create(thread, NULL, work, given);
  sigprocmask(SIG_SETMASK, &before, NULL);
  return refusal;
}
