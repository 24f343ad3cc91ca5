// Signals to threads that run on other processors, and their cancellation there.

#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "together.h"

static atomic_int computing;
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

void signals(void) {
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

void interrupts(void) {
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
