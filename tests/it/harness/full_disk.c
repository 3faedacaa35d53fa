/* Preloaded into a server: as long as the file that PGSTOW_FULL_DISK names is there, nothing can be written into tables and indexes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd)
{
    const char *flag = getenv("PGSTOW_FULL_DISK");
    char link[32], path[4096];
    ssize_t length;
    int error = errno;

    if (!flag || access(flag, F_OK) != 0) {
        errno = error;
        return 0;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    errno = error;
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, "/data/base/") != NULL;
}

#define NEXT(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define FULL(fd) if (is_full(fd)) { errno = ENOSPC; return -1; }

ssize_t pwrite(int fd, const void *from, size_t length, off_t at) { FULL(fd) return NEXT(pwrite)(fd, from, length, at); }
ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) { FULL(fd) return NEXT(pwrite64)(fd, from, length, at); }
ssize_t pwritev(int fd, const struct iovec *from, int count, off_t at) { FULL(fd) return NEXT(pwritev)(fd, from, count, at); }
ssize_t pwritev64(int fd, const struct iovec *from, int count, off64_t at) { FULL(fd) return NEXT(pwritev64)(fd, from, count, at); }

int posix_fallocate(int fd, off_t at, off_t length)
{
    return is_full(fd) ? ENOSPC : ((int (*)(int, off_t, off_t)) dlsym(RTLD_NEXT, "posix_fallocate"))(fd, at, length);
}

int posix_fallocate64(int fd, off64_t at, off64_t length)
{
    return is_full(fd) ? ENOSPC : ((int (*)(int, off64_t, off64_t)) dlsym(RTLD_NEXT, "posix_fallocate64"))(fd, at, length);
}
