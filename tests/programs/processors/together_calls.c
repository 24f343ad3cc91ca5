// Calls that run beside one of another thread, however long that takes.

#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "together.h"

enum { LONG = 4 << 20, CALLS = 50, SIGHTS = 5, TURNS = 3000, LATEST = 100 };
static atomic_uint turn;  // odd during a long call
static atomic_int over;

static void *call_for_long(void *unused) {
    (void)unused;
    char *data = calloc(1, LONG);
    int file = open("/tmp/together-long", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    check(data && file >= 0, "a file in memory");
    while (!atomic_load(&over)) {
        atomic_fetch_add(&turn, 1);
        check(pwrite(file, data, LONG, 0) == LONG, "a long write");
        atomic_fetch_add(&turn, 1);
        sched_yield();
    }
    close(file);
    unlink("/tmp/together-long");
    free(data);
    return 0;
}

// Not the C library's functions, which may do without a call.
static long monotonic(void) {
    struct timespec now;
    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) || now.tv_nsec >= 1000000000;
}
static long real_time(void) {
    struct timespec now;
    return syscall(SYS_clock_gettime, CLOCK_REALTIME, &now) || now.tv_sec < 1000000000;
}
static long time_of_day(void) {
    struct timeval now;
    return syscall(SYS_gettimeofday, &now, 0) || now.tv_sec < 1000000000;
}
static long no_sleep(void) {
    struct timespec none = {0, 0};
    return syscall(SYS_nanosleep, &none, 0);
}
static long sleep_until_past(void) {
    struct timespec past = {0, 1};
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &past, 0);
}
static long mask(void) {
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return pthread_sigmask(SIG_BLOCK, &set, &before) ||
           pthread_sigmask(SIG_SETMASK, &before, &set) || !sigismember(&set, SIGUSR1);
}

static const struct {
    const char *name;
    long (*call)(void);
} kinds[] = {
    {"clock_gettime", monotonic}, {"clock_gettime of the time of day", real_time},
    {"gettimeofday", time_of_day}, {"nanosleep", no_sleep},
    {"clock_nanosleep", sleep_until_past}, {"sigprocmask", mask},
};

// Whether many calls fit into some of the long ones.
static int runs_beside(long (*call)(void)) {
    int sights = 0;
    for (unsigned last = 0, turns = 0; turns < TURNS;) {
        unsigned now = atomic_load(&turn);
        if (now % 2 == 0 || now == last) {
            relax();
            continue;
        }
        last = now;
        turns++;
        int made = 0;
        for (; made < CALLS && atomic_load(&turn) == now; made++)
            check(call() == 0, "a call beside another");
        if (made == CALLS && ++sights == SIGHTS) return 1;
    }
    return 0;
}

// A call that doesn't run beside the long ones has its turn, though they follow one another.
static void have_its_turn(void) {
    for (int i = 0; i < 100; i++) {
        // Time in which the next long call begins.
        check(monotonic() == 0 && monotonic() == 0, "clock_gettime");
        unsigned before = atomic_load(&turn);
        check(syscall(SYS_getppid) >= 0, "getppid");
        check(atomic_load(&turn) - before < 2 * LATEST, "a call waits for few others");
    }
}

static uint64_t read_clock(struct timespec *into) {
    check(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, into) == 0, "clock_gettime");
    return into->tv_sec * 1000000000ull + into->tv_nsec;
}

// Results at the end of a page and the start of the next, of which no thread has used either.
static void across_pages(void) {
    int map = MAP_PRIVATE | MAP_ANONYMOUS;
    for (int i = 0; i < 50; i++) {
        char *pages = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, map, -1, 0);
        check(pages != MAP_FAILED, "mmap");
        struct timespec own, *across = (struct timespec *)(pages + PAGE - 8);
        uint64_t before = read_clock(&own), between = read_clock(across), after = read_clock(&own);
        check(before <= between && between <= after, "a time across pages");
        check(pages[PAGE - 9] == 0 && pages[PAGE + 8] == 0, "what is around it");
        *across = (struct timespec){0, 1};
        check(syscall(SYS_nanosleep, across, 0) == 0, "a span across pages");
        check(mprotect(pages + PAGE, PAGE, PROT_READ) == 0, "mprotect");
        check(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, across) == -1 && errno == EFAULT,
              "a page that may only be read");
        check(munmap(pages, 2 * PAGE) == 0, "munmap");
    }
}

// A result in a mapped file reaches the file, though the page was saved before.
static void in_a_file(void) {
    int file = open("/tmp/together-time", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    check(file >= 0 && ftruncate(file, PAGE) == 0, "a file");
    struct timespec *at = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), found;
    check(at != MAP_FAILED, "mmap of a file");
    for (int i = 0; i < 20; i++) {
        read_clock(at);
        check(msync(at, PAGE, MS_SYNC) == 0, "msync");
        check(pread(file, &found, sizeof found, 0) == sizeof found, "pread");
        check(!memcmp(&found, at, sizeof found), "what the call wrote is in the file");
    }
    check(munmap(at, PAGE) == 0 && close(file) == 0 && unlink("/tmp/together-time") == 0, "close");
}

static void *no_call(void *unused) { return unused; }

void calls(void) {
    // The calls differ once there was a second thread.
    each(1, no_call);
    across_pages();
    in_a_file();
    // One processor runs one call at a time.
    if (count == 1) return;
    pthread_t other = start(call_for_long, 0);
    have_its_turn();
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        check(runs_beside(kinds[i].call), kinds[i].name);
    }
    atomic_store(&over, 1);
    check(pthread_join(other, 0) == 0, "pthread_join");
}
