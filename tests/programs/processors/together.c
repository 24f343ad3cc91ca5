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

size_t soil_processors_start(size_t wanted);

#define PAGE 4096
#define MOST 64

static int count;  // of processors

static void check(int holds, const char *what) {
    if (holds) return;
    printf("failed: %s (errno %d)\n", what, errno);
    fflush(stdout);
    _exit(1);
}

static pthread_t start(void *(*body)(void *), intptr_t number) {
    pthread_t thread;
    check(pthread_create(&thread, 0, body, (void *)number) == 0, "pthread_create");
    return thread;
}

static void each(int threads, void *(*body)(void *)) {
    pthread_t all[MOST];
    for (int i = 0; i < threads; i++) all[i] = start(body, i);
    for (int i = 0; i < threads; i++) check(pthread_join(all[i], 0) == 0, "pthread_join");
}

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

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

// --- signals -------------------------------------------------------------------------------------

static _Atomic long handled[MOST];
static atomic_int over;
static __thread intptr_t own_number;

static void handle(int signal) {
    (void)signal;
    atomic_fetch_add(&handled[own_number], 1);
}

static void *be_signalled(void *number) {
    own_number = (intptr_t)number;
    atomic_fetch_add(&computing, 1);
    volatile double sum = 0;
    while (!atomic_load(&over)) {
        // In every third the signal ends a wait.
        if (own_number % 3 == 2) {
            struct timespec span = {10, 0};
            nanosleep(&span, 0);
        }
        sum += 1.0 / (1 + own_number);
    }
    return 0;
}

static void signals(void) {
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGUSR1, &action, 0);
    pthread_t all[MOST];
    int threads = count + 1;
    atomic_store(&computing, 0);
    for (int i = 0; i < threads; i++) all[i] = start(be_signalled, i + 1);
    while (atomic_load(&computing) < threads) sched_yield();
    for (int round = 1; round <= 100; round++) {
        for (int i = 0; i < threads; i++)
            check(pthread_kill(all[i], SIGUSR1) == 0, "pthread_kill");
        for (int i = 0; i < threads; i++)
            while (atomic_load(&handled[i + 1]) < round) sched_yield();
    }
    atomic_store(&over, 1);
    for (int i = 0; i < threads; i++) {
        pthread_kill(all[i], SIGUSR1);
        pthread_join(all[i], 0);
    }
}

// --- memory --------------------------------------------------------------------------------------

static volatile uint64_t *_Atomic place;
static _Atomic uint64_t version;
static atomic_int readers, acknowledged;

// Each time another page is at the address, all processors see it.
static void *read_pages(void *number) {
    (void)number;
    atomic_fetch_add(&readers, 1);
    uint64_t last = 0;
    for (;;) {
        uint64_t now = atomic_load(&version);
        if (now == UINT64_MAX) return 0;
        if (now == last) {
            relax();
            continue;
        }
        volatile uint64_t *page = atomic_load(&place);
        // The value, and a page that nobody has touched.
        check(page[0] == now && page[PAGE / 8] == 0, "the page that is mapped now");
        last = now;
        atomic_fetch_add(&acknowledged, 1);
    }
}

static void mappings(void) {
    enum { PAGES = 4 };
    pthread_t all[MOST];
    int threads = count > 1 ? count - 1 : 1;
    atomic_store(&readers, 0);
    for (int i = 0; i < threads; i++) all[i] = start(read_pages, i);
    while (atomic_load(&readers) < threads) sched_yield();
    int map = MAP_PRIVATE | MAP_ANONYMOUS;
    uint64_t *pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, map, -1, 0);
    check(pages != MAP_FAILED, "mmap");
    for (uint64_t round = 1; round <= 60; round++) {
        int kind = round % 4;
        if (kind == 0) {
            check(munmap(pages, PAGES * PAGE) == 0, "munmap");
            void *at = mmap(pages, PAGES * PAGE, PROT_READ | PROT_WRITE, map | MAP_FIXED, -1, 0);
            check(at == pages, "mmap where it was");
        } else if (kind == 1) {
            void *at = mmap(pages, PAGES * PAGE, PROT_READ | PROT_WRITE, map | MAP_FIXED, -1, 0);
            check(at == pages, "mmap in place of it");
        } else if (kind == 2) {
            check(madvise(pages, PAGES * PAGE, MADV_DONTNEED) == 0, "madvise");
        } else {
            check(mprotect(pages, PAGES * PAGE, PROT_NONE) == 0, "mprotect");
            check(mprotect(pages, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect back");
        }
        pages[0] = round;
        pages[2 * PAGE / 8] = round;
        atomic_store(&acknowledged, 0);
        atomic_store(&place, pages);
        atomic_store(&version, round);
        while (atomic_load(&acknowledged) < threads) sched_yield();
    }
    atomic_store(&version, UINT64_MAX);
    for (int i = 0; i < threads; i++) pthread_join(all[i], 0);
}

static void *allocate(void *argument) {
    unsigned state = 1 + (intptr_t)argument;
    unsigned char *blocks[64] = {0};
    size_t sizes[64];
    for (int i = 0; i < 600; i++) {
        state = state * 1103515245 + 12345;
        int slot = state >> 16 & 63;
        if (blocks[slot]) {
            unsigned char mark = (unsigned char)(slot + (intptr_t)argument);
            check(blocks[slot][0] == mark && blocks[slot][sizes[slot] - 1] == mark, "a block");
            free(blocks[slot]);
            blocks[slot] = 0;
        } else {
            // Up to 256 KiB: also blocks with mappings of their own.
            sizes[slot] = 1 + (state >> 8) % (1 << (4 + (state >> 22) % 15));
            blocks[slot] = malloc(sizes[slot]);
            check(blocks[slot] != 0, "malloc");
            memset(blocks[slot], (unsigned char)(slot + (intptr_t)argument), sizes[slot]);
        }
    }
    for (int slot = 0; slot < 64; slot++) free(blocks[slot]);
    return 0;
}

static void allocations(void) { each(count + 1, allocate); }

// --- what ends the machine -----------------------------------------------------------------------

static const char *deed;
static int doer;
static volatile uint64_t *closed;
static atomic_int ready, go;

__attribute__((noinline)) void use_what_is_gone(void) {
    if (!strcmp(deed, "protected")) closed[0] = 2;
    else printf("stale: %llu\n", (unsigned long long)closed[0]);
}

static void *end_it(void *argument) {
    intptr_t number = (intptr_t)argument;
    uint64_t sum = closed[0];
    closed[0] = sum;
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go)) relax();
    if (number != doer) {
        for (;;) relax();
    }
    if (!strcmp(deed, "exit")) exit(7);
    if (!strcmp(deed, "abort")) abort();
    use_what_is_gone();
    printf("%s: no fault\n", deed);
    fflush(stdout);
    _exit(1);
}

// Each but the first processor runs a thread that has used a page; then that is taken away, and one
// of them does something.
static void end_by(const char *what, int which) {
    deed = what;
    doer = which;
    closed = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    closed[0] = 1;
    int threads = count > 1 ? count - 1 : 1;
    for (int i = 0; i < threads; i++) start(end_it, i);
    while (atomic_load(&ready) < threads) sched_yield();
    if (!strcmp(deed, "unmapped")) munmap((void *)closed, PAGE);
    if (!strcmp(deed, "protected")) mprotect((void *)closed, PAGE, PROT_READ);
    atomic_store(&go, 1);
    for (;;) sched_yield();
}

static const struct {
    const char *name;
    void (*run)(void);
} tests[] = {
    {"processors", processors}, {"turns", turns}, {"broadcasts", broadcasts},
    {"robust", robust_mutexes}, {"clocks", clocks}, {"sleeps", sleeps},
    {"creations", creations}, {"cancellation", cancellation}, {"signals", signals},
    {"mappings", mappings}, {"allocations", allocations},
};

// Runs one test, or all; or what ends the machine, by the thread with this number.
intptr_t together_run(intptr_t processors_wanted, const char *name, intptr_t which) {
    count = soil_processors_start(processors_wanted);
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

intptr_t together_stub(intptr_t wanted, value name, intptr_t which) {
    // A copy: threads that end the machine use it.
    return together_run(wanted, strdup(String_val(name)), which);
}
