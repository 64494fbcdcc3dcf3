#ifndef TULLE_THREAD_H
#define TULLE_THREAD_H

#include <pthread.h>

// glibc 2.34 moved these from libpthread and gave them new versions; Node itself asks for 2.28.
#if defined(__x86_64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_detach, pthread_detach@GLIBC_2.2.5");
#elif defined(__aarch64__)
__asm__(".symver pthread_create, pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join, pthread_join@GLIBC_2.17");
__asm__(".symver pthread_detach, pthread_detach@GLIBC_2.17");
#endif

// A thread that no signal is for: it inherits a full mask. 0, or an errno.
int start_thread(pthread_t *thread, void *(*work)(void *), void *given);

#endif
