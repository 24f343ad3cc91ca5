// Blocks of C's allocator that threads of all processors allocate, and others free.

#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <caml/mlvalues.h>

enum { SLOTS = 256, ROUNDS = 500, LARGEST = 6 << 20, STEP = 2048 };

// Each block begins with its size, from which all that is written into it follows.
static _Atomic(uint64_t *) slots[SLOTS];

static void check(int holds, const char *what) {
    if (holds) return;
    printf("failed: %s\n", what);
    fflush(stdout);
    _Exit(1);
}

// The same in each run. Source: xorshift64, https://www.jstatsoft.org/article/view/v008i14.
static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

// Bytes at both ends and in between.
static void fill(uint64_t *block, size_t size) {
    block[0] = size;
    unsigned char *bytes = (unsigned char *)block;
    for (size_t at = sizeof size; at < size; at += STEP) bytes[at] = size + at;
    if (size > sizeof size) bytes[size - 1] = size;
}

static void verify(const uint64_t *block, size_t size) {
    check(block[0] == size, "a block keeps its size");
    const unsigned char *bytes = (const unsigned char *)block;
    for (size_t at = sizeof size; at + 1 < size; at += STEP)
        check(bytes[at] == (unsigned char)(size + at), "a block keeps its contents");
    if (size > sizeof size) check(bytes[size - 1] == (unsigned char)size, "and its end");
}

static uint64_t *allocate(uint64_t random, size_t size) {
    void *block = 0;
    switch (random % 8) {
    case 0:
        block = calloc(size / 8 + 1, 8);
        if (block) {
            const unsigned char *bytes = block;
            for (size_t at = 0; at < size; at += size < STEP ? 1 : 61)
                check(!bytes[at], "calloc's block is zero");
        }
        break;
    case 1: {
        size_t align = (size_t)16 << random / 8 % 9;
        if (posix_memalign(&block, align, size)) block = 0;
        check((uintptr_t)block % align == 0, "an aligned block");
        break;
    }
    default:
        block = malloc(size);
        check((uintptr_t)block % 16 == 0, "a block of malloc is aligned");
    }
    check(block != 0, "a block");
    check(malloc_usable_size(block) >= size, "a block is as large as requested");
    return block;
}

value allocations_share(value number) {
    uint64_t state = 0x9e3779b97f4a7c15 + Long_val(number);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t random = next(&state);
        // As many of each power of two; few of the largest.
        size_t power = random % 23;
        if (power > 17 && random >> 32 & 7) power -= 6;
        size_t size = 8 + (next(&state) & (((size_t)1 << power) - 1));
        if (size > LARGEST) size = LARGEST;
        uint64_t *block = allocate(next(&state), size);
        fill(block, size);
        if (random >> 40 & 1) {
            verify(block, size);
            size = size + size / 3;
            size_t before = block[0];
            block = realloc(block, size);
            check(block && block[0] == before, "realloc moves the contents");
            fill(block, size);
        }
        block = atomic_exchange(&slots[next(&state) % SLOTS], block);
        if (block) {
            verify(block, block[0]);
            free(block);
        }
    }
    free(0);
    // Hidden from the compiler, which would warn of it.
    volatile size_t excessive = SIZE_MAX / 2;
    check(!calloc(excessive, 3), "calloc refuses an excessive count");
    check(!malloc(excessive), "malloc refuses an excessive size");
    return Val_unit;
}

// Kept from the compiler, which would warn of the second one.
static void (*volatile release)(void *) = free;

value allocations_free_twice(value unit) {
    (void)unit;
    void *block = malloc(5000);
    release(block);
    release(block);
    printf("twice: no end\n");
    fflush(stdout);
    _Exit(1);
}

static size_t fill_memory(size_t size, uint64_t **list) {
    size_t bytes = 0;
    for (uint64_t *block; (block = malloc(size)); bytes += size) {
        block[0] = (uintptr_t)*list;
        *list = block;
    }
    return bytes;
}

static void empty(uint64_t *list) {
    while (list) {
        uint64_t *after = (uint64_t *)(uintptr_t)list[0];
        free(list);
        list = after;
    }
}

enum { SMALL = 40000, LARGE = 5 << 20 };

static size_t at_first;

value allocations_measure(value unit) {
    (void)unit;
    uint64_t *list = 0;
    at_first = fill_memory(LARGE, &list);
    empty(list);
    return Val_unit;
}

// What is free of some sizes is there for another, but for what domains have left behind.
value allocations_exhaust(value unit) {
    (void)unit;
    for (int i = 0; i < 2; i++) {
        uint64_t *list = 0;
        fill_memory(SMALL, &list);
        empty(list);
        list = 0;
        size_t now = fill_memory(LARGE, &list);
        empty(list);
        check(at_first && now + 6 * LARGE >= at_first, "all memory is there for other sizes");
    }
    printf("exhausted: as expected\n");
    fflush(stdout);
    return Val_unit;
}
