// Threads on each of the machine's processors: they report themselves, crash, spin, and end the
// machine.

#define _GNU_SOURCE
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "together.h"

// Moves the running thread to a processor.
static void move_to(intptr_t which) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(which, &set);
    check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
    check(sched_getcpu() == which, "a thread runs on its processor");
}

static void *nothing(void *unused) { return unused; }

int start_processors(void) {
    cpu_set_t all;
    check(sched_getaffinity(0, sizeof all, &all) == 0, "sched_getaffinity");
    // A program that asks for some of the processors has all of them started with a thread.
    move_to(0);
    check(pthread_join(start(nothing, 0), 0) == 0, "pthread_join");
    check(sched_setaffinity(0, sizeof all, &all) == 0, "sched_setaffinity to all");
    return CPU_COUNT(&all);
}

// Leaves the first thread on the first processor.
intptr_t others_start(intptr_t unit) {
    (void)unit;
    int processors = start_processors();
    move_to(0);
    return processors;
}

// The machine's name for the processor.
static void *report(void *which) {
    move_to((intptr_t)which);
#if defined(__x86_64__)
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (void *)(uintptr_t)(b >> 24);
#else
    uint64_t affinity;
    __asm__ volatile("mrs %0, mpidr_el1" : "=r"(affinity));
    return (void *)(affinity & 0xffffff);
#endif
}

intptr_t others_report(intptr_t which) {
    void *identity;
    check(pthread_join(start(report, which), &identity) == 0, "pthread_join");
    return (intptr_t)identity;
}

__attribute__((noinline)) void fault_on_a_processor(void) { *(volatile int *)8 = 1; }

static void *crash(void *which) {
    move_to((intptr_t)which);
    fault_on_a_processor();
    return 0;
}

intptr_t others_crash(intptr_t which) {
    start(crash, which);
    return 0;
}

intptr_t others_crash_here(intptr_t unit) {
    fault_on_a_processor();
    return unit;
}

static atomic_bool spins;

static void *spin_here(void *which) {
    move_to((intptr_t)which);
#if defined(__x86_64__)
    __asm__ volatile("cli");
#else
    __asm__ volatile("msr daifset, #2");
#endif
    atomic_store(&spins, true);
    for (;;) {}
}

// The processor computes with interrupts disabled from now on.
intptr_t others_spin(intptr_t which) {
    start(spin_here, which);
    while (!atomic_load(&spins)) {}
    return 0;
}

// Without `atexit`, which may give memory back: a PC's processor that spins doesn't answer that.
intptr_t others_exit_here(intptr_t unit) {
    _exit(7);
    return unit;
}

static void *leave(void *which) {
    move_to((intptr_t)which);
    _exit(7);
}

intptr_t others_leave(intptr_t which) {
    start(leave, which);
    return 0;
}
