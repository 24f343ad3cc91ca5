// Memory that one thread unmaps, closes or replaces while system calls of others use it: each call
// succeeds, transfers less, or fails with EFAULT.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 4
#define SIZE (PAGES * PAGE)
#define LEAST 300   // calls of each kind
#define MOST 100000

static char *region;        // comes and goes
static char steady[SIZE];   // stays
static _Atomic int over;

static void check(int holds, const char *what) {
    if (holds) return;
    printf("failed: %s (errno %d)\n", what, errno);
    fflush(stdout);
    _exit(1);
}

static pthread_t start(void *(*body)(void *), void *argument) {
    pthread_t thread;
    check(pthread_create(&thread, 0, body, argument) == 0, "pthread_create");
    return thread;
}

static void join(pthread_t thread) { check(pthread_join(thread, 0) == 0, "pthread_join"); }

static void sleep_ms(int ms) {
    struct timespec span = {0, ms * 1000000};
    nanosleep(&span, 0);
}

// --- memory that comes and goes ------------------------------------------------------------------

static void map(int protection) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    check(mmap(region, SIZE, protection, flags, -1, 0) == region, "mmap where it was");
}

static void unmap(void) { check(munmap(region, SIZE) == 0, "munmap"); }

static void protect(int protection) {
    check(mprotect(region, SIZE, protection) == 0, "mprotect");
}

// No other thread maps anything meanwhile, which could lie there.
static void *come_and_go(void *unused) {
    (void)unused;
    for (unsigned turn = 0; !atomic_load(&over); turn++) {
        map(PROT_READ | PROT_WRITE);
        sched_yield();
        switch (turn % 4) {
            case 0: unmap(); break;
            case 1: protect(PROT_READ); break;
            case 2: protect(PROT_NONE); break;
            case 3: madvise(region, SIZE, MADV_DONTNEED); map(PROT_NONE); break;
        }
        sched_yield();
    }
    return 0;
}

// --- calls that never wait for long --------------------------------------------------------------

static int near, far, file;  // a pipe or a pair of sockets, and a file in memory
static int disk;             // a file on a disk, of which most isn't cached
static off_t disk_size;

static void *feed(void *unused) {
    (void)unused;
    while (!atomic_load(&over)) {
        if (write(far, steady, sizeof steady) < 0) sched_yield();
    }
    return 0;
}

static void *drain(void *unused) {
    static char into[SIZE];
    (void)unused;
    while (!atomic_load(&over)) {
        ssize_t len = read(far, into, sizeof into);
        if (len <= 0) sched_yield();
        for (ssize_t i = 0; i < len; i++) check(into[i] == 0, "only what was written");
    }
    return 0;
}

static long read_it(void) { return read(near, region, SIZE); }
static long write_it(void) { return write(near, region, SIZE); }
static long receive_it(void) { return recv(near, region, SIZE, MSG_DONTWAIT); }

// The list vanishes, too.
static struct iovec *list(void) { return (struct iovec *)region; }
static const struct iovec pieces[] = {{steady, 1}, {steady + 1, 1}, {steady + 2, 1}};

static long read_list(void) {
    // It may be closed before it is written, or after.
    if (pread(file, region, sizeof pieces, SIZE) < 0) return -1;
    return readv(near, list(), 3);
}

static long read_file(void) { return pread(file, region, SIZE, 0); }
static long write_file(void) { return pwrite(file, region, SIZE, 0); }
static long read_disk(void) {
    static off_t at;
    // Neither cached nor read ahead.
    at = (at + 61 * SIZE) % disk_size;
    return pread(disk, region, SIZE, at);
}
// Not the C library's functions, which use the memory themselves.
static long stat_file(void) { return syscall(SYS_fstat, file, region); }
static long time_it(void) {
    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, region + PAGE - 8);
}
static long sleep_it(void) { return nanosleep((struct timespec *)region, 0); }
static long poll_it(void) { return poll((struct pollfd *)region, 8, 0); }
static long select_it(void) {
    struct timeval none = {0, 0};
    return select(8, (fd_set *)region, 0, 0, &none);
}
static long wait_it(void) {
    // FUTEX_WAIT while it is 1, which it never is.
    return syscall(SYS_futex, region, 0, 1, 0, 0, 0);
}
static long wait_until(void) {
    static const int word = 1;  // so that it waits
    long waited = syscall(SYS_futex, &word, 0, 1, region, 0, 0);
    return waited < 0 && errno == ETIMEDOUT ? 0 : waited;
}
static long name_it(void) { return access(region, F_OK); }
static long mask_it(void) { return syscall(SYS_rt_sigprocmask, 0, 0, region, 8); }

static void use_pipe(int reads) {
    int ends[2];
    check(pipe2(ends, O_NONBLOCK) == 0, "pipe2");
    near = ends[!reads];
    far = ends[reads];
}

static void use_sockets(int kind) {
    int ends[2];
    check(socketpair(AF_UNIX, kind | SOCK_NONBLOCK, 0, ends) == 0, "socketpair");
    near = ends[0];
    far = ends[1];
}

static void pipe_to_read(void) { use_pipe(1); }
static void pipe_to_write(void) { use_pipe(0); }
static void stream(void) { use_sockets(SOCK_STREAM); }
static void datagrams(void) { use_sockets(SOCK_DGRAM); }

static void nothing(void) { near = far = -1; }

static const struct {
    const char *name;
    long (*call)(void);
    void (*open)(void);
    void *(*beside)(void *);
    int expected;  // an error beside EFAULT
    int times;     // that many times LEAST calls, where few instructions use the memory
} calls[] = {
    {"read of a pipe", read_it, pipe_to_read, feed, EAGAIN, 1},
    {"write to a pipe", write_it, pipe_to_write, drain, EAGAIN, 1},
    {"readv of a pipe", read_list, pipe_to_read, feed, EAGAIN, 1},
    {"read of a stream", read_it, stream, feed, EAGAIN, 1},
    {"recv of a stream", receive_it, stream, feed, EAGAIN, 1},
    {"write to a stream", write_it, stream, drain, EAGAIN, 1},
    {"recv of datagrams", receive_it, datagrams, feed, EAGAIN, 1},
    {"write of datagrams", write_it, datagrams, drain, EAGAIN, 1},
    {"pread", read_file, nothing, 0, 0, 1},
    {"pwrite", write_file, nothing, 0, 0, 1},
    {"pread of a disk", read_disk, nothing, 0, 0, 1},
    {"fstat", stat_file, nothing, 0, 0, 1},
    {"clock_gettime", time_it, nothing, 0, 0, 10},
    {"nanosleep", sleep_it, nothing, 0, 0, 10},
    {"poll", poll_it, nothing, 0, 0, 1},
    {"select", select_it, nothing, 0, 0, 1},
    {"futex", wait_it, nothing, 0, EAGAIN, 1},
    {"timeout of a futex", wait_until, nothing, 0, 0, 10},
    {"access", name_it, nothing, 0, ENOENT, 1},
    {"sigprocmask", mask_it, nothing, 0, 0, 10},
};

// Calls until some have succeeded and some haven't.
static void loop(size_t which) {
    long done = 0, failed = 0, others = 0;
    calls[which].open();
    map(PROT_READ | PROT_WRITE);
    atomic_store(&over, 0);
    pthread_t taker = start(come_and_go, 0), other = taker;
    if (calls[which].beside) other = start(calls[which].beside, 0);
    long least = LEAST * calls[which].times;
    for (long n = 0; n < MOST && (n < least || !failed || !(done || others)); n++) {
        errno = 0;
        if (calls[which].call() >= 0) {
            done++;
        } else if (errno == EFAULT) {
            failed++;
        } else {
            others++;
            check(errno == calls[which].expected, calls[which].name);
        }
        sched_yield();
    }
    atomic_store(&over, 1);
    join(taker);
    if (calls[which].beside) join(other);
    if (near >= 0) close(near), close(far);
    check(failed && (done || others), calls[which].name);
    printf("%s: as expected\n", calls[which].name);
}

// --- calls that wait while their memory vanishes -------------------------------------------------

static _Atomic int begins;
static long result;
static int reason;

static void *wait_in(void *call) {
    atomic_store(&begins, 1);
    result = ((long (*)(void))call)();
    reason = errno;
    return 0;
}

// Begins a call on memory that vanishes once it waits, or before.
static pthread_t vanishes_under(long (*call)(void), int becomes) {
    map(PROT_READ | PROT_WRITE);
    atomic_store(&begins, 0);
    pthread_t thread = start(wait_in, call);
    while (!atomic_load(&begins)) sched_yield();
    sleep_ms(30);
    if (becomes < 0) {
        unmap();
    } else {
        protect(becomes);
    }
    return thread;
}

static void fails(pthread_t thread, const char *what) {
    join(thread);
    if (result != -1 || reason != EFAULT) printf("%ld, errno %d\n", result, reason);
    check(result == -1 && reason == EFAULT, what);
}

static int becomings[] = {-1, PROT_NONE, PROT_READ};

static void reads_that_wait(int here, int there, const char *what) {
    near = here;
    far = there;
    for (int i = 0; i < 3; i++) {
        pthread_t thread = vanishes_under(read_it, becomings[i]);
        check(write(far, "x", 1) == 1, what);
        fails(thread, what);
        // What it was for may be there, or lost.
        fcntl(near, F_SETFL, O_NONBLOCK);
        read(near, steady, 1);
        steady[0] = 0;
        fcntl(near, F_SETFL, 0);
    }
}

static void fill(void) {
    fcntl(near, F_SETFL, O_NONBLOCK);
    while (write(near, steady, SIZE) > 0) {}
    while (write(near, steady, 1) > 0) {}
    fcntl(near, F_SETFL, 0);
}

static void writes_that_wait(int here, int there, const char *what) {
    near = here;
    far = there;
    for (int i = 0; i < 2; i++) {
        fill();
        pthread_t thread = vanishes_under(write_it, becomings[i]);
        fcntl(far, F_SETFL, O_NONBLOCK);
        for (;;) {
            if (read(far, steady, SIZE) > 0) continue;
            sleep_ms(1);
            if (read(far, steady, SIZE) <= 0) break;
        }
        fcntl(far, F_SETFL, 0);
        fails(thread, what);
    }
}

static void waits(void) {
    int ends[2];
    check(pipe(ends) == 0, "pipe");
    reads_that_wait(ends[0], ends[1], "a read of a pipe waits");
    writes_that_wait(ends[1], ends[0], "a write to a pipe waits");
    close(ends[0]), close(ends[1]);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    reads_that_wait(ends[0], ends[1], "a read of a stream waits");
    writes_that_wait(ends[1], ends[0], "a write to a stream waits");
    close(ends[0]), close(ends[1]);
    check(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0, "socketpair");
    reads_that_wait(ends[0], ends[1], "a read of datagrams waits");
    close(ends[0]), close(ends[1]);
    printf("waits: as expected\n");
}

// -------------------------------------------------------------------------------------------------

void vanishing_run(const char *name, const char *on_disk) {
    region = mmap(0, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(region != MAP_FAILED, "mmap");
    file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    check(file >= 0, name);
    check(write(file, steady, SIZE) == SIZE, "write");
    check(write(file, pieces, sizeof pieces) == sizeof pieces, "write");
    disk = open(on_disk, O_RDONLY);
    check(disk >= 0, on_disk);
    disk_size = lseek(disk, 0, SEEK_END) / SIZE * SIZE;
    for (size_t which = 0; which < sizeof calls / sizeof *calls; which++) {
        loop(which);
        fflush(stdout);
    }
    waits();
    fflush(stdout);
    unlink(name);
}

#include <caml/mlvalues.h>

value vanishing_stub(value name, value on_disk) {
    vanishing_run(String_val(name), String_val(on_disk));
    return Val_unit;
}
