// Stands where a launcher looks for the Node executable: notes that it was started, "ADD tulle 1"
// (1: an attempt had been begun by then), and becomes that executable, which lies beside it.
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  char path[4096], line[4200];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 16);
  if (count < 1 || length < 0) return 125;
  path[length] = 0;
  char *end = strrchr(path, '/') + 1;
  const char *verb = getenv("CNI_COMMAND");
  int size = snprintf(line, sizeof line, "%s %s %d\n", verb ? verb : "", basename(words[0]),
                      getenv("TULLE_ATTEMPT") != NULL);
  strcpy(end, "started");
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0 || write(file, line, (size_t)size) != size) return 125;
  strcpy(end, "node");
  execv(path, words);
  return 125;
}
