// POSIX threads on several processors at once: what they do together, and what one does to others.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static atomic_int of_process;

static void handle_once(int signal) {
    (void)signal;
    atomic_store(&of_process, 1);
}

// Makes no system call, and has a processor for itself, so that no slice ends: only an interrupt of
// another processor reaches it.
static void *be_interrupted(void *number) {
    own_number = (intptr_t)number;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
    atomic_fetch_add(&computing, 1);
    for (;;) relax();
}

// More than a slice.
static void nap(void) {
    struct timespec span = {0, 2000000};
    nanosleep(&span, 0);
}

static void interrupts(void) {
    struct sigaction action = {.sa_handler = handle};
    sigaction(SIGUSR1, &action, 0);
    action.sa_handler = handle_once;
    sigaction(SIGUSR2, &action, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    int threads = count > 1 ? count - 1 : 1;
    for (int round = 0; round < 3; round++) {
        pthread_t all[MOST];
        long before[MOST];
        atomic_store(&computing, 0);
        atomic_store(&of_process, 0);
        for (int i = 0; i < threads; i++) all[i] = start(be_interrupted, i + 1);
        while (atomic_load(&computing) < threads) nap();
        nap();
        for (int i = 0; i < threads; i++) {
            before[i] = atomic_load(&handled[i + 1]);
            check(pthread_kill(all[i], SIGUSR1) == 0, "pthread_kill");
        }
        for (int i = 0; i < threads; i++)
            while (atomic_load(&handled[i + 1]) == before[i]) nap();
        // One of the others has to take it.
        pthread_sigmask(SIG_BLOCK, &set, 0);
        check(kill(getpid(), SIGUSR2) == 0, "kill");
        while (!atomic_load(&of_process)) nap();
        pthread_sigmask(SIG_UNBLOCK, &set, 0);
        for (int i = 0; i < threads; i++) {
            void *result;
            check(pthread_cancel(all[i]) == 0, "pthread_cancel");
            check(pthread_join(all[i], &result) == 0 && result == PTHREAD_CANCELED, "cancelled");
        }
    }
}

// --- descriptors ---------------------------------------------------------------------------------

enum { NUMBERS = 1024, TOKENS = 50 };
static atomic_int taken[NUMBERS], passed[2][MOST][TOKENS];
// A pipe, and a file and a directory with one position for all.
static int common[2], common_file, common_directory;

static int take(int descriptor, const char *what) {
    check(descriptor >= 0 && descriptor < NUMBERS, what);
    check(atomic_exchange(&taken[descriptor], 1) == 0, "a descriptor that nothing else has");
    return descriptor;
}

static void give_back(int descriptor) {
    atomic_store(&taken[descriptor], 0);
    check(close(descriptor) == 0, "close");
}

// A token that nothing else has passed on.
static void pass(int kind, const int *token) {
    check(token[0] >= 0 && token[0] < MOST && token[1] >= 0 && token[1] < TOKENS, "a token");
    check(atomic_fetch_add(&passed[kind][token[0]][token[1]], 1) == 0, "a token once");
}

static void *use_descriptors(void *argument) {
    intptr_t number = (intptr_t)argument;
    char name[40];
    snprintf(name, sizeof name, "/tmp/together-%d", (int)number);
    for (int i = 0; i < TOKENS; i++) {
        unsigned char sent[600], found[600];
        for (size_t at = 0; at < sizeof sent; at++) sent[at] = at + 7 * i + 31 * number;

        int ends[2];
        check(pipe(ends) == 0, "pipe");
        take(ends[0], "pipe");
        take(ends[1], "pipe");
        int copy = take(dup(ends[0]), "dup");
        check(dup2(ends[1], copy) == copy, "dup2");
        struct pollfd wait = {.fd = ends[0], .events = POLLIN};
        check(poll(&wait, 1, 0) == 0, "an empty pipe");
        check(write(copy, sent, sizeof sent) == sizeof sent, "write to a pipe");
        check(poll(&wait, 1, -1) == 1 && wait.revents == POLLIN, "poll");
        check(read(ends[0], found, sizeof found) == sizeof found, "read from a pipe");
        check(!memcmp(found, sent, sizeof sent), "what was written to the pipe");
        give_back(copy);
        give_back(ends[1]);
        check(read(ends[0], found, 1) == 0, "the end of a pipe");
        give_back(ends[0]);

        int file = take(open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600), "open");
        struct stat status;
        check(write(file, sent, sizeof sent) == sizeof sent, "write to a file");
        check(fstat(file, &status) == 0 && status.st_size == sizeof sent, "the file's size");
        check(pread(file, found, sizeof found, 0) == sizeof found, "read from a file");
        check(!memcmp(found, sent, sizeof sent), "what was written to the file");
        give_back(file);
        check(unlink(name) == 0 && access(name, F_OK) == -1, "unlink");

        int token[2] = {number, i};
        check(write(common_file, token, sizeof token) == sizeof token, "write a token");
        check(write(common[1], token, sizeof token) == sizeof token, "write a token");
        check(read(common[0], token, sizeof token) == sizeof token, "read a token");
        pass(0, token);

        for (int j = 0; j < 5; j++) {
            lseek(common_directory, 0, SEEK_SET);
            long size = syscall(SYS_getdents64, common_directory, found, sizeof found);
            check(size >= 0, "a directory that others read as well");
        }
    }
    return 0;
}

static void *read_common_file(void *number) {
    (void)number;
    int token[2];
    ssize_t size;
    while ((size = read(common_file, token, sizeof token)) != 0) {
        check(size == sizeof token, "read a token");
        pass(1, token);
    }
    return 0;
}

static void descriptors(void) {
    int threads = count + 1;
    common_file = open("/tmp/together-common", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    common_directory = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(common_file >= 0 && common_directory >= 0 && pipe(common) == 0, "what all use");
    each(threads, use_descriptors);
    check(lseek(common_file, 0, SEEK_SET) == 0, "lseek");
    each(threads, read_common_file);
    for (int i = 0; i < 2 * threads * TOKENS; i++) {
        int passed_on = atomic_load(&passed[i % 2][i / 2 / TOKENS][i / 2 % TOKENS]);
        check(passed_on == 1, "each token");
    }
    close(common_file);
    close(common_directory);
    close(common[0]);
    close(common[1]);
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
            // On a processor that is idle when the page is replaced, or that computes.
            struct timespec span = {0, 50000};
            if (last % 2) nanosleep(&span, 0);
            else relax();
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
    enum { PAGES = 4, ROUNDS_OF_PAGES = 60 };
    pthread_t all[MOST];
    int threads = count > 1 ? count - 1 : 1;
    atomic_store(&readers, 0);
    for (int i = 0; i < threads; i++) all[i] = start(read_pages, i);
    while (atomic_load(&readers) < threads) sched_yield();
    int map = MAP_PRIVATE | MAP_ANONYMOUS;
    uint64_t *pages = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, map, -1, 0);
    size_t size = ROUNDS_OF_PAGES * PAGES * 2 * PAGE;
    uint64_t *others = mmap(0, size, PROT_READ | PROT_WRITE, map, -1, 0);
    check(pages != MAP_FAILED && others != MAP_FAILED, "mmap");
    for (uint64_t round = 1; round <= ROUNDS_OF_PAGES; round++) {
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
        // Not the same frames again: a translation of those that were there would still be right.
        for (int i = 0; i < PAGES; i++) {
            *others = UINT64_MAX;
            others += 2 * PAGE / 8;
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

enum { DISCARDED = 4 };
static volatile uint64_t *discarded;
static atomic_int all_discarded;

static void *write_to_discarded(void *number) {
    (void)number;
    while (!atomic_load(&all_discarded))
        for (int i = 0; i < DISCARDED; i++) discarded[i * PAGE / 8] = UINT64_MAX;
    return 0;
}

// New memory is zero, and nobody else writes there, although others write to what is discarded.
static void *use_new_memory(void *number) {
    uint64_t mark = 1 + (intptr_t)number;
    while (!atomic_load(&all_discarded)) {
        int map = MAP_PRIVATE | MAP_ANONYMOUS;
        void *at = mmap(0, DISCARDED * PAGE, PROT_READ | PROT_WRITE, map, -1, 0);
        check(at != MAP_FAILED, "mmap");
        volatile uint64_t *pages = at;
        for (int i = 0; i < DISCARDED; i++) {
            check(pages[i * PAGE / 8] == 0, "new memory");
            pages[i * PAGE / 8] = mark;
        }
        for (int i = 0; i < 100; i++) relax();
        for (int i = 0; i < DISCARDED; i++) check(pages[i * PAGE / 8] == mark, "its own memory");
        check(munmap(at, DISCARDED * PAGE) == 0, "munmap");
    }
    return 0;
}

static void discards(void) {
    int map = MAP_PRIVATE | MAP_ANONYMOUS;
    void *at = mmap(0, DISCARDED * PAGE, PROT_READ | PROT_WRITE, map, -1, 0);
    check(at != MAP_FAILED, "mmap");
    discarded = at;
    pthread_t all[MOST];
    int threads = count > 2 ? count - 1 : 2;
    for (int i = 0; i < threads; i++)
        all[i] = start(i % 2 ? use_new_memory : write_to_discarded, i);
    for (int round = 0; round < 100; round++) {
        check(madvise(at, DISCARDED * PAGE, MADV_DONTNEED) == 0, "madvise");
        sched_yield();
    }
    atomic_store(&all_discarded, 1);
    for (int i = 0; i < threads; i++) pthread_join(all[i], 0);
}

static volatile uint64_t *file_pages;
static _Atomic uint64_t file_round;
static atomic_int wrote;

// Writes to a page once in each round, at some time while the first thread asks which were written.
static void *write_page(void *argument) {
    intptr_t number = (intptr_t)argument;
    unsigned state = 1 + number;
    uint64_t last = 0;
    for (;;) {
        uint64_t now = atomic_load(&file_round);
        if (now == UINT64_MAX) return 0;
        if (now == last) {
            relax();
            continue;
        }
        state = state * 1103515245 + 12345;
        for (unsigned i = (state & 0xffff) >> (state >> 16 & 7); i > 0; i--) __asm__ volatile("");
        file_pages[number * PAGE / 8] = now;
        last = now;
        atomic_fetch_add(&wrote, 1);
    }
}

// What other processors write to a mapped file reaches the file, though they write while the pages
// are saved or their protection is set.
static void mapped_files(void) {
    int threads = count > 1 ? count - 1 : 1;
    size_t size = threads * PAGE;
    char name[] = "/tmp/together-mapped";
    int file = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
    check(file >= 0 && ftruncate(file, size) == 0, "a file");
    void *at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    check(at != MAP_FAILED, "mmap of a file");
    file_pages = at;
    pthread_t all[MOST];
    for (int i = 0; i < threads; i++) all[i] = start(write_page, i);
    for (uint64_t round = 1; round <= 30; round++) {
        atomic_store(&wrote, 0);
        atomic_store(&file_round, round);
        for (int i = 0; i < 3; i++) {
            if (round % 4) check(msync(at, size, MS_SYNC) == 0, "msync");
            else check(mprotect(at, size, PROT_READ | PROT_WRITE) == 0, "mprotect");
        }
        while (atomic_load(&wrote) < threads) sched_yield();
        check(msync(at, size, MS_SYNC) == 0, "msync");
        static uint64_t found[MOST * PAGE / 8];
        check(pread(file, found, size, 0) == (ssize_t)size, "pread");
        for (int i = 0; i < threads; i++)
            check(found[i * PAGE / 8] == round, "what was written is in the file");
    }
    atomic_store(&file_round, UINT64_MAX);
    for (int i = 0; i < threads; i++) pthread_join(all[i], 0);
    check(munmap(at, size) == 0 && close(file) == 0 && unlink(name) == 0, "the file's end");
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
    {"processors", processors}, {"registers", control_registers}, {"turns", turns},
    {"broadcasts", broadcasts}, {"robust", robust_mutexes}, {"clocks", clocks},
    {"sleeps", sleeps}, {"creations", creations}, {"cancellation", cancellation},
    {"signals", signals}, {"interrupts", interrupts}, {"descriptors", descriptors},
    {"mappings", mappings}, {"discards", discards}, {"allocations", allocations},
    {"files", mapped_files},
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
