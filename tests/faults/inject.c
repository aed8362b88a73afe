// Faults under the calls that write and read files: preloaded into a process, it counts the calls
// below one folder and has one of them fail, write short, or kill the process before it.
//
// A process arms it for itself: inject_arm(folder, call, number, fault). Only then does it look at
// paths; calls of other folders are never touched.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { OPEN, WRITE, FSYNC, RENAME, LINK, READ, MKDIR, UNLINK, TRUNCATE, CALLS };
enum { SHORT = -1, KILL = -2 };

static char folder[PATH_MAX];
static int armed, chosen, number, fault, fired;
static int counts[CALLS];

void inject_arm(const char *path, int call, int which, int what) {
  snprintf(folder, sizeof folder, "%s", path);
  chosen = call;
  number = which;
  fault = what;
  fired = 0;
  memset(counts, 0, sizeof counts);
  __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
}

void inject_disarm(void) { __atomic_store_n(&armed, 0, __ATOMIC_SEQ_CST); }
int inject_count(int call) { return counts[call]; }
int inject_fired(void) { return fired; }

static int below(int directory, const char *path) {
  char full[2 * PATH_MAX];
  if (path == NULL) return 0;
  if (path[0] == '/') return strncmp(path, folder, strlen(folder)) == 0;
  if (directory != AT_FDCWD) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, full, PATH_MAX);
    if (length < 0) return 0;
    full[length] = 0;
  } else if (getcwd(full, PATH_MAX) == NULL) {
    return 0;
  }
  return strncmp(full, folder, strlen(folder)) == 0;
}

static int of_descriptor(int descriptor) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strncmp(path, folder, strlen(folder)) == 0;
}

// Whether this call is the one; then errno is set, or the process is gone.
static int hits(enum call call, int is_below) {
  if (!is_below) return 0;
  int count = __atomic_add_fetch(&counts[call], 1, __ATOMIC_SEQ_CST);
  if (call != chosen || count != number) return 0;
  fired = 1;
  if (fault == KILL) kill(getpid(), SIGKILL);
  if (fault > 0) errno = fault;
  return 1;
}

#define ARMED __atomic_load_n(&armed, __ATOMIC_SEQ_CST)
#define REAL(type, name, ...) \
  static type (*real)(__VA_ARGS__); \
  if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define OPENS(symbol, label) \
  int symbol(const char *path, int flags, ...) { \
    REAL(int, label, const char *, int, ...); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    if (ARMED && hits(OPEN, below(AT_FDCWD, path))) return -1; \
    return real(path, flags, mode); \
  }
OPENS(open, "open")
OPENS(open64, "open64")

#define OPENATS(symbol, label) \
  int symbol(int directory, const char *path, int flags, ...) { \
    REAL(int, label, int, const char *, int, ...); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    if (ARMED && hits(OPEN, below(directory, path))) return -1; \
    return real(directory, path, flags, mode); \
  }
OPENATS(openat, "openat")
OPENATS(openat64, "openat64")

ssize_t write(int descriptor, const void *data, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  if (ARMED && hits(WRITE, of_descriptor(descriptor))) {
    if (fault != SHORT) return -1;
    return real(descriptor, data, size > 1 ? size / 2 : size);
  }
  return real(descriptor, data, size);
}

#define PWRITES(symbol, label) \
  ssize_t symbol(int descriptor, const void *data, size_t size, off_t at) { \
    REAL(ssize_t, label, int, const void *, size_t, off_t); \
    if (ARMED && hits(WRITE, of_descriptor(descriptor))) { \
      if (fault != SHORT) return -1; \
      return real(descriptor, data, size > 1 ? size / 2 : size, at); \
    } \
    return real(descriptor, data, size, at); \
  }
PWRITES(pwrite, "pwrite")
PWRITES(pwrite64, "pwrite64")

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  if (ARMED && hits(WRITE, of_descriptor(descriptor))) {
    if (fault != SHORT) return -1;
    return real(descriptor, parts, 1);
  }
  return real(descriptor, parts, count);
}

ssize_t read(int descriptor, void *data, size_t size) {
  REAL(ssize_t, "read", int, void *, size_t);
  if (ARMED && hits(READ, of_descriptor(descriptor))) {
    if (fault != SHORT) return -1;
    return real(descriptor, data, size > 1 ? size / 2 : size);
  }
  return real(descriptor, data, size);
}

#define PREADS(symbol, label) \
  ssize_t symbol(int descriptor, void *data, size_t size, off_t at) { \
    REAL(ssize_t, label, int, void *, size_t, off_t); \
    if (ARMED && hits(READ, of_descriptor(descriptor))) { \
      if (fault != SHORT) return -1; \
      return real(descriptor, data, size > 1 ? size / 2 : size, at); \
    } \
    return real(descriptor, data, size, at); \
  }
PREADS(pread, "pread")
PREADS(pread64, "pread64")

#define SYNCS(symbol) \
  int symbol(int descriptor) { \
    REAL(int, #symbol, int); \
    if (ARMED && hits(FSYNC, of_descriptor(descriptor))) return -1; \
    return real(descriptor); \
  }
SYNCS(fsync)
SYNCS(fdatasync)

#define TRUNCATES(symbol) \
  int symbol(int descriptor, off_t size) { \
    REAL(int, #symbol, int, off_t); \
    if (ARMED && hits(TRUNCATE, of_descriptor(descriptor))) return -1; \
    return real(descriptor, size); \
  }
TRUNCATES(ftruncate)
TRUNCATES(ftruncate64)

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  if (ARMED && hits(RENAME, below(AT_FDCWD, to))) return -1;
  return real(from, to);
}

int renameat(int one, const char *from, int other, const char *to) {
  REAL(int, "renameat", int, const char *, int, const char *);
  if (ARMED && hits(RENAME, below(other, to))) return -1;
  return real(one, from, other, to);
}

int renameat2(int one, const char *from, int other, const char *to, unsigned flags) {
  REAL(int, "renameat2", int, const char *, int, const char *, unsigned);
  if (ARMED && hits(RENAME, below(other, to))) return -1;
  return real(one, from, other, to, flags);
}

int link(const char *from, const char *to) {
  REAL(int, "link", const char *, const char *);
  if (ARMED && hits(LINK, below(AT_FDCWD, to))) return -1;
  return real(from, to);
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  if (ARMED && hits(MKDIR, below(AT_FDCWD, path))) return -1;
  return real(path, mode);
}

int unlink(const char *path) {
  REAL(int, "unlink", const char *);
  if (ARMED && hits(UNLINK, below(AT_FDCWD, path))) return -1;
  return real(path);
}

int unlinkat(int directory, const char *path, int flags) {
  REAL(int, "unlinkat", int, const char *, int);
  if (ARMED && hits(UNLINK, below(directory, path))) return -1;
  return real(directory, path, flags);
}

int rmdir(const char *path) {
  REAL(int, "rmdir", const char *);
  if (ARMED && hits(UNLINK, below(AT_FDCWD, path))) return -1;
  return real(path);
}
