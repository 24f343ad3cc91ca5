// POSIX threads on several processors at once: what they do together, and what one does to others.

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "together.h"

int count;

// --- the processors ------------------------------------------------------------------------------

static _Atomic uint64_t seen;

// Computes until threads have run on each processor; else the test ends by its limit.
static void *stay(void *number) {
    (void)number;
    do {
        atomic_fetch_or(&seen, UINT64_C(1) << sched_getcpu());
        relax();
    } while (__builtin_popcountll(atomic_load(&seen)) < count);
    return 0;
}

static void processors(void) {
    each(count, stay);
    check(__builtin_popcountll(seen) == count, "a thread on each processor");
}

enum { STATES = 10 };
static uint64_t states[MOST][STATES];
static _Atomic uint64_t recorded;

// What each processor sets for itself, as the program can read it.
static void read_states(uint64_t *to) {
#if defined(__x86_64__)
    static const uint32_t registers[] = {
        0xc0000080,                          // EFER
        0xc0000081, 0xc0000082, 0xc0000084,  // STAR, LSTAR, SFMASK
        0x277,                               // PAT
    };
    uint16_t x87;
    uint32_t sse;
    __asm__ volatile("mov %%cr0, %0" : "=r"(to[0]));
    __asm__ volatile("mov %%cr3, %0" : "=r"(to[1]));
    __asm__ volatile("mov %%cr4, %0" : "=r"(to[2]));
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    __asm__ volatile("stmxcsr %0" : "=m"(sse));
    to[3] = x87;
    to[4] = sse & ~UINT32_C(0x3f);  // without what computation has raised
    for (int i = 0; i < 5; i++) {
        uint32_t low, high;
        __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(registers[i]));
        to[5 + i] = (uint64_t)high << 32 | low;
    }
#else
    __asm__ volatile("mrs %0, sctlr_el1" : "=r"(to[0]));
    __asm__ volatile("mrs %0, tcr_el1" : "=r"(to[1]));
    __asm__ volatile("mrs %0, mair_el1" : "=r"(to[2]));
    __asm__ volatile("mrs %0, ttbr0_el1" : "=r"(to[3]));
    __asm__ volatile("mrs %0, ttbr1_el1" : "=r"(to[4]));
    __asm__ volatile("mrs %0, vbar_el1" : "=r"(to[5]));
    __asm__ volatile("mrs %0, cpacr_el1" : "=r"(to[6]));
    __asm__ volatile("mrs %0, fpcr" : "=r"(to[7]));
#endif
}

// Computes until each processor has been recorded.
static void *record(void *number) {
    (void)number;
    do {
        uint64_t found[STATES] = {0};
        int at = sched_getcpu();
        read_states(found);
        if (at == sched_getcpu() && !(atomic_load(&recorded) & UINT64_C(1) << at)) {
            memcpy(states[at], found, sizeof found);
            atomic_fetch_or(&recorded, UINT64_C(1) << at);
        }
        relax();
    } while (__builtin_popcountll(atomic_load(&recorded)) < count);
    return 0;
}

static void control_registers(void) {
    each(count, record);
    for (int at = 1; at < count; at++) {
        for (int i = 0; i < STATES; i++) {
            if (states[at][i] == states[0][i]) continue;
            printf("register %d of processor %d: %llx, of the first: %llx\n", i, at,
                   (unsigned long long)states[at][i], (unsigned long long)states[0][i]);
            check(0, "the same on each processor");
        }
    }
}

// --- vector registers ----------------------------------------------------------------------------

// Sets the whole of some vector registers to `value`, computes, and reports whether they still have
// it. `rounds` of 0: sets them only.
#if defined(__x86_64__)
__attribute__((target("avx"))) static int keeps(uint64_t value, uint64_t rounds) {
    uint64_t found[3];
    __asm__ volatile(
        "vmovq %[value], %%xmm0\n\t"
        "vinsertf128 $1, %%xmm0, %%ymm0, %%ymm0\n\t"
        "vmovaps %%ymm0, %%ymm7\n\t"
        "vmovaps %%ymm0, %%ymm15\n\t"
        "test %[rounds], %[rounds]\n\t"
        "jz 2f\n"
        "1:\n\t"
        "dec %[rounds]\n\t"
        "jnz 1b\n"
        "2:\n\t"
        "vextractf128 $1, %%ymm0, %%xmm0\n\t"
        "vmovq %%xmm0, %[first]\n\t"
        "vextractf128 $1, %%ymm7, %%xmm0\n\t"
        "vmovq %%xmm0, %[second]\n\t"
        "vextractf128 $1, %%ymm15, %%xmm0\n\t"
        "vmovq %%xmm0, %[third]"
        : [rounds] "+r"(rounds), [first] "=&r"(found[0]), [second] "=&r"(found[1]),
          [third] "=&r"(found[2])
        : [value] "r"(value)
        : "xmm0", "xmm7", "xmm15", "cc");
    return found[0] == value && found[1] == value && found[2] == value;
}

static int has_vectors(void) { return __builtin_cpu_supports("avx"); }
#else
static int keeps(uint64_t value, uint64_t rounds) {
    uint64_t found[3];
    __asm__ volatile(
        "dup v0.2d, %[value]\n\t"
        "mov v7.16b, v0.16b\n\t"
        "mov v31.16b, v0.16b\n\t"
        "cbz %[rounds], 2f\n"
        "1:\n\t"
        "subs %[rounds], %[rounds], #1\n\t"
        "b.ne 1b\n"
        "2:\n\t"
        "umov %[first], v0.d[1]\n\t"
        "umov %[second], v7.d[1]\n\t"
        "umov %[third], v31.d[1]"
        : [rounds] "+r"(rounds), [first] "=&r"(found[0]), [second] "=&r"(found[1]),
          [third] "=&r"(found[2])
        : [value] "r"(value)
        : "v0", "v7", "v31", "cc");
    return found[0] == value && found[1] == value && found[2] == value;
}

static int has_vectors(void) { return 1; }
#endif

static _Atomic long overwritten;

static void overwrite(int signal) {
    (void)signal;
    keeps(UINT64_C(0xbadbadbadbad), 0);
    atomic_fetch_add(&overwritten, 1);
}

static _Atomic int keeping;

static void *keep(void *number) {
    for (int round = 0; round < 20; round++)
        check(keeps((uintptr_t)number + 1, UINT64_C(2000000)), "a thread keeps vector registers");
    atomic_fetch_sub(&keeping, 1);
    return 0;
}

// More threads than processors, which a signal interrupts.
static void vectors(void) {
    if (!has_vectors()) return;
    struct sigaction action = {.sa_handler = overwrite, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &action, 0);
    pthread_t all[MOST];
    int threads = count + 2;
    atomic_store(&keeping, threads);
    for (int i = 0; i < threads; i++) all[i] = start(keep, i);
    while (atomic_load(&keeping)) {
        for (int i = 0; i < threads; i++) pthread_kill(all[i], SIGUSR2);
        sched_yield();
    }
    for (int i = 0; i < threads; i++) pthread_join(all[i], 0);
    check(atomic_load(&overwritten) > 0, "signals interrupt the threads");
}

// --- futexes -------------------------------------------------------------------------------------

struct pair {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int turn;
};
static struct pair pairs[MOST];
enum { TURNS = 2000 };

static void *take_turns(void *argument) {
    intptr_t number = (intptr_t)argument;
    struct pair *pair = &pairs[number / 2];
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&pair->mutex);
        while (pair->turn % 2 != number % 2) pthread_cond_wait(&pair->changed, &pair->mutex);
        pair->turn++;
        pthread_cond_signal(&pair->changed);
        pthread_mutex_unlock(&pair->mutex);
    }
    return 0;
}

static void turns(void) {
    for (int i = 0; i < count; i++) {
        pthread_mutex_init(&pairs[i].mutex, 0);
        pthread_cond_init(&pairs[i].changed, 0);
    }
    each(2 * count, take_turns);
    for (int i = 0; i < count; i++) check(pairs[i].turn == 2 * TURNS, "each turn once");
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static pthread_cond_t emptied = PTHREAD_COND_INITIALIZER;
static int waiting, round_now, woken;
enum { ROUNDS = 300, WAITERS = 8 };

static void *await_rounds(void *number) {
    (void)number;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < ROUNDS; i++) {
        if (++waiting == WAITERS) pthread_cond_signal(&emptied);
        // A broadcast wakes one, and requeues the others to the mutex.
        while (round_now == i) pthread_cond_wait(&opened, &mutex);
        woken++;
    }
    pthread_mutex_unlock(&mutex);
    return 0;
}

static void broadcasts(void) {
    pthread_t all[WAITERS];
    for (int i = 0; i < WAITERS; i++) all[i] = start(await_rounds, i);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < ROUNDS; i++) {
        while (waiting < WAITERS) pthread_cond_wait(&emptied, &mutex);
        waiting = 0;
        round_now++;
        pthread_cond_broadcast(&opened);
    }
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < WAITERS; i++) pthread_join(all[i], 0);
    check(woken == ROUNDS * WAITERS, "each broadcast reaches all");
}

static pthread_mutex_t robust;
static atomic_int owners;

static void *die_as_owner(void *number) {
    (void)number;
    int error = pthread_mutex_lock(&robust);
    if (error == EOWNERDEAD) pthread_mutex_consistent(&robust);
    else check(error == 0, "a robust mutex");
    atomic_fetch_add(&owners, 1);
    return 0;
}

static void robust_mutexes(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    for (int i = 0; i < 20; i++) each(2 * count, die_as_owner);
    check(owners == 40 * count, "each owner's death is seen");
}

static _Atomic uint64_t latest;

// The clock of one processor is never behind what another one has read.
static void *read_clock(void *number) {
    (void)number;
    for (int i = 0; i < 20000; i++) {
        uint64_t before = atomic_load(&latest);
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        uint64_t now = time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
        check(now >= before, "one clock");
        while (before < now && !atomic_compare_exchange_weak(&latest, &before, now)) {}
    }
    return 0;
}

static void clocks(void) { each(count, read_clock); }

static void *sleep_often(void *number) {
    struct timespec span = {0, 20000 + 10000 * (intptr_t)number};
    for (int i = 0; i < 200; i++) check(nanosleep(&span, 0) == 0, "nanosleep");
    return 0;
}

static void sleeps(void) { each(3 * count, sleep_often); }

// --- threads -------------------------------------------------------------------------------------

static atomic_int short_lived;

static void *live_shortly(void *number) {
    (void)number;
    atomic_fetch_add(&short_lived, 1);
    return 0;
}

static void *create_many(void *number) {
    (void)number;
    for (int i = 0; i < 100; i++) {
        pthread_t child = start(live_shortly, i);
        check(pthread_join(child, 0) == 0, "pthread_join");
    }
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < 50; i++) {
        pthread_t child;
        while (pthread_create(&child, &detached, live_shortly, 0) != 0) sched_yield();
    }
    return 0;
}

static void creations(void) {
    each(2 * count, create_many);
    while (short_lived < 300 * count) sched_yield();
}

static atomic_int computing;

static void *compute(void *kind) {
    if (kind) pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
    atomic_fetch_add(&computing, 1);
    for (;;) {
        if (!kind) pthread_testcancel();
        relax();
    }
}

static void *wait_for_good(void *number) {
    (void)number;
    pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    pthread_mutex_lock(&own);
    for (;;) pthread_cond_wait(&never, &own);
}

static void cancellation(void) {
    for (int i = 0; i < 20; i++) {
        pthread_t all[MOST];
        atomic_store(&computing, 0);
        for (int j = 0; j < count; j++)
            all[j] = j % 3 == 2 ? start(wait_for_good, j) : start(compute, j % 3);
        int wanted = count - count / 3;
        while (atomic_load(&computing) < wanted) sched_yield();
        for (int j = 0; j < count; j++) check(pthread_cancel(all[j]) == 0, "pthread_cancel");
        for (int j = 0; j < count; j++) {
            void *result;
            check(pthread_join(all[j], &result) == 0 && result == PTHREAD_CANCELED, "cancelled");
        }
    }
}

// --- what ends the machine -----------------------------------------------------------------------

static const char *deed;
static int doer;
static volatile uint64_t *closed;
static atomic_int go, gone;
static atomic_int runs_on[MOST];  // the number of the thread's processor, plus 1

__attribute__((noinline)) void use_what_is_gone(void) {
    if (!strcmp(deed, "protected")) closed[0] = 2;
    else printf("stale: %llu\n", (unsigned long long)closed[0]);
}

static void *end_it(void *argument) {
    intptr_t number = (intptr_t)argument;
    uint64_t sum = closed[0];
    closed[0] = sum;
    while (!atomic_load(&go)) {
        atomic_store(&runs_on[number], sched_getcpu() + 1);
        for (int i = 0; i < 20000 && !atomic_load(&go); i++) relax();
    }
    atomic_fetch_add(&gone, 1);
    if (number != doer) {
        while (!strcmp(deed, "unmapping")) {
            void *page = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            *(volatile char *)page = 1;
            munmap(page, PAGE);
        }
        for (;;) relax();
    }
    while (atomic_load(&gone) < (count > 1 ? count - 1 : 1)) relax();
    if (!strcmp(deed, "exit")) exit(7);
    if (!strcmp(deed, "abort") || !strcmp(deed, "unmapping")) abort();
    use_what_is_gone();
    printf("%s: no fault\n", deed);
    fflush(stdout);
    _exit(1);
}

// Whether each of the threads runs, on a processor of its own.
static int all_run(int threads) {
    uint64_t set = 0;
    for (int i = 0; i < threads; i++) {
        int processor = atomic_load(&runs_on[i]);
        if (processor) set |= 1ull << (processor - 1);
    }
    return __builtin_popcountll(set) == threads;
}

// All but one processor run a thread that has used a page; then that is taken away, and one of them
// does something.
static void end_by(const char *what, int which) {
    deed = what;
    doer = which;
    closed = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    closed[0] = 1;
    int threads = count > 1 ? count - 1 : 1;
    for (int i = 0; i < threads; i++) start(end_it, i);
    while (!all_run(threads)) sched_yield();
    if (!strcmp(deed, "unmapped")) munmap((void *)closed, PAGE);
    if (!strcmp(deed, "protected")) mprotect((void *)closed, PAGE, PROT_READ);
    atomic_store(&go, 1);
    for (;;) sched_yield();
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"processors", processors}, {"registers", control_registers}, {"vectors", vectors},
    {"turns", turns}, {"broadcasts", broadcasts}, {"robust", robust_mutexes},
    {"clocks", clocks}, {"sleeps", sleeps}, {"creations", creations},
    {"cancellation", cancellation}, {"signals", signals}, {"interrupts", interrupts},
    {"descriptors", descriptors}, {"calls", calls}, {"mappings", mappings},
    {"discards", discards}, {"allocations", allocations}, {"files", mapped_files},
};

// Runs one test, or all; or what ends the machine, by the thread with this number.
intptr_t together_run(const char *name, intptr_t which) {
    count = start_processors();
    int all = !strcmp(name, "all");
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!all && strcmp(name, tests[i].name)) continue;
        tests[i].run();
        printf("%s: as expected\n", tests[i].name);
        fflush(stdout);
        if (!all) return count;
    }
    if (!all) end_by(name, which);
    return count;
}

#include <caml/mlvalues.h>

intptr_t together_stub(value name, intptr_t which) {
    // A copy: threads that end the machine use it.
    return together_run(strdup(String_val(name)), which);
}
