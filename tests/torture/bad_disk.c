// Loaded before the program's own libraries: writes and syncs of files below BAD_DISK_PATH end with the error whose number the
// file BAD_DISK_VERDICT holds, as long as there is one; with a minus before it only those whose bytes are still to be found
// room for. What was written before stays. A number with an s before it: syncs take so many milliseconds longer.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

// The error for this file, or 0. `slow`: receives by how many milliseconds a sync is slower.
static int verdict(int file, int* slow) {
  const char *path = getenv("BAD_DISK_PATH"), *verdict_path = getenv("BAD_DISK_VERDICT");
  if (path == NULL || verdict_path == NULL) return 0;
  const int kept = errno;
  const int open_verdict = open(verdict_path, O_RDONLY | O_CLOEXEC);
  errno = kept;
  if (open_verdict < 0) return 0;
  char text[16] = {0}, link[64], target[4096];
  const ssize_t got = read(open_verdict, text, sizeof text - 1);
  close(open_verdict);
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, target, sizeof target - 1);
  errno = kept;
  if (got <= 0 || length <= 0) return 0;
  target[length] = 0;
  const int here = strncmp(target, path, strlen(path)) == 0;
  if (here && text[0] == 's' && slow != NULL) *slow = atoi(text + 1);
  const int error = here && text[0] != 's' ? atoi(text) : 0;
  const char* name = strrchr(target, '/');
  // These two were given all their bytes when they were made: they can be overwritten where no more can be had.
  if (error < 0 && name != NULL && (strcmp(name, "/slot") == 0 || strcmp(name, "/synced") == 0)) return 0;
  return abs(error);
}

#define GUARD(file, slow)                    \
  do {                                       \
    const int because = verdict(file, slow); \
    if (because != 0) {                      \
      errno = because;                       \
      return -1;                             \
    }                                        \
  } while (0)
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void* bytes, size_t count) {
  GUARD(file, NULL);
  return REAL(write)(file, bytes, count);
}
ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
  GUARD(file, NULL);
  return REAL(pwrite)(file, bytes, count, at);
}
ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t at) {
  GUARD(file, NULL);
  return REAL(pwrite64)(file, bytes, count, at);
}
ssize_t writev(int file, const struct iovec* parts, int count) {
  GUARD(file, NULL);
  return REAL(writev)(file, parts, count);
}
int fsync(int file) {
  int slow = 0;
  GUARD(file, &slow);
  if (slow > 0) usleep((useconds_t)slow * 1000);
  return REAL(fsync)(file);
}
int fdatasync(int file) {
  int slow = 0;
  GUARD(file, &slow);
  if (slow > 0) usleep((useconds_t)slow * 1000);
  return REAL(fdatasync)(file);
}
