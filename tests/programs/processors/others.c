// What the other processors run: without the C library, which needs a thread.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

size_t soil_processors_start(size_t wanted);
size_t soil_processors_number(void);
bool soil_processors_wake(size_t number, void (*work)(void));

// The number of the processor that runs last, and the machine's name for it; -1 before.
static volatile intptr_t number = -1;
static volatile intptr_t identity = -1;

intptr_t others_start(intptr_t wanted) { return soil_processors_start(wanted); }

static void report_here(void) {
#if defined(__x86_64__)
    uint32_t a = 1, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    identity = b >> 24;
#else
    uint64_t affinity;
    __asm__ volatile("mrs %0, mpidr_el1" : "=r"(affinity));
    identity = affinity & 0xffffff;
#endif
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    number = soil_processors_number();
}

static time_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

// The name of a processor that it has reported itself; -1 if it hasn't.
intptr_t others_report(intptr_t which) {
    number = -1;
    if (which == (intptr_t)soil_processors_number()) report_here();
    else if (!soil_processors_wake(which, report_here)) return -1;
    time_t until = now() + 30;
    while (number == -1 && now() < until) {}
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return number == which ? identity : -1;
}

__attribute__((noinline)) void fault_on_a_processor(void) { *(volatile int *)8 = 1; }

intptr_t others_crash(intptr_t which) { return soil_processors_wake(which, fault_on_a_processor); }

intptr_t others_crash_here(intptr_t unit) {
    fault_on_a_processor();
    return unit;
}

static volatile bool spins;

static void spin_here(void) {
    spins = true;
    for (;;) {}
}

// The processor computes with interrupts disabled from now on.
intptr_t others_spin(intptr_t which) {
    if (!soil_processors_wake(which, spin_here)) return 0;
    time_t until = now() + 30;
    while (!spins && now() < until) {}
    return spins;
}

// Without `atexit`, which may give memory back: a PC's processor that spins doesn't answer that.
intptr_t others_exit_here(intptr_t unit) {
    _exit(7);
    return unit;
}

static void leave_here(void) {
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(231), "D"(7) : "rcx", "r11", "memory");
#else
    register uint64_t call __asm__("x8") = 94;
    register uint64_t status __asm__("x0") = 7;
    // The program makes system calls with SP_EL0, and this stack is SP_EL1's.
    __asm__ volatile("mov x9, sp\n\tmsr spsel, #0\n\tmov sp, x9\n\tsvc #0"
                     :
                     : "r"(call), "r"(status)
                     : "x9", "memory");
#endif
}

intptr_t others_leave(intptr_t which) { return soil_processors_wake(which, leave_here); }
