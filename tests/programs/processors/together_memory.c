// Memory that one thread maps, replaces, discards or writes, seen by others on other processors.

#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "together.h"

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

void mappings(void) {
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

void discards(void) {
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
void mapped_files(void) {
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

void allocations(void) { each(count + 1, allocate); }
