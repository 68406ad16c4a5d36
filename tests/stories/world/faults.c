/*
 * Faults of a machine, for a daemon that is started with this library in LD_PRELOAD. Two things happen to the files below
 * FAULTS_WATCHED:
 *
 * Below FAULTS_DISK stands each of them as it was when it was last synced: what a power cut leaves, however much the page
 * cache of a machine that is still up remembers. A sync that fails forgets what it should have written, as Linux does:
 * the pages count as clean, and the next sync that succeeds says nothing about them.
 *
 * The file FAULTS_ORDERS holds one order, which is read at each call:
 *   enospc N     all writes but the next N fail, the first of them after half of its bytes
 *   eio-write N  the same, with an input/output error
 *   eio-read N   one read at a place in a file fails, after N that do not
 *   eio-fsync N  all syncs but the next N fail
 *   rofs         nothing can be changed
 *   slow MS      each sync takes so many milliseconds longer
 *
 * With FAULTS_THREADS=N no more than N threads can be started.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_FILES 4096

struct range {
    off_t from, to;
};

/* A watched file that was written to, and what of it is not synced. */
struct file {
    char *path;
    int all;
    struct range *dirty;
    size_t count, room;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[MOST_FILES];
static size_t known;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_open)(const char *, int, ...);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_pthread_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

/* Other libraries may call before this one is set up. */
static void find_the_real_ones(void) {
    if (real_pthread_create) return;
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_pthread_create = dlsym(RTLD_NEXT, "pthread_create");
}

/* Whether a file is watched. The index of the WAL is memory that happens to have a name; sockets and locks hold nothing. */
static int is_watched(const char *path) {
    const char *directory = getenv("FAULTS_WATCHED");
    size_t length = directory ? strlen(directory) : 0, whole = strlen(path);
    if (!length || strncmp(path, directory, length) || path[length] != '/') return 0;
    return !(whole > 4 && !strcmp(path + whole - 4, "-shm")) && !strstr(path, " (deleted)");
}

static int watched_path(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_watched(path);
}

static void disk_path(const char *path, char disk[PATH_MAX]) {
    const char *watched = getenv("FAULTS_WATCHED"), *directory = getenv("FAULTS_DISK");
    snprintf(disk, PATH_MAX, "%s/%s", directory ? directory : "/nowhere", path + strlen(watched) + 1);
    for (char *at = disk + strlen(directory ? directory : "/nowhere") + 1; *at; at++)
        if (*at == '/') *at = '%';
}

/* The order that is in force, and how often it was met since it was given. */
static int ordered(const char *kind, long *number, long *met) {
    static char last[64];
    static long times;
    char text[64] = "", word[64] = "";
    const char *path = getenv("FAULTS_ORDERS");
    int fd = path ? real_open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = 0;
    if (strcmp(text, last)) {
        strcpy(last, text);
        times = 0;
    }
    *number = 0;
    sscanf(text, "%63s %ld", word, number);
    if (strcmp(word, kind)) return 0;
    *met = ++times;
    return 1;
}

static int is_read_only(void) {
    long number, met;
    return ordered("rofs", &number, &met);
}

/* The file's entry. The first time that it is seen it is taken to be on the disk as it is. */
static struct file *entry(const char *path) {
    for (size_t at = 0; at < known; at++)
        if (!strcmp(files[at].path, path)) return &files[at];
    if (known == MOST_FILES) abort();
    char disk[PATH_MAX], bytes[65536];
    disk_path(path, disk);
    int copy = real_open(disk, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (copy >= 0) {
        int from = real_open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length;
        for (off_t at = 0; from >= 0 && (length = real_pread(from, bytes, sizeof bytes, at)) > 0; at += length)
            if (real_pwrite(copy, bytes, length, at) != length) abort();
        if (from >= 0) close(from);
        close(copy);
    }
    files[known] = (struct file){.path = strdup(path), .all = 1};
    return &files[known++];
}

static void note(struct file *file, off_t from, off_t to) {
    if (file->count == file->room) {
        file->room = file->room ? file->room * 2 : 64;
        file->dirty = realloc(file->dirty, file->room * sizeof *file->dirty);
        if (!file->dirty) abort();
    }
    file->dirty[file->count++] = (struct range){from, to};
}

/* The disk has the file as it is now. */
static void reach_the_disk(struct file *file) {
    char disk[PATH_MAX], bytes[65536];
    struct stat found;
    int from = real_open(file->path, O_RDONLY | O_CLOEXEC);
    disk_path(file->path, disk);
    int to = real_open(disk, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (from < 0 || to < 0 || fstat(from, &found)) abort();
    if (file->all) {
        file->count = 0;
        note(file, 0, found.st_size);
    }
    for (size_t number = 0; number < file->count; number++) {
        struct range range = file->dirty[number];
        while (range.from < range.to && range.from < found.st_size) {
            size_t wanted = range.to - range.from;
            ssize_t length = real_pread(from, bytes, wanted < sizeof bytes ? wanted : sizeof bytes, range.from);
            if (length <= 0) break;
            if (real_pwrite(to, bytes, length, range.from) != length) abort();
            range.from += length;
        }
    }
    if (real_ftruncate(to, found.st_size)) abort();
    close(from);
    close(to);
    file->all = 0;
    file->count = 0;
}

/* How many of the bytes may be written; none with errno. */
static size_t allowed(size_t count) {
    static const struct {
        const char *kind;
        int error;
    } orders[] = {{"enospc", ENOSPC}, {"eio-write", EIO}};
    if (is_read_only()) {
        errno = EROFS;
        return 0;
    }
    for (size_t at = 0; at < 2; at++) {
        long number, met;
        if (!ordered(orders[at].kind, &number, &met) || met <= number) continue;
        if (met == number + 1 && count > 1) return count / 2;
        errno = orders[at].error;
        return 0;
    }
    return count;
}

static ssize_t write_at(int fd, const void *bytes, size_t count, off_t at, int is_positioned) {
    char path[PATH_MAX];
    find_the_real_ones();
    if (!count || !watched_path(fd, path)) {
        return is_positioned ? real_pwrite(fd, bytes, count, at) : real_write(fd, bytes, count);
    }
    pthread_mutex_lock(&lock);
    struct file *file = entry(path);
    count = allowed(count);
    ssize_t written = -1;
    if (count) {
        if (!is_positioned) at = lseek(fd, 0, SEEK_CUR);
        written = is_positioned ? real_pwrite(fd, bytes, count, at) : real_write(fd, bytes, count);
        if (written > 0) note(file, at, at + written);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    return write_at(fd, bytes, count, 0, 0);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) {
    return write_at(fd, bytes, count, at, 1);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    return write_at(fd, bytes, count, at, 1);
}

ssize_t pread64(int fd, void *bytes, size_t count, off_t at) {
    char path[PATH_MAX];
    long number, met;
    find_the_real_ones();
    if (watched_path(fd, path)) {
        pthread_mutex_lock(&lock);
        int fails = ordered("eio-read", &number, &met) && met == number + 1;
        pthread_mutex_unlock(&lock);
        if (fails) {
            errno = EIO;
            return -1;
        }
    }
    return real_pread(fd, bytes, count, at);
}

ssize_t pread(int fd, void *bytes, size_t count, off_t at) {
    return pread64(fd, bytes, count, at);
}

int ftruncate64(int fd, off_t length) {
    char path[PATH_MAX];
    find_the_real_ones();
    if (!watched_path(fd, path)) return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    entry(path);
    int failed = -1;
    if (is_read_only()) errno = EROFS;
    else failed = real_ftruncate(fd, length);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

static int sync_with(int fd, int (**real)(int)) {
    char path[PATH_MAX];
    long number, met;
    find_the_real_ones();
    if (!watched_path(fd, path)) return (*real)(fd);
    struct stat found;
    if (fstat(fd, &found) || !S_ISREG(found.st_mode)) return (*real)(fd);
    pthread_mutex_lock(&lock);
    int is_slow = ordered("slow", &number, &met);
    pthread_mutex_unlock(&lock);
    if (is_slow) {
        struct timespec pause = {number / 1000, number % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&lock);
    struct file *file = entry(path);
    int failed = 0;
    if (is_read_only()) failed = EROFS;
    else if (ordered("eio-fsync", &number, &met) && met > number) failed = EIO;
    /* The machine stays up, so its real disk need not be waited for. */
    if (failed) {
        file->all = 0;
        file->count = 0;
    } else {
        reach_the_disk(file);
    }
    pthread_mutex_unlock(&lock);
    errno = failed;
    return failed ? -1 : 0;
}

int fsync(int fd) {
    return sync_with(fd, &real_fsync);
}

int fdatasync(int fd) {
    return sync_with(fd, &real_fdatasync);
}

int open64(const char *path, int flags, ...) {
    find_the_real_ones();
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    int changes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
    if (changes && is_watched(path)) {
        pthread_mutex_lock(&lock);
        int refused = is_read_only();
        pthread_mutex_unlock(&lock);
        if (refused) {
            errno = EROFS;
            return -1;
        }
    }
    return real_open(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open64(path, flags, mode);
}

/* A name that changes is on the disk at once: directories are not what is tried here. */
static void forget(const char *path) {
    for (size_t at = 0; at < known; at++) {
        if (strcmp(files[at].path, path)) continue;
        free(files[at].path);
        free(files[at].dirty);
        files[at] = files[--known];
        return;
    }
}

/* Give a file another name, or none, here and on the disk. */
static int put_under(const char *path, const char *other) {
    pthread_mutex_lock(&lock);
    int failed = -1;
    if (is_read_only()) errno = EROFS;
    else failed = other ? real_rename(path, other) : real_unlink(path);
    int error = errno;
    if (!failed) {
        char from[PATH_MAX], to[PATH_MAX];
        disk_path(path, from);
        forget(path);
        if (other) {
            disk_path(other, to);
            forget(other);
            real_rename(from, to);
        } else {
            real_unlink(from);
        }
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return failed;
}

int rename(const char *old, const char *new) {
    find_the_real_ones();
    if (!is_watched(old) || !is_watched(new)) return real_rename(old, new);
    return put_under(old, new);
}

int unlink(const char *path) {
    find_the_real_ones();
    if (!is_watched(path)) return real_unlink(path);
    return put_under(path, NULL);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*begin)(void *), void *argument) {
    static long started;
    find_the_real_ones();
    const char *most = getenv("FAULTS_THREADS");
    if (most && __atomic_add_fetch(&started, 1, __ATOMIC_SEQ_CST) > atol(most)) return EAGAIN;
    return real_pthread_create(thread, attributes, begin, argument);
}
