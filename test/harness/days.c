/*
 * A library to preload (LD_PRELOAD): adds the seconds in the file MOVED_CLOCK, a 64-bit integer in this machine's byte
 * order, to the time of day that a program reads. Nothing in it allocates or locks, because browsers call it from their
 * allocators. Monotonic clocks stay as they are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved_seconds;

__attribute__((constructor)) static void open_file(void) {
  const char *path = getenv("MOVED_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  if (mapped != MAP_FAILED) moved_seconds = mapped;
  if (fd >= 0) close(fd);
}

static int64_t moved(void) { return moved_seconds ? *moved_seconds : 0; }

int clock_gettime(clockid_t clock, struct timespec *at) {
  int result = syscall(SYS_clock_gettime, clock, at);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += moved();
  return result;
}

int gettimeofday(struct timeval *at, void *zone) {
  int result = syscall(SYS_gettimeofday, at, zone);
  if (result == 0) at->tv_sec += moved();
  return result;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}

/* Waits until a time of day end at the real one. No monotonic clock has counted a thousand million seconds yet. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  struct timespec end = *until;
  if (end.tv_sec > 1000000000) end.tv_sec -= moved();
  return real(condition, mutex, &end);
}
