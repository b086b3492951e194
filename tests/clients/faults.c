/* What a disk and a clock do on a bad day, to a process that is started with this in LD_PRELOAD.

   The directory in FAULTS says what: if "flush" is there, no flush of a file of the audit log
   succeeds; "clock" has the seconds by which the time of day is off, "uptime" those by which all clocks run ahead. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int open_fault(const char *name) {
    char path[512];
    const char *dir = getenv("FAULTS");
    if (!dir || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

static int fails(int fd) {
    char link[64], path[512];
    int saved = errno, fault = open_fault("flush");
    if (fault < 0) return errno = saved, 0;
    close(fault);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    return length > 0 && (path[length] = 0, strstr(path, "/audit/") != NULL);
}

int fsync(int fd) {
    if (fails(fd)) return errno = EIO, -1;
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    if (fails(fd)) return errno = EIO, -1;
    return (int)syscall(SYS_fdatasync, fd);
}

static long seconds(const char *name) {
    char text[32] = {0};
    int fault = open_fault(name);
    if (fault < 0) return 0;
    long told = read(fault, text, sizeof text - 1) > 0 ? atol(text) : 0;
    close(fault);
    return told;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, id, at);
    if (result == 0) {
        int saved = errno;
        if (id == CLOCK_REALTIME) at->tv_sec += seconds("clock");
        at->tv_sec += seconds("uptime");
        errno = saved;
    }
    return result;
}
