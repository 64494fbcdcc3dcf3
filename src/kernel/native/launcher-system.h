// System calls without a C library, for x86_64 and aarch64. Results below zero are -errno.
#ifndef TULLE_LAUNCHER_SYSTEM_H
#define TULLE_LAUNCHER_SYSTEM_H

#include <asm/unistd.h>
#include <linux/errno.h>

typedef __SIZE_TYPE__ size_t;

#if defined(__x86_64__)
static inline long system_call(long number, long a, long b, long c, long d, long e) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}
/* The stack as execve(2) leaves it, argc first, is begin()'s argument. */
#define LAUNCHER_START                                                                           \
  __asm__(".text\n.global _start\n_start:\n"                                                     \
          "  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call begin\n  hlt\n")
#elif defined(__aarch64__)
static inline long system_call(long number, long a, long b, long c, long d, long e) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                   : "memory");
  return x0;
}
#define LAUNCHER_START                                                                           \
  __asm__(".text\n.global _start\n_start:\n"                                                     \
          "  mov x29, xzr\n  mov x30, xzr\n  mov x0, sp\n  bl begin\n  brk #1\n")
#else
#error "the launcher is written for x86_64 and aarch64"
#endif

/* What a signal has interrupted is asked again; close(2) and execve(2) are never interrupted so. */
static inline long retried(long number, long a, long b, long c, long d, long e) {
  long result;
  do result = system_call(number, a, b, c, d, e);
  while (result == -EINTR);
  return result;
}

#define CALL5(name, a, b, c, d, e)                                                               \
  retried(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define CALL4(name, a, b, c, d) CALL5(name, a, b, c, d, 0)
#define CALL3(name, a, b, c) CALL5(name, a, b, c, 0, 0)
#define CALL2(name, a, b) CALL5(name, a, b, 0, 0, 0)
#define CALL1(name, a) CALL5(name, a, 0, 0, 0, 0)

/* Of linux/net.h, linux/socket.h and bits that have no header of the kernel's to users. */
enum {
  AF_UNIX = 1,
  AF_NETLINK = 16,
  SOCK_RAW = 3,
  SOCK_SEQPACKET = 5,
  SOCK_CLOEXEC = 02000000,
  SCM_RIGHTS = 1,
  MSG_DONTWAIT = 0x40,
  MSG_TRUNC = 0x20,
  MSG_NOSIGNAL = 0x4000,
};

/* struct user_msghdr and struct cmsghdr of the kernel's linux/socket.h. */
struct vector {
  const void *base;
  size_t length;
};
struct message {
  void *name;
  int name_length;
  struct vector *vectors;
  size_t vector_count;
  void *control;
  size_t control_length;
  unsigned flags;
};
struct rights {
  size_t length;
  int level;
  int type;
  int fds[4];
};

/* struct sigaction of rt_sigaction(2), the same on both architectures. */
struct signal_action {
  void *handler;
  unsigned long flags;
  void *restorer;
  unsigned long mask;
};

#endif
