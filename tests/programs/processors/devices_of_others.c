// Devices that threads use on other processors than the first.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { DRAWING = 2 };

static void check(int holds, const char *what) {
    if (holds) return;
    printf("failed: %s (errno %d)\n", what, errno);
    fflush(stdout);
    _exit(1);
}

static void said(const char *what) {
    puts(what);
    fflush(stdout);
}

static atomic_int drawn;

static void *draw(void *unused) {
    unsigned char bytes[16];
    check(getrandom(bytes, sizeof bytes, 0) == sizeof bytes, "getrandom");
    drawn++;
    return unused;
}

static void *scan(void *path) {
    char byte;
    int file = open(path, O_RDONLY);
    check(file >= 0 && read(file, &byte, 1) == 1, "the file");
    close(file);
    return 0;
}

// The thread inherits the set of this one.
static pthread_t start(void *(*body)(void *), void *argument, int cpu) {
    pthread_t thread;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    check(sched_setaffinity(0, sizeof only, &only) == 0, "sched_setaffinity");
    check(pthread_create(&thread, 0, body, argument) == 0, "pthread_create");
    return thread;
}

#include <caml/mlvalues.h>

// A thread on each processor draws numbers, while this one runs on all of them.
value devices_draw(value unit) {
    cpu_set_t all;
    pthread_t threads[DRAWING];
    check(sched_getaffinity(0, sizeof all, &all) == 0, "sched_getaffinity");
    for (int cpu = 0; cpu < DRAWING; cpu++) threads[cpu] = start(draw, 0, cpu);
    check(sched_setaffinity(0, sizeof all, &all) == 0, "sched_setaffinity");
    while (drawn < DRAWING) {
        struct timespec span = {0, 20000000};
        nanosleep(&span, 0);
        said("another thread runs");
    }
    for (int cpu = 0; cpu < DRAWING; cpu++) check(pthread_join(threads[cpu], 0) == 0, "join");
    said("both have drawn");
    return unit;
}

// The second processor is the first to use devices.
value devices_scan(value path) {
    check(pthread_join(start(scan, (void *)String_val(path), 1), 0) == 0, "join");
    said("the second processor has found the disk");
    return Val_unit;
}
