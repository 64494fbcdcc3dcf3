// The Node executable in our place, with everything as it came.

#include "launcher.h"

#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <linux/sched.h>

/* Since Linux 6.3; where vm.memfd_noexec is 2, none is made without. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

struct failure {
  const char *tried;
  long result;
};

static const char beside[] = ".tulle/tulle";

/* Where the launcher itself is, which a bind mount or another root may show elsewhere. */
static const char *path_beside(char *path, size_t room) {
  long length = CALL4(readlinkat, AT_FDCWD, "/proc/self/exe", path, room - sizeof beside);
  if (length <= 0 || (size_t)length >= room - sizeof beside) return 0;
  while (length > 0 && path[length - 1] != '/') length--;
  __builtin_memcpy(path + length, beside, sizeof beside);
  return path;
}

/* What was read of standard input, the rest of it, and standard input is that from its start. */
static long renew_input(const struct call *call) {
  static unsigned char rest[64 * 1024];
  long file = CALL2(memfd_create, "stdin", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (file == -EINVAL) file = CALL2(memfd_create, "stdin", MFD_CLOEXEC);
  file = above_standard(file);
  if (file < 0) return file;
  size_t length = call->text_length - call->input_at;
  long result = write_whole((int)file, call->text + call->input_at, length);
  while (result >= 0 && !call->is_input_whole) {
    long more = read_some(0, rest, sizeof rest);
    if (more <= 0) break;
    result = write_whole((int)file, rest, (size_t)more);
  }
  if (result >= 0) result = CALL3(lseek, file, 0, 0);
  if (result >= 0) result = CALL3(dup3, file, 0, 0);
  return result;
}

/* The auxiliary vector behind the environment's end has been read, and gives its first entry. */
static void tell_attempt(struct call *call) {
  char **variable = call->environment;
  while (*variable && !behind(*variable, "TULLE_ATTEMPT=")) variable++;
  *variable = call->attempt;
  if (variable == call->environment_end) variable[1] = 0;
}

/* As a plugin says it, where this is a plugin's call. The paths come from the installation. */
__attribute__((noreturn)) static void fail(const struct call *call, struct failure failure) {
  char line[1024];
  char *at = line;
  if (call->is_cni)
    at = put_text(at, "{\"cniVersion\":\"1.1.0\",\"code\":5,"
                      "\"msg\":\"the plugin cannot start on this node\",\"details\":\"");
  at = put_text(at, "Cannot ");
  at = put_text(at, failure.tried);
  at = put_text(at, ": errno ");
  at = put_decimal(at, (unsigned long)-failure.result);
  at = put_text(at, "; Tulle's launcher needs the executable beside it: install it again");
  at = put_text(at, call->is_cni ? "\"}\n" : "\n");
  write_whole(call->is_cni ? 1 : 2, line, (size_t)(at - line));
  end(1);
}

void execute(struct call *call, enum attempt_known attempt) {
  static char path[4096];
  if (call->is_inside) {
    long back = CALL2(setns, call->fds[0], CLONE_NEWNET);
    if (back < 0) fail(call, (struct failure){"return to its network namespace", back});
  }
  if (call->is_input_read) {
    long renewed = renew_input(call);
    if (renewed < 0) fail(call, (struct failure){"keep its standard input", renewed});
  }
  if (attempt == attempt_made) tell_attempt(call);
  const char *near = path_beside(path, sizeof path);
  if (near) CALL3(execve, near, call->argv, call->environment);
  long refused = CALL3(execve, places.executable, call->argv, call->environment);
  fail(call, (struct failure){"execute Node", refused});
}
