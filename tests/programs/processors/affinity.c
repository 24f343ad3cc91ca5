// Threads run on the processors that they are for (sched_setaffinity(2)), with as many as the
// machine has.

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20, MOST = 64 };

static cpu_set_t all;
static int cpus[MOST], count;
static int configured;  // processors of the machine

static void check(int holds, const char *what) {
    if (holds) return;
    printf("failed: %s (errno %d)\n", what, errno);
    fflush(stdout);
    _exit(1);
}

static void said(const char *what) {
    printf("%s: as expected\n", what);
    fflush(stdout);
}

static cpu_set_t only(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

static int is_own(const cpu_set_t *set) {
    cpu_set_t found;
    check(sched_getaffinity(0, sizeof found, &found) == 0, "sched_getaffinity");
    return CPU_EQUAL(&found, set);
}

static void rest(void) {
    struct timespec span = {0, 200000};
    nanosleep(&span, 0);
}

static pthread_t start(void *(*body)(void *), void *argument) {
    pthread_t thread;
    check(pthread_create(&thread, 0, body, argument) == 0, "pthread_create");
    return thread;
}

static void join(pthread_t thread) { check(pthread_join(thread, 0) == 0, "pthread_join"); }

// The running thread stays where it is, beside others that compute.
static void stays_on(int cpu) {
    for (int i = 0; i < ROUNDS; i++) {
        check(sched_getcpu() == cpu, "stays on its processor");
        if (i % 2) {
            sched_yield();
        } else {
            rest();
        }
    }
}

static void *inherits(void *cpu) {
    cpu_set_t set = only((intptr_t)cpu);
    check(is_own(&set), "a thread has its creator's set");
    stays_on((intptr_t)cpu);
    return 0;
}

static void own(void) {
    for (int i = 0; i < 2 * count; i++) {
        int cpu = cpus[i % count];
        cpu_set_t set = only(cpu);
        check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
        check(is_own(&set), "it is what was set");
        stays_on(cpu);
        join(start(inherits, (void *)(intptr_t)cpu));
    }
    check(sched_setaffinity(0, sizeof all, &all) == 0, "sched_setaffinity to all");
    said("own");
}

static _Atomic int over, turns, last;

// Computes without a wait.
static void *compute(void *unused) {
    (void)unused;
    while (!atomic_load(&over)) {
        for (int i = 0; i < 1000; i++) __asm__ volatile("" ::: "memory");
        atomic_store(&last, sched_getcpu());
        atomic_fetch_add(&turns, 1);
    }
    return 0;
}

static void turn(void) {
    // One may have begun before.
    int now = atomic_load(&turns);
    while (atomic_load(&turns) < now + 2) sched_yield();
}

static void running(void) {
    atomic_store(&over, 0);
    pthread_t thread = start(compute, 0);
    for (int i = 0; i < 4 * count; i++) {
        cpu_set_t set = only(cpus[i % count]);
        check(pthread_setaffinity_np(thread, sizeof set, &set) == 0, "pthread_setaffinity_np");
        for (int j = 0; j < 3; j++) {
            turn();
            check(atomic_load(&last) == cpus[i % count], "a thread that computes moves");
        }
    }
    atomic_store(&over, 1);
    join(thread);
    said("running");
}

static int ends[2];

static void *wait_for_byte(void *unused) {
    char byte;
    (void)unused;
    while (read(ends[0], &byte, 1) == 1) {
        atomic_store(&last, sched_getcpu());
        atomic_fetch_add(&turns, 1);
    }
    return 0;
}

static void waiting(void) {
    check(pipe(ends) == 0, "pipe");
    pthread_t thread = start(wait_for_byte, 0);
    for (int i = 0; i < 4 * count; i++) {
        int now = atomic_load(&turns);
        rest();
        cpu_set_t set = only(cpus[i % count]);
        check(pthread_setaffinity_np(thread, sizeof set, &set) == 0, "pthread_setaffinity_np");
        check(write(ends[1], "x", 1) == 1, "write");
        while (atomic_load(&turns) == now) sched_yield();
        check(atomic_load(&last) == cpus[i % count], "a thread that waits moves");
    }
    close(ends[1]);
    join(thread);
    close(ends[0]);
    said("waiting");
}

static _Atomic int shares[4];

static void *share(void *number) {
    while (!atomic_load(&over)) atomic_fetch_add(&shares[(intptr_t)number], 1);
    return 0;
}

// Threads for one processor share it, and those that wait for it get it from one that computes.
static void sharing(void) {
    cpu_set_t set = only(cpus[count - 1]);
    pthread_t threads[4];
    atomic_store(&over, 0);
    for (intptr_t i = 0; i < 4; i++) {
        threads[i] = start(share, (void *)i);
        check(pthread_setaffinity_np(threads[i], sizeof set, &set) == 0, "pthread_setaffinity_np");
    }
    for (int i = 0; i < 4; i++) {
        int now = atomic_load(&shares[i]);
        while (atomic_load(&shares[i]) == now) rest();
    }
    atomic_store(&over, 1);
    for (int i = 0; i < 4; i++) join(threads[i]);
    said("sharing");
}

static void errors(void) {
    cpu_set_t none;
    CPU_ZERO(&none);
    check(sched_setaffinity(0, sizeof none, &none) == -1 && errno == EINVAL, "an empty set");
    cpu_set_t beyond = only(configured);
    check(sched_setaffinity(0, sizeof beyond, &beyond) == -1 && errno == EINVAL, "no processor");
    check(sched_setaffinity(0x3fffffff, sizeof all, &all) == -1 && errno == ESRCH, "no thread");
    check(sched_setaffinity(0, sizeof all, 0) == -1 && errno == EFAULT, "no memory");
    check(is_own(&all), "unchanged");
    said("errors");
}

#include <caml/mlvalues.h>

// The first thread is for the first processors only from now on: as many as `wanted`.
value affinity_first(value wanted) {
    configured = sysconf(_SC_NPROCESSORS_CONF);
    check(sched_getaffinity(0, sizeof all, &all) == 0, "sched_getaffinity");
    cpu_set_t some;
    CPU_ZERO(&some);
    for (int cpu = 0; cpu < MOST && CPU_COUNT(&some) < Int_val(wanted); cpu++) {
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &some);
    }
    check(sched_setaffinity(0, sizeof some, &some) == 0, "before there are threads");
    check(is_own(&some), "before there are threads");
    all = some;
    return Val_int(CPU_COUNT(&all));
}

value affinity_run(value unit) {
    for (int cpu = 0; cpu < MOST; cpu++) {
        if (CPU_ISSET(cpu, &all)) cpus[count++] = cpu;
    }
    // A thread on each, of which the first is for all.
    own();
    running();
    waiting();
    sharing();
    errors();
    return unit;
}
