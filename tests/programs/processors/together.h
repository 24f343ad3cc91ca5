// What the files of the program together share.

#ifndef TOGETHER_H
#define TOGETHER_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define PAGE 4096
#define MOST 64

extern int count;  // of processors

// Starts the machine's processors; their number.
int start_processors(void);

static inline void check(int holds, const char *what) {
    if (holds) return;
    printf("failed: %s (errno %d)\n", what, errno);
    fflush(stdout);
    _exit(1);
}

static inline pthread_t start(void *(*body)(void *), intptr_t number) {
    pthread_t thread;
    check(pthread_create(&thread, 0, body, (void *)number) == 0, "pthread_create");
    return thread;
}

static inline void each(int threads, void *(*body)(void *)) {
    pthread_t all[MOST];
    for (int i = 0; i < threads; i++) all[i] = start(body, i);
    for (int i = 0; i < threads; i++) check(pthread_join(all[i], 0) == 0, "pthread_join");
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

// Subjects of other files than together.c.
void signals(void);
void interrupts(void);
void descriptors(void);
void calls(void);
void mappings(void);
void discards(void);
void allocations(void);
void mapped_files(void);

#endif
